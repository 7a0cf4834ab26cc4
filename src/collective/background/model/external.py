"""External tasks: what goes to a worker that is no Plone, and what that reports.

Comes in: what an add-on wants to have done, and the JSON of a report. Goes out: plain
values that were checked.
"""

from collective.background.exceptions import BadOption
from collective.background.exceptions import BadReport
from collective.background.model import states
from collective.background.model.messages import portable_line
from collective.background.model.messages import portable_text
from collective.background.model.numbers import plain_number
from collective.background.model.records import TaskMessage
from dataclasses import dataclass
from dataclasses import field
from hashlib import sha256
from itertools import chain

import json
import re
import secrets


CELERY_QUEUE = "celery"  # that of an application which names none
PREFIX = "background-"  # of the queues of the broker that have tasks of Plone
LIFETIME = 7 * 86_400  # seconds until nobody may report any more
MAX_PAYLOAD = 100_000  # bytes of JSON, which a broker keeps in memory
MAX_REPORT = 1_000_000  # bytes
MAX_DEPTH = 100  # of lists and objects in each other, in a result
MAX_LINES = 200  # of a log, and messages, in one report
LINE_LENGTH = 1_000  # characters
TRACEBACK_LENGTH = 20_000
MESSAGE_TYPES = ("info", "warning", "error")

HEADER = "background"  # of a message, with what the worker needs in order to report
TOKEN_BYTES = 32
LONGEST_TOKEN = 200  # characters of what may be one

NAME = re.compile(r"[^\s\x00-\x1f]{1,200}\Z")
REPORTED = (states.RUNNING, states.SUCCEEDED, states.FAILED, states.CANCELLED)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExternalMessage:
    """What is sent to an application of Celery that is not ours.

    - ``name``: how Celery calls the task; ``queue``: of the broker
    - ``payload``: what JSON knows, its one argument
    - ``title``: for people who look at Celery, a line
    - ``headers``: of the message, with what the worker needs in order to report
    - ``expires``: seconds after which nobody may begin it
    """

    name: str
    queue: str
    payload: object
    title: str
    headers: dict
    expires: int


