"""Which tasks the list shows, and how: what its address says.

Comes in: the form of a request. Goes out: a Query, which knows the arguments for
``visibility.visible_records()`` and the addresses of lists that are a little
different. Used by ``tasks`` and ``many``; others make addresses with it.
"""

from collective.background.model.messages import _
from collective.background.model.selection import SORT_KEYS
from collective.background.model.states import STATES
from collective.background.showing.page import read_number
from collective.background.showing.page import read_text
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlencode
from zExceptions import BadRequest


AGES = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
AGE_LABELS = {"": _("any time"), "hour": _("last hour"), "day": _("last day")}

ASCENDING = "ascending"
DESCENDING = "descending"

# Of these, who sorts by them wants the latest and the highest.
DESCENDING_FIRST = ("created", "started", "finished", "priority")


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """Filters ("": any), and the order of a list of tasks.

    ``state``, ``age`` and ``sort`` are names of STATES, AGES and SORT_KEYS;
    ``callable``: the name of a function, or its end; ``content``: the address or path
    of a folder; ``error``: the dotted name of an exception's class; ``group``: the id
    of a group; ``start``: how many tasks come before the page.
    """

    state: str = ""
    queue: str = ""
    user: str = ""
    text: str = ""
    age: str = ""
    callable: str = ""
    content: str = ""
    error: str = ""
    group: str = ""
    sort: str = "created"
    order: str = DESCENDING
    start: int = 0

    @property
    def is_filtered(self):
        """Whether there may be tasks that it leaves out, but for their state."""
        return self != replace(self.without_filters(), start=self.start)

    def filters(self, now, site):
        """Return the filters as arguments, but for the state.

        ``now``: an aware datetime, which ages are counted from; ``site``: below which
        the content is.
        """
        filters = {
            "queue": self.queue,
            "user_id": self.user,
            "text": self.text,
            "callable": self.callable,
            "below": self.content and _path_of(self.content, site),
            "error": self.error,
            "group_id": self.group,
            "created_after": self.age and now - AGES[self.age],
        }
        return {name: value for name, value in filters.items() if value}

    def ordering(self):
        """Return the order as arguments."""
        return {"sort_on": self.sort, "descending": self.order == DESCENDING}

    def sorted_by(self, name):
        """Return the Query to which the heading of a column leads.

        That by which the list is sorted turns the order round.
        """
        descending = name in DESCENDING_FIRST
        if name == self.sort:
            descending = self.order != DESCENDING
        order = DESCENDING if descending else ASCENDING
        return replace(self, sort=name, order=order, start=0)

    def with_state(self, state):
        return replace(self, state=state, start=0)

    def without_filters(self):
        return Query(state=self.state, sort=self.sort, order=self.order)

    def address(self, url, **further):
        """Return the address of the list, whose view has the address ``url``.

        ``further``: what else it says; lists are there many times, None is left out.
        """
        values = {**self.values(), **further}
        known = {name: v for name, v in values.items() if v is not None}
        query = urlencode(known, doseq=True)
        return f"{url}?{query}" if query else url

    def hidden_values(self):
        """Return (name, value) of what the form of the filters does not ask for."""
        asked = ("queue", "user", "text", "age", "callable", "content", "b_start")
        return [item for item in self.values().items() if item[0] not in asked]

    def values(self):
        """Return what is not as usual, by the names of the form: a dict."""
        values = asdict(self)
        start = values.pop("start")
        if start:
            values["b_start"] = start  # as the links between pages have it
        usual = asdict(Query())
        return {
            name: value for name, value in values.items() if value != usual.get(name)
        }


def parse_query(form):
    """Return the Query of a request's form. Raises BadRequest, with the value."""
    values = {
        name: read_text(form, name).strip() or default
        for name, default in asdict(Query()).items()
        if name != "start"
    }
    _check("state", values["state"], ("", *STATES))
    _check("age", values["age"], ("", *AGES))
    _check("sort", values["sort"], tuple(SORT_KEYS))
    _check("order", values["order"], (ASCENDING, DESCENDING))
    return Query(start=read_number(form, "b_start", 0), **values)


def _path_of(content, site):
    """Return the path of content: as it is, below the site, or of its address."""
    path = "/".join(site.getPhysicalPath())
    rest = content.rstrip("/") + "/"
    for start in (site.absolute_url(), path):
        rest = rest.removeprefix(f"{start}/")
    return "/".join([path, *filter(None, rest.split("/"))])


def _check(name, value, known):
    if value not in known:
        names = ", ".join(filter(None, known))
        raise BadRequest(f"{name} is {value!r:.100}; it must be one of {names}")
