"""Metrics: how many tasks there were, how long they have waited and run.

Comes in: the TaskRecord of every transition in this process, from ``events.py``.
Goes out: plain values, for ``observability.py`` and for whoever else asks the
utility IMetrics.

What is kept does not grow with the number of tasks: it is counted by the names
of queues, which are settings, and by states.
"""

from bisect import bisect_left
from collective.background.interfaces import IMetrics
from collective.background.interfaces import IProcessQueues
from collective.background.model import states
from collective.background.model.forking import in_child
from itertools import accumulate
from math import inf
from zope.component import getGlobalSiteManager
from zope.interface import implementer

import threading


# Upper bounds, in seconds. Up to 10 they are those that clients of Prometheus
# have for requests, so that tasks and requests can be compared; tasks may take
# longer: half a minute, 1, 5 and 15 minutes, an hour.
BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    *(30.0, 60.0, 300.0, 900.0, 3600.0),
)


class _Histogram:
    def __init__(self):
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0

    def add(self, seconds):
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self._sum += seconds

    def snapshot(self):
        buckets = dict(zip((*BUCKETS, inf), accumulate(self._counts), strict=True))
        return {"buckets": buckets, "sum": self._sum, "count": buckets[inf]}


class _Queue:
    def __init__(self):
        self._transitions = dict.fromkeys(states.STATES, 0)
        self._wait = _Histogram()
        self._run = _Histogram()

    def add(self, record):
        self._transitions[record.state] += 1
        if record.state == states.RUNNING and record.attempts == 1:
            self._wait.add(record.wait_time)
        elif record.state in states.FINISHED and record.run_time is not None:
            self._run.add(record.run_time)

    def snapshot(self):
        return {
            "transitions": dict(self._transitions),
            "wait": self._wait.snapshot(),
            "run": self._run.snapshot(),
        }


@implementer(IMetrics)
class Metrics:
    """Used by many threads at once, and by handlers of signals in the midst of it."""

    def __init__(self):
        self._begin_anew()
        in_child(self._begin_anew)

    def _begin_anew(self):
        self._lock = threading.RLock()
        self._queues = {}

    def add(self, record):
        with self._lock:
            if record.queue not in self._queues:
                self._queues[record.queue] = _Queue()
            self._queues[record.queue].add(record)

    def snapshot(self):
        statuses = getGlobalSiteManager().getUtility(IProcessQueues)()
        with self._lock:
            return {
                status.name: {
                    "slots": status.slots,
                    "running": status.running,
                    "waiting": status.waiting,
                    "paused": status.paused,
                    "sent": status.sent,
                    "cut_off": status.cut_off,
                    **self._queues.get(status.name, _Queue()).snapshot(),
                }
                for status in statuses
            }


def count_transition(record):
    """Count that a task has reached the state of its TaskRecord."""
    metrics = getGlobalSiteManager().queryUtility(IMetrics)
    if metrics is not None:
        metrics.add(record)
