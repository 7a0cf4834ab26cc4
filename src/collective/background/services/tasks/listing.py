"""The list of tasks: filters and pages.

Comes in: the form of a request. Goes out: a dictionary as all listings of the REST API
have it. Called by ``get``.
"""

from collections.abc import Sequence
from collective.background.exceptions import BadOption
from collective.background.services.representing import represent
from collective.background.showing.page import read_number
from collective.background.showing.page import read_text
from collective.background.showing.page import read_texts
from collective.background.showing.visibility import count_visible
from collective.background.showing.visibility import may_manage
from collective.background.showing.visibility import visible_records
from datetime import datetime
from plone.restapi.batching import DEFAULT_BATCH_SIZE
from plone.restapi.batching import HypermediaBatch
from zExceptions import BadRequest
from zExceptions import Unauthorized


MAX_SIZE = 500  # tasks of a page

FLAGS = {"1": True, "true": True, "0": False, "false": False}
ORDERS = {"descending": True, "ascending": False}


def list_tasks(request):
    """Return the page of tasks that the form asks for.

    Raises BadRequest, and Unauthorized when somebody wants all tasks who may not.
    """
    size = read_number(request.form, "b_size", DEFAULT_BATCH_SIZE)
    read_number(request.form, "b_start", 0)  # HypermediaBatch takes others, too
    if not 1 <= size <= MAX_SIZE:
        raise BadRequest(f"b_size is {size}; it must be from 1 to {MAX_SIZE}")
    filters = _read_filters(request.form)
    if filters.get("everybody") and not may_manage():
        raise Unauthorized("Only managers of background tasks see those of all users")
    if "user_id" in filters and not filters.get("everybody"):
        raise BadRequest("user_id is only for the tasks of all users: add all=1")
    try:
        batch = HypermediaBatch(request, _Tasks(filters, size))
        listing = {
            "@id": batch.canonical_url,
            "items": [represent(record, request) for record in batch],
            "items_total": batch.items_total,
        }
    except BadOption as error:
        raise BadRequest(str(error)) from error
    links = batch.links
    return {**listing, "batching": links} if links else listing


def _read_filters(form):
    """Return the arguments for ``visible_records``. Raises BadRequest."""
    filters = {}
    for name in form:
        if name in PAGE:
            continue
        if name not in FILTERS:
            known = ", ".join((*FILTERS, *PAGE))
            raise BadRequest(f"There is no filter {name!r:.100}; there are: {known}")
        argument, read = FILTERS[name]
        filters[argument] = read(form, name)
    return filters


def _one_of(choices):
    def read(form, name):
        value = read_text(form, name)
        if value not in choices:
            raise BadRequest(
                f"{name} is {value!r:.100}; it must be {' or '.join(choices)}"
            )
        return choices[value]

    return read


def _read_time(form, name):
    value = read_text(form, name)
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:
        raise BadRequest(
            f"{name} is {value!r:.100}; it must be a time with its time zone, as "
            "2026-12-31T23:59:59Z"
        ) from error


# By the names of the query: what the argument is called, and how the value is read.
FILTERS = {
    "all": ("everybody", _one_of(FLAGS)),
    "state": ("states", read_texts),
    "queue": ("queue", read_text),
    "user_id": ("user_id", read_text),
    "context_path": ("context_path", read_text),
    "group_id": ("group_id", read_text),
    "text": ("text", read_text),
    "created_after": ("created_after", _read_time),
    "dismissed": ("dismissed", _one_of(FLAGS)),
    "sort_on": ("sort_on", read_text),
    "sort_order": ("descending", _one_of(ORDERS)),
}
PAGE = ("b_start", "b_size")


class _Tasks(Sequence):
    """All tasks that the filters leave, of which only one page is read.

    ``size``: of that page, which begins at the first task that is asked for.
    """

    def __init__(self, filters, size):
        self._filters = filters
        self._size = size
        self._start = None
        self._page = []
        self._length = count_visible(**filters)

    def __len__(self):
        return self._length

    def __getitem__(self, index):
        if self._start is None:
            self._start = index
            self._page = visible_records(start=index, limit=self._size, **self._filters)
        return self._page[index - self._start]
