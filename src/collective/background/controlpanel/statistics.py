"""Numbers of tasks that have ended: how long they ran, and with what they failed.

Comes in: the records that are kept, but of no more than the newest ones, so that the
page has a price that does not grow. Goes out: rows for the template.
"""

from collections import defaultdict
from collective.background.controlpanel.many import question_url
from collective.background.controlpanel.pages import ControlPanelPage
from collective.background.controlpanel.pages import TASKS
from collective.background.controlpanel.query import Query
from collective.background.model import states
from collective.background.showing.visibility import visible_records
from dataclasses import dataclass
from math import ceil
from Products.Five.browser.pagetemplatefile import ViewPageTemplateFile
from statistics import median


LOOKED_AT = 1000  # tasks that have ended, and of those that have failed

BAD = (states.FAILED, states.LOST)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """What the tasks of a ``callable`` have come to.

    ``count``: how many; ``bad``: how many of them failed or were lost; ``median``,
    ``high``: the seconds in which half of them, and 95 of 100, had run; or None.
    """

    callable: str
    count: int
    bad: int
    median: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Failures:
    """Tasks of a ``callable`` that have failed with the same class of exception.

    ``error``: its dotted name, "" if it is not for the user; ``count``: how many;
    ``newest``: the TaskRecord of the last one.
    """

    error: str
    callable: str
    count: int
    newest: object

    @property
    def name(self):
        """The class without its module."""
        return self.error.rpartition(".")[2]

    @property
    def query(self):
        """The Query of the list that shows them."""
        return Query(state=states.FAILED, error=self.error, callable=self.callable)


def measure(records):
    """Return a Measure of each callable, the most frequent first."""
    found = _grouped(records, lambda record: record.callable)
    return [
        Measure(
            callable=callable,
            count=len(group),
            bad=sum(record.state in BAD for record in group),
            median=median(times) if times else None,
            high=times[ceil(0.95 * len(times)) - 1] if times else None,
        )
        for callable, group in found
        for times in [sorted(r.run_time for r in group if r.run_time is not None)]
    ]


def failures(records):
    """Return Failures, those of the most tasks first. ``records``: the newest first."""
    found = _grouped(records, lambda record: (record.error.type, record.callable))
    return [
        Failures(error=error, callable=callable, count=len(group), newest=group[0])
        for (error, callable), group in found
    ]


def _grouped(records, key):
    """Return (key, records) of all that have the same, the largest first."""
    groups = defaultdict(list)
    for record in records:
        groups[key(record)].append(record)
    return sorted(groups.items(), key=lambda item: -len(item[1]))


class StatisticsPage(ControlPanelPage):
    name = "@@background-tasks-statistics"
    part = ViewPageTemplateFile("templates/statistics.pt")
    is_live = False

    looked_at = LOOKED_AT

    def measures(self):
        return measure(self._newest(states.FINISHED))

    def failures(self):
        return failures(
            record for record in self._newest(states.FAILED) if record.error is not None
        )

    def list_url(self, query):
        return query.address(self.url(TASKS))

    def retry_url(self, query):
        return question_url(query, "retry", self.url)

    def callable_url(self, callable):
        return self.list_url(Query(callable=callable))

    def _newest(self, wanted):
        return visible_records(
            everybody=True, states=wanted, among=LOOKED_AT, limit=None
        )
