"""The list of tasks: by state, filtered, sorted, a page at a time, with actions.

However many tasks there are, those of a page are read and the others only counted,
unless one filters by text or age, or sorts by something else than when they were
scheduled.
"""

from collective.background.api.scheduling import get_scheduler
from collective.background.controlpanel.actions import perform
from collective.background.controlpanel.many import offers
from collective.background.controlpanel.many import question_url
from collective.background.controlpanel.pages import ControlPanelPage
from collective.background.controlpanel.query import AGE_LABELS
from collective.background.controlpanel.query import ASCENDING
from collective.background.controlpanel.query import parse_query
from collective.background.model.messages import _
from collective.background.model.states import STATES
from collective.background.showing.page import read_text
from collective.background.showing.page import read_texts
from collective.background.showing.presentation import STATE_LABELS
from collective.background.showing.visibility import count_visible
from collective.background.showing.visibility import find_visible
from collective.background.showing.visibility import visible_records
from dataclasses import dataclass
from functools import cached_property
from plone import api
from plone.batching import Batch
from Products.Five.browser.pagetemplatefile import ViewPageTemplateFile


PAGE_SIZE = 30

# What the list can be sorted by, in the order of the columns; and what a narrow
# screen has room for.
COLUMNS = {
    "title": _("Task"),
    "state": _("State"),
    "queue": _("Queue"),
    "user_id": _("User"),
    "created": _("Scheduled"),
    "finished": _("Ended"),
}
NARROW = ("title", "state")


class _Page(list):
    """The tasks of a page, as ``plone.batching`` takes them.

    ``actual_result_count``: how many there are on all pages.
    """

    def __init__(self, records, actual_result_count):
        super().__init__(records)
        self.actual_result_count = actual_result_count


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A task of the page, or a group; ``members``: its tasks that are there."""

    record: object
    members: list


class TasksPage(ControlPanelPage):
    part = ViewPageTemplateFile("templates/tasks.pt")

    def act(self):
        action = read_text(self.request.form, "action")
        ids = read_texts(self.request.form, "ids")
        if action == "delete" and len(ids) > 1:
            return question_url(self.query, action, self.url, ids)
        report = perform(action, ids)
        self.tell(report.text(self.request), report.type)

    @cached_property
    def query(self):
        return parse_query(self.request.form)

    @cached_property
    def _filters(self):
        return {"everybody": True, **self.query.filters(self.now, api.portal.get())}

    @cached_property
    def counts(self):
        """How many tasks there are of each state; of ""; all of them."""
        counts = {s: count_visible(states=s, **self._filters) for s in STATES}
        return {"": sum(counts.values()), **counts}

    @cached_property
    def batch(self):
        """The tasks of the page."""
        total = self.counts[self.query.state]
        # Tasks come and go: what was the last page may be none any more.
        last = max(0, total - 1) // PAGE_SIZE * PAGE_SIZE
        start = min(self.query.start, last)
        records = visible_records(
            states=self.query.state or None,
            start=start,
            limit=PAGE_SIZE,
            **self._filters,
            **self.query.ordering(),
        )
        return Batch(_Page(records, total), PAGE_SIZE, start)

    def rows(self):
        """Return a Row for each task or group, the tasks of which are in its row.

        Those of the one group that is asked for have rows of their own.
        """
        wanted = {record.group_id for record in self.batch}
        groups = {} if self.query.group else find_visible(filter(None, wanted))
        rows = {}
        for record in self.batch:
            whole = groups.get(record.group_id, record)
            row = rows.setdefault(whole.id, Row(record=whole, members=[]))
            if whole is not record:
                row.members.append(record)
        return list(rows.values())

    def states(self):
        """The tabs by state: those that every list has, and those with tasks."""
        return [
            {
                "label": STATE_LABELS.get(state, _("all")),
                "count": count,
                "url": self._address(self.query.with_state(state)),
                "is_active": state == self.query.state,
            }
            for state, count in self.counts.items()
        ]

    def offers(self):
        """What can be done to all tasks of the list, on all its pages."""
        return offers(self.query, self.counts, self.url)

    def columns(self):
        for name, title in COLUMNS.items():
            is_sorted = name == self.query.sort
            yield {
                "title": title,
                "is_narrow": name in NARROW,
                "url": self._address(self.query.sorted_by(name)),
                "aria_sort": self.query.order if is_sorted else None,
                "arrow": ("▲" if self.query.order == ASCENDING else "▼") * is_sorted,
            }

    def queues(self):
        """The names of the queues to filter by."""
        names = [status.name for status in get_scheduler().queues()]
        # An address may have one that the settings do not have any more.
        wanted = self.query.queue
        return names if wanted in ("", *names) else [*names, wanted]

    def ages(self):
        return list(AGE_LABELS.items())

    def reset_url(self):
        return self._address(self.query.without_filters())

    @property
    def is_empty(self):
        """Whether the site has no tasks at all."""
        return not self.counts[""] and not self.query.is_filtered

    def _address(self, query):
        return query.address(self.request.ACTUAL_URL)