def new_token():
    """Return a token, a text that nobody can guess."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest_of(token):
    """Return what is stored of a token, a text."""
    return sha256(token.encode()).hexdigest()


def check_name(what, name):
    """Raise BadOption for what Celery cannot call a task, or a queue."""
    if not isinstance(name, str) or not NAME.match(name):
        raise BadOption(
            f"{what} is {name!r}; it must be a text without spaces, of at most 200 "
            "characters"
        )


def check_queue(name):
    """Raise BadOption for a queue from which no worker elsewhere takes messages."""
    check_name("celery_queue", name)
    if name.startswith(PREFIX):
        raise BadOption(
            f"celery_queue is {name!r}; those that begin with {PREFIX!r} are for tasks "
            "of Plone, and its workers know no others"
        )


def payload_as_json(payload):
    """Return the payload of an external task as a text. Raises BadOption."""
    try:
        text = json.dumps(payload, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadOption(
            f"the payload cannot be JSON: {error}; pass texts, numbers, lists and "
            "dictionaries of them, and addresses instead of content"
        ) from error
    if len(text) > MAX_PAYLOAD:
        raise BadOption(
            f"the payload has {len(text)} bytes as JSON, and may have {MAX_PAYLOAD}; "
            "pass an address from which the worker can fetch it"
        )
    return text


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportedError:
    """``type``: a dotted name; ``message``, ``traceback``: texts, for managers.

    ``public``: what the user of the task is told, a text, or None.
    """

    type: str = "Exception"
    message: str = ""
    traceback: str = ""
    public: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ExternalReport:
    """What a worker reports. What it says nothing of is None, or empty.

    - ``run``: a text that is another one for each run of the worker; ``number``: of the
      report within that, from 1: one that comes twice is counted once
    - ``state``: "running", "succeeded", "failed" or "cancelled"
    - ``worker``: how the worker calls itself
    - ``title``: of the task from now on
    - ``progress``: ``done``, ``total`` and ``message``, as far as they have changed
    - ``messages``: TaskMessages; ``log``: lines, the new ones
    - ``result``: what JSON knows; ``error``: a ReportedError
    """

    run: str
    number: int
    state: str | None = None
    worker: str = ""
    title: str | None = None
    progress: dict = field(default_factory=dict)
    messages: tuple = ()
    log: tuple = ()
    result: object = None
    error: ReportedError | None = None

    @property
    def is_last(self):
        """Whether the worker has ended."""
        return self.state is not None and self.state != states.RUNNING

    @property
    def tells(self):
        """Whether there is something in it that lists or pages show."""
        return bool(self.title or self.progress or self.messages or self.log)


def parse_report(values):
    """Return the ExternalReport of a JSON value. Raises BadReport."""
    values = dict(_typed("the report", values, dict))
    _check_names("the report", values, ExternalReport)
    if values.get("state") not in (None, *REPORTED):
        raise BadReport(f"state must be one of {', '.join(REPORTED)}")
    number = _typed("number", values.get("number"), int)
    if number < 1 or plain_number(number) is None:
        raise BadReport("number must be a whole number, from 1")
    run = _typed("run", values.get("run"), str)
    if not NAME.match(run):
        raise BadReport("run must be a text without spaces, of at most 200 characters")
    return ExternalReport(
        run=run,
        number=number,
        state=values.get("state"),
        worker=_line(values, "worker"),
        title=_line(values, "title") or None,
        progress=_progress(values.get("progress")),
        messages=tuple(map(_message, _some(values, "messages"))),
        log=tuple(
            portable_line(_typed("a line of log", line, str), LINE_LENGTH)
            for line in _some(values, "log")
        ),
        result=_result(values.get("result")),
        error=_error(values.get("error")),
    )


def _typed(name, value, cls):
    if not isinstance(value, cls) or isinstance(value, bool):
        raise BadReport(f"{name} must be a JSON {_JSON[cls]}")
    return value


_JSON = {dict: "object", list: "array", str: "string", int: "whole number"}


def _check_names(what, values, cls):
    unknown = sorted(set(values) - set(cls.__dataclass_fields__))
    if unknown:
        raise BadReport(
            f"{what} has {portable_line(', '.join(unknown))}; it may have "
            f"{', '.join(cls.__dataclass_fields__)}"
        )


def _result(value):
    # What JSON still reads, others may not: how deep depends on the release of Python.
    found = [value]
    for _ in range(MAX_DEPTH + 1):
        found = [each for each in found if isinstance(each, dict | list)]
        if not found:
            return value
        parts = (each.values() if isinstance(each, dict) else each for each in found)
        found = list(chain.from_iterable(parts))
    raise BadReport(f"result is nested too deeply; it may have {MAX_DEPTH} levels")


def _line(values, name):
    value = values.get(name)
    return "" if value is None else portable_line(_typed(name, value, str))


def _some(values, name):
    found = values.get(name)
    found = [] if found is None else _typed(name, found, list)
    if len(found) > MAX_LINES:
        raise BadReport(f"{name} has {len(found)} items, and may have {MAX_LINES}")
    return found


def _progress(values):
    values = {} if values is None else _typed("progress", values, dict)
    checked = {}
    for name, value in values.items():
        if name == "message":
            checked[name] = portable_text(_typed("the message", value, str))
        elif name not in ("done", "total"):
            raise BadReport("progress may have done, total and message")
        elif value is None and name == "total":
            checked[name] = None
        elif isinstance(value, bool) or plain_number(value) is None:
            raise BadReport(f"{name} of the progress must be a number")
        else:
            checked[name] = value
    return checked


def _message(values):
    values = _typed("a message", values, dict)
    _check_names("a message", values, TaskMessage)
    kind = values.get("type", "info")
    if kind not in MESSAGE_TYPES:
        raise BadReport(f"type of a message must be one of {', '.join(MESSAGE_TYPES)}")
    return TaskMessage(
        text=portable_text(_typed("text of a message", values.get("text"), str)),
        type=kind,
    )


def _error(values):
    if values is None:
        return None
    values = _typed("error", values, dict)
    _check_names("error", values, ReportedError)
    texts = {
        name: _typed(f"{name} of the error", value, str)
        for name, value in values.items()
        if value is not None
    }
    public = texts.get("public")
    return ReportedError(
        type=portable_line(texts.get("type") or "Exception"),
        message=portable_text(texts.get("message", "")),
        traceback=portable_text(texts.get("traceback", ""), TRACEBACK_LENGTH),
        public=None if public is None else portable_text(public),
    )
