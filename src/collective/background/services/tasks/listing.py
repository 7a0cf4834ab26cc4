"""The list of tasks: filters and pages.

Comes in: the form of a request. Goes out: a dictionary as all listings of the REST API
have it. Called by ``get``.
"""

from collections.abc import Sequence
from collective.background.exceptions import BadOption
from collective.background.services.representing import represent
from collective.background.showing.visibility import count_visible
from collective.background.showing.visibility import may_manage
from collective.background.showing.visibility import visible_records
from datetime import datetime
from plone.restapi.batching import DEFAULT_BATCH_SIZE
from plone.restapi.batching import HypermediaBatch
from plone.restapi.deserializer import parse_int
from zExceptions import BadRequest
from zExceptions import Unauthorized


MAX_SIZE = 500  # tasks of a page

FLAGS = {"1": True, "true": True, "0": False, "false": False}
ORDERS = {"descending": True, "ascending": False}


def list_tasks(request):
    """Return the page of tasks that the form asks for.

    Raises BadRequest, and Unauthorized when somebody wants all tasks who may not.
    """
    size = parse_int(request.form, "b_size", DEFAULT_BATCH_SIZE)
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
    for name, value in form.items():
        if name in PAGE:
            continue
        if name not in FILTERS:
            known = ", ".join((*FILTERS, *PAGE))
            raise BadRequest(f"There is no filter {name!r}; there are: {known}")
        argument, read = FILTERS[name]
        filters[argument] = read(name, value)
    return filters


def _text(name, value):
    if not isinstance(value, str):
        raise BadRequest(f"{name} is {value!r}; it can be given only once")
    return value


def _texts(name, value):
    return [value] if isinstance(value, str) else value


def _one_of(choices):
    def read(name, value):
        if value not in choices:
            raise BadRequest(f"{name} is {value!r}; it must be {' or '.join(choices)}")
        return choices[value]

    return read


def _time(name, value):
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise BadRequest(
            f"{name} is {value!r}; it must be a time with its time zone, as "
            "2026-12-31T23:59:59Z"
        ) from error


# By the names of the query: what the argument is called, and how the value is read.
FILTERS = {
    "all": ("everybody", _one_of(FLAGS)),
    "state": ("states", _texts),
    "queue": ("queue", _text),
    "user_id": ("user_id", _text),
    "context_path": ("context_path", _text),
    "group_id": ("group_id", _text),
    "text": ("text", _text),
    "created_after": ("created_after", _time),
    "dismissed": ("dismissed", _one_of(FLAGS)),
    "sort_on": ("sort_on", _text),
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
