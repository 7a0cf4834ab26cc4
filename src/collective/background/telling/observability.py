"""The metrics in the form of plone.observability, for its view ``@@metrics``.

Registered only where that package is installed; nothing else imports it.
"""

from collective.background.interfaces import IMetrics
from math import inf
from plone.observability.interfaces import IMetricProvider
from plone.observability.metric import Metric
from zope.component import getGlobalSiteManager
from zope.interface import implementer


SCOPE = "instance"
PREFIX = "collective_background_"


@implementer(IMetricProvider)
class MetricProvider:
    """Adapts the application, as all providers do; needs nothing of it."""

    name = "collective.background"
    scope = SCOPE

    def __init__(self, context):
        self.context = context

    def collect(self):
        queues = getGlobalSiteManager().getUtility(IMetrics).snapshot()
        yield from _gauge(queues, "slots", "Tasks of the queue that may run at once")
        yield from _gauge(queues, "running", "Tasks that run")
        yield from _gauge(queues, "waiting", "Tasks that wait for a slot")
        yield from _gauge(queues, "paused", "1 while no task of the queue may start")
        yield from _gauge(queues, "sent", "Tasks sent to workers, and not begun")
        yield from _gauge(queues, "cut_off", "1 while the broker cannot be reached")
        yield from _transitions(queues)
        yield from _histogram(queues, "wait", "Time until the first start of a task")
        yield from _histogram(queues, "run", "Time from the start of a task to its end")


def _gauge(queues, key, help):
    for queue, values in queues.items():
        yield _metric(key, "gauge", help, values[key], queue=queue)


def _transitions(queues):
    help = "How often tasks have reached the state"
    for queue, values in queues.items():
        for state, count in values["transitions"].items():
            yield _metric(
                "transitions_total", "counter", help, count, queue=queue, state=state
            )


def _histogram(queues, key, help):
    """As plone.observability has its own: counters with the names of a histogram."""
    name = f"{key}_seconds"
    for queue, values in queues.items():
        for bound, count in values[key]["buckets"].items():
            le = "+Inf" if bound == inf else str(bound)
            yield _metric(f"{name}_bucket", "counter", help, count, queue=queue, le=le)
    for part in ("sum", "count"):
        for queue, values in queues.items():
            yield _metric(
                f"{name}_{part}", "counter", help, values[key][part], queue=queue
            )


def _metric(name, type, help, value, **labels):
    return Metric(
        name=PREFIX + name,
        value=value,
        type=type,
        scope=SCOPE,
        help=help,
        labels=labels,
    )
