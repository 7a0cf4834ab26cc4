"""Callbacks: what is called when a task has ended, taken along with it.

Comes in: Options. Goes out: a Call for each of ``on_success``, ``on_failure`` and
``notify``. Made by ``scheduling/rules.py`` and ``api/groups.py``; the schedulers make
tasks of them.
"""

from collective.background.capture.call import CALL
from collective.background.capture.call import Call
from collective.background.capture.callables import check_call
from collective.background.capture.callables import dotted_name
from collective.background.capture.pickling import pack_named
from collective.background.exceptions import BadCall
from collective.background.exceptions import BadOption
from collective.background.interfaces import INotifier
from collective.background.model import states
from collective.background.model.options import make_options
from collective.background.model.options import WithOptions
from zope.component import queryUtility


# A callback is of the same user as the task, begins when that has ended, and nobody
# hears of its own end.
NOT_OF_CALLBACKS = frozenset(
    {"after", "context", "notify", "on_failure", "on_success", "unique", "user"}
)


def capture_callbacks(options):
    """Return the Calls of ``on_success``, ``on_failure`` and ``notify``.

    ``options``: Options. A tuple of Calls for each state at which there are any.
    Raises as ``capture_call``, and BadOption if there is nothing to notify with, or for
    options that a callback cannot have.
    """
    notify = options.notify and _find_notifier(options.notify)
    functions = {
        states.SUCCEEDED: {"on_success": options.on_success, "notify": notify},
        states.FAILED: {"on_failure": options.on_failure, "notify": notify},
    }
    calls = {
        state: tuple(
            _capture_callback(option, function, options)
            for option, function in callbacks.items()
            if function is not None
        )
        for state, callbacks in functions.items()
    }
    return {state: made for state, made in calls.items() if made}


def queues_of(callbacks):
    """Return the names of the queues that callbacks ask for.

    ``callbacks``: as ``capture_callbacks`` returns them.
    """
    calls = [call for calls in callbacks.values() for call in calls]
    return {call.options.queue for call in calls if call.options is not None}


def _find_notifier(name):
    """Return the INotifier. Raises BadOption."""
    notifier = queryUtility(INotifier, name)
    if notifier is None:
        raise BadOption(
            f"notify is {name!r}, but there is no such INotifier in this process: the "
            "ZCML of collective.background, which registers it, has to be loaded"
        )
    return notifier


def _capture_callback(option, function, options):
    """Return a Call of ``function(record)``, without the record.

    ``options``: of the task; a callback has its queue and priority, unless it has
    others of its own.
    """
    own = None
    if isinstance(function, WithOptions):
        own = _options_of_callback(option, function, options)
        function = function.function
    try:
        check_call(function, (None,), {})
    except BadCall as error:
        raise BadCall(
            f"{option} is called with one argument, a TaskRecord: {error}"
        ) from error
    name = dotted_name(function)
    package = pack_named(f"{option}, the callable {name},", (function, (), {}))
    return Call(kind=CALL, name=name, package=package, options=own)


def _options_of_callback(option, function, options):
    given = function.options
    name = dotted_name(function.function)
    refused = sorted(NOT_OF_CALLBACKS.intersection(given))
    if refused:
        raise BadOption(
            f"{option} is {name}, whose option {refused[0]!r} a callback cannot have; "
            "give it one without, or schedule a task in it"
        )
    for each in ("title", "lock"):
        if callable(given.get(each)):
            raise BadOption(
                f"{option} is {name}, whose {each} is a function; that of a callback "
                f"must be a text, as in on_success=f.using({each}='…')"
            )
    return make_options({"queue": options.queue, "priority": options.priority, **given})
