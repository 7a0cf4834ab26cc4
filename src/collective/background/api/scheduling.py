"""The functions that add-ons use.

All of them do their work in the current transaction: what is scheduled starts
when that commits, and is forgotten when it aborts.
"""

from collections.abc import Iterable
from collective.background.api.groups import current_group
from collective.background.api.groups import in_order
from collective.background.api.groups import note_member
from collective.background.capture.call import capture_batch
from collective.background.capture.call import capture_call
from collective.background.capture.external import capture_external
from collective.background.capture.web import capture_request
from collective.background.capture.web import capture_view
from collective.background.exceptions import BadOption
from collective.background.interfaces import ITransactionalScheduler
from collective.background.model.external import CELERY_QUEUE
from collective.background.model.options import make_options
from collective.background.model.records import BatchResult
from collective.background.running.current import current_task
from dataclasses import replace
from zope.component import getUtility


def get_scheduler():
    """Return the ITransactionalScheduler of the current site."""
    return getUtility(ITransactionalScheduler)


class Scheduling:
    """The five calls with the same options; made by ``using()``."""

    def __init__(self, **options):
        self._options = make_options(options)

    def schedule(self, callable, /, *args, **kwargs):
        """Schedule ``callable(*args, **kwargs)`` and return the task's id.

        ``callable``: a function, a method bound to a content object, a partial
        of these or an object that can be called. All arguments are passed on;
        persistent objects travel as references, all else is copied.

        Raises BadCall when it could not be called like that, NotPortable when
        something cannot be carried, NoTransaction, ShuttingDown. When too many
        tasks wait, the commit raises QueueFull; and Forbidden, or a Redirect to the
        page that asks for confirmation, in a browser's request without a valid token.
        """
        return self._add(capture_call(callable, args, kwargs), args, kwargs)

    def schedule_view(
        self, context, name, form=None, *, method="GET", body=b"", headers=None
    ):
        """Schedule the publication of a view and return the task's id.

        ``name``: of the view, with or without ``@@``, and a path below it, as
        in ``"@@images/image/mini"``. ``form``: a dictionary, as in
        ``request.form``. ``method``: of HTTP. ``body``: bytes. ``headers``: a
        dictionary, for example with a Content-Type.

        The task's result is a Response. It fails if the user may not see the
        view, or that raises an exception; a status that it sets, whatever it is, is
        part of the result.
        Raises BadOption for what cannot be used, and as ``schedule()``.
        """
        call = capture_view(context, name, form, method, body, headers)
        return self._add(call, (context, name, form), {})

    def schedule_request(self, method, url, **kwargs):
        """Schedule an HTTP request and return the task's id.

        ``kwargs``: those of ``requests.request()``; ``timeout`` is 15 seconds
        unless it is given.

        The task's result is a Response, of whose body at most 10 MB are kept.
        It fails if the answer has a status of 400 or more.
        Raises BadOption for what cannot be used, and as ``schedule()``.
        """
        return self._add(capture_request(method, url, kwargs), (method, url), kwargs)

    def schedule_batch(
        self, callable, items, /, *args, size=20, inline_below=0, **kwargs
    ):
        """Schedule ``callable(item, *args, **kwargs)`` for every item.

        It is one task with progress, and ``size`` items are one transaction of
        it. An item that raises an exception is noted, and the batch goes on;
        it fails only when all items did. The task's result is a BatchResult.
        A retry goes on after the last transaction that was committed, or starts
        over when all items failed.

        With fewer than ``inline_below`` items they are called at once, in the
        current transaction; then the task has succeeded already, and an
        exception goes to the caller. ``current_task()`` is that task meanwhile.
        Not so with ``delay``, ``eta``, ``after`` or ``lock``: then there is something
        to wait for.

        Returns the task's id. Raises BadOption, and as ``schedule()``.
        """
        if not isinstance(items, Iterable):
            raise BadOption(f"items is {items!r}; it must be a list, or the like")
        items = list(items)
        _check_number("size", size, 1)
        _check_number("inline_below", inline_below, 0)
        call = capture_batch(callable, items, args, kwargs, size)
        options = self._resolve((items, *args), kwargs)
        if len(items) >= inline_below or options.is_put_off or options.lock:
            return _add(call, options)

        def work():
            for item in current_task().track(items):
                callable(item, *args, **kwargs)
            return BatchResult(done=len(items), failures=())

        id = get_scheduler().run_now(call, options, work, current_group())
        return note_member(id)

    def schedule_external(
        self, name, payload=None, *, title=None, celery_queue=CELERY_QUEUE
    ):
        """Schedule a task of another application of Celery; return the task's id.

        ``name``: how that calls its task; ``payload``: the one argument of that, what
        JSON knows (at most 100 kB). ``title``: as the option; ``celery_queue``: the
        queue of the broker from which its workers take messages.

        The worker need not have Plone. It reports over HTTP, see
        ``collective.background.client``: from then on the task runs, until the worker
        reports how it has ended, or is silent for too long.
        Raises BadOption for what cannot be used, without a broker, and where tasks live
        in memory; and as ``schedule()``.
        """
        call = capture_external(name, payload, celery_queue)
        options = self._options
        if title is not None:
            options = replace(options, title=title)
        return _add(call, in_order(options.resolve((payload,), {})))

    def _add(self, call, args, kwargs):
        return _add(call, self._resolve(args, kwargs))

    def _resolve(self, args, kwargs):
        return in_order(self._options.resolve(args, kwargs))


