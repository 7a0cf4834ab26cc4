"""Outcomes: how a run ended, in values that can leave the thread."""

from collective.background.capture.package import Package
from collective.background.capture.pickling import pack
from collective.background.capture.unpickling import unpack
from collective.background.exceptions import BackgroundError
from collective.background.exceptions import NotPortable
from collective.background.exceptions import ReplacedError
from collective.background.model import states
from collective.background.model.messages import portable_line
from collective.background.model.messages import portable_text
from collective.background.model.records import ErrorInfo
from dataclasses import dataclass

import logging
import secrets
import traceback


logger = logging.getLogger(__name__)

MAX_EXCEPTION = 100_000  # bytes of the pickle of an exception that is kept
TRACEBACK_LENGTH = 20_000  # characters; what is too long loses its middle
MAX_TRACEBACK = 2 * TRACEBACK_LENGTH  # with what stands for characters of some


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a run ended.

    ``result`` and ``exception`` are Packages; ``error`` describes the latter.
    ``retry_in``: seconds until a failed task is tried again; None: never. ``outage``:
    that is because the database was away, ``conflict``: because others have changed the
    same objects; neither counts as a failure.
    ``superseded``: the task was taken over, so this is not how it has ended.
    """

    state: str
    result: Package | None = None
    exception: Package | None = None
    error: ErrorInfo | None = None
    retry_in: float | None = None
    outage: bool = False
    conflict: bool = False
    superseded: bool = False


def succeeded(result):
    """``result``: the Package of what the call returned."""
    return Outcome(state=states.SUCCEEDED, result=result)


def failed(exception, result=None, state=states.FAILED, **more):
    """Return the Outcome of an exception.

    ``result``: the Package of what there is in spite of it, or None; ``more``: fields
    of the Outcome.
    """
    error = describe_error(exception)
    return Outcome(
        state=state,
        result=result,
        exception=_pack(exception, error),
        error=error,
        **more,
    )


def cancelled(exception):
    return failed(exception, state=states.CANCELLED)


def pack_result(result):
    """Return the Package of what a call has returned. Raises NotPortable."""
    try:
        return pack(result)
    except NotPortable as error:
        raise NotPortable(
            f"the result, a {type(result).__name__}, cannot leave the task: {error}"
        ) from error


def pack_plain(obj, limit):
    """Return a Package of ``obj`` that can be kept anywhere, or None.

    That is a pickle of at most ``limit`` bytes, without files and persistent objects,
    which any process can load that has the same code. Loading is tried here: there is
    much that can be pickled, but not loaded again.
    """
    try:
        package = pack(obj)
        if (
            len(package.data) <= limit
            and not (package.private or package.references or package.spools)
            and type(unpack(package, None)) is type(obj)
        ):
            return package
        package.close()
    except BaseException as error:  # of the object's own methods: anything
        logger.debug("a %s cannot be kept\n%s", type(obj).__name__, _traceback(error))
    return None


def describe_error(exception):
    """Return the ErrorInfo of an exception, whatever its methods do."""
    cls = type(exception)
    text = _traceback(exception)
    if len(text) > TRACEBACK_LENGTH:
        half = TRACEBACK_LENGTH // 2
        text = f"{text[:half]}\n…\n{text[-half:]}"
    return ErrorInfo(
        type=portable_line(f"{cls.__module__}.{cls.__qualname__}"),
        message=portable_text(_text(exception)),
        traceback=portable_text(text, MAX_TRACEBACK),
        id=secrets.token_hex(4),
        public=_public(exception),
    )


def _traceback(exception):
    try:
        return "".join(traceback.format_exception(exception))
    except BaseException as error:  # of the exception's own methods: anything
        return f"(its traceback cannot be had: {type(error).__name__})"


def _text(exception):
    try:
        return str(exception)
    except BaseException as error:  # of the exception's own methods: anything
        return f"(its text cannot be had: {type(error).__name__})"


def _public(exception):
    """Return what an exception says to the user of the task, or None."""
    if not isinstance(exception, BackgroundError):
        return None
    try:
        text = exception.public
        return None if text is None else portable_text(text)
    except BaseException as error:  # of a class derived from ours: anything
        logger.debug("no text for the user\n%s", _traceback(error))
        return None


def _pack(exception, error):
    """Return a Package of the exception, or of one that stands for it."""
    package = pack_plain(exception, MAX_EXCEPTION)
    if package is None:
        package = pack(ReplacedError(f"{error.type}: {error.message}"))
    return package
