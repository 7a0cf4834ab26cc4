"""Outcomes: how a run ended, in values that can leave the thread."""

from collective.background.capture.pickling import pack
from collective.background.capture.pickling import Package
from collective.background.capture.pickling import unpack
from collective.background.exceptions import NotPortable
from collective.background.exceptions import TaskFailed
from collective.background.model import states
from collective.background.model.records import ErrorInfo
from dataclasses import dataclass

import logging
import traceback


logger = logging.getLogger(__name__)

MESSAGE_LENGTH = 2_000  # characters of an error's text
TRACEBACK_LENGTH = 20_000  # characters; what is too long loses its middle


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a run ended.

    ``result`` and ``exception`` are Packages; ``error`` describes the latter.
    ``retry_in``: seconds until a failed task is tried again; None: never.
    """

    state: str
    result: Package | None = None
    exception: Package | None = None
    error: ErrorInfo | None = None
    retry_in: float | None = None


def succeeded(result):
    """``result``: the Package of what the call returned."""
    return Outcome(state=states.SUCCEEDED, result=result)


def failed(exception, result=None, state=states.FAILED, retry_in=None):
    """``result``: the Package of what there is in spite of the exception, or None."""
    error = describe_error(exception)
    return Outcome(
        state=state,
        result=result,
        exception=_pack(exception, error),
        error=error,
        retry_in=retry_in,
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


def describe_error(exception):
    """Return the ErrorInfo of an exception, whatever its methods do."""
    cls = type(exception)
    text = _traceback(exception)
    if len(text) > TRACEBACK_LENGTH:
        half = TRACEBACK_LENGTH // 2
        text = f"{text[:half]}\n…\n{text[-half:]}"
    return ErrorInfo(
        type=f"{cls.__module__}.{cls.__qualname__}",
        message=_text(exception)[:MESSAGE_LENGTH],
        traceback=text,
    )


def _traceback(exception):
    try:
        return "".join(traceback.format_exception(exception))
    except Exception as error:
        return f"(its traceback cannot be had: {type(error).__name__})"


def _text(exception):
    try:
        return str(exception)
    except Exception as error:
        return f"(its text cannot be had: {type(error).__name__})"


def _pack(exception, error):
    """Return a Package of the exception, or of one that stands for it.

    Many exceptions can be pickled but not loaded again, so that is tried here.
    Those that refer to persistent objects stay in their thread.
    """
    try:
        package = pack(exception)
        if not package.refers:
            unpack(package, None)
            return package
    except Exception:  # of the exception's own methods: anything
        logger.debug("%s cannot be carried", error.type, exc_info=True)
    return pack(TaskFailed(f"{error.type}: {error.message}"))