def _add(call, options):
    id = get_scheduler().add_task(call, options, current_group())
    return note_member(id)


def _check_number(name, value, minimum):
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise BadOption(
            f"{name} is {value!r}; it must be a whole number of at least {minimum}"
        )


def using(**options):
    """Return an object with the same five calls, for tasks with options.

    - ``title``: for people (a text, may be a Message)
    - ``queue``: the name of a queue ("default")
    - ``priority``: a whole number; the higher starts first (0)
    - ``user``: a user id to run as, instead of the current user. For trusted
      code only: never pass on what a visitor has sent
    - ``delay``: start after so many seconds (0), or ``eta``: not before that
      time, an aware datetime
    - ``retries``: how often an attempt that has failed is repeated (0), after
      ``backoff`` seconds (5) at the most, doubled each time up to an hour;
      ``retry_on`` and ``give_up_on``: exception classes for which this is so, or
      is not (one or several)
    - ``unique``: a text; as long as an unfinished task has it, its id is returned
      and nothing is scheduled. The first transaction that commits wins; another
      one gets UniqueConflict, at which the publisher repeats the request
    - ``lock``: a text, or several; of all tasks of the site that have one of them, one
      runs at a time. Paths are texts as well: "/a" and "/a/b" are two locks
    - ``timeout``: seconds after which the task fails at its next cancellation
      point (none)
    - ``hard_timeout``: seconds after which it is ended, wherever it is (none); for that
      it has to run in a process of its own, see docs/celery.rst. A thread cannot be
      stopped, and obeys it as ``timeout``; the log of the task says so if it was late
    - ``begin_by``: seconds after which it is too late to begin: its turn comes, and
      it fails without having run (none). Whoever tries it again begins it
    - ``after``: the id of a task or a group, or several: start when they have
      succeeded, and be cancelled when one has not
    - ``on_success``, ``on_failure``: functions that are called with the record of
      the task when it has succeeded, or failed for good; as tasks of their own, of
      the same user
    - ``rerun``: run it again when its instance has died meanwhile (False). For what
      can be done twice: what it did to the database is undone, a mail is not. Only
      where tasks survive, with the persistent scheduler
    - ``notify``: ``"mail"`` sends the user a mail when the task has succeeded, or
      failed for good
    - ``context``: the content at which people see the task (the object of a method,
      else the first argument that is content; the context of a view)

    ``title``, ``unique``, ``lock`` and ``context`` may be functions of the arguments of
    the call.
    Raises UnknownOption, BadOption.
    """
    return Scheduling(**options)


_plain = Scheduling()

schedule = _plain.schedule
schedule_view = _plain.schedule_view
schedule_request = _plain.schedule_request
schedule_batch = _plain.schedule_batch
schedule_external = _plain.schedule_external
