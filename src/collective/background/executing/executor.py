"""The executor: what a process has once, whatever schedulers use it.

Slots and threads are shared by all sites and both schedulers. It is made when work
begins, so that a server may fork before; a child of a fork begins anew.

Comes in: sources, which send Jobs to the dispatcher. Goes out: their end, in order.
"""

from collections import Counter
from collective.background.executing.deadline import Deadline
from collective.background.executing.dispatcher import Dispatcher
from collective.background.model.loading import load_settings
from dataclasses import replace
from functools import partial

import atexit
import logging
import os
import secrets
import socket
import threading


logger = logging.getLogger(__name__)


class Executor:
    """- ``settings``: the Settings of the process
    - ``instance``: its id, ``host:pid:token``
    - ``dispatcher``: starts the threads
    - ``slots``: how many tasks of the database may run here at once, by the name of the
      queue; others see that
    - ``relay``: sends tasks to workers of Celery, see ``celery/relay.py``; or None
    """

    def __init__(self, settings):
        self.settings = settings
        self.instance = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self.dispatcher = Dispatcher(settings.queues)
        self._slots = None
        self.relay = None
        self._sources = {}  # in their order; the values mean nothing
        self._before_drain = []
        self._deadline = None  # of the end, as soon as that has begun
        self._drains = []  # the Deadline, once for each drain() that goes on
        self._is_drained = False
        self._lost = []  # titles

    @property
    def slots(self):
        if self._slots is not None:
            return self._slots
        return {} if self.settings.role == "web" else self.settings.queues_of_threads

    @slots.setter
    def slots(self, slots):
        """This process executes in another way than by its threads."""
        self._slots = slots

    def register(self, source):
        """A scheduler sends its tasks from now on; a process has it to its end.

        ``source``: hashable. ``source.stop()``: start nothing more.
        ``source.leave(deadline)``: wait for what runs, until the Deadline, and return
        the titles of tasks that have not ended by then and are lost with the process.

        It may have ``source.waiting()``: how many tasks wait that the dispatcher does
        not know yet, by their queue; and ``source.paused()``: the queues in which it
        lets none start, without the dispatcher's help. Both are only for metrics. And
        ``source.is_alive()``: whether its thread goes on; ``source.trouble()``: why it
        can see to nothing at the moment, a text, or None.
        """
        self._sources[source] = None
        if self._deadline is not None:
            source.stop()

    def forget(self, source):
        """A scheduler has come to its end before the process."""
        self._sources.pop(source, None)

    def queues(self):
        """Return a list of QueueStatus, of the tasks of all sources together."""
        waiting, paused, sent, cut_off = Counter(), set(), Counter(), frozenset()
        if self.relay is not None:
            sent = self.relay.backlog()
            cut_off = self.settings.queues_of_celery if self.relay.is_cut_off else ()
        for source in list(self._sources):
            waiting.update(getattr(source, "waiting", dict)())
            paused.update(getattr(source, "paused", set)())
        return [
            replace(
                status,
                waiting=status.waiting + waiting[status.name],
                paused=status.paused or status.name in paused,
                sent=sent[status.name],
                cut_off=status.name in cut_off,
            )
            for status in self.dispatcher.totals()
        ]

    def dead(self):
        """Return the names of the classes of sources whose thread has ended, a list."""
        return [
            type(source).__name__
            for source in list(self._sources)
            if not getattr(source, "is_alive", lambda: True)()
        ]

    def troubles(self):
        """Return why this process executes nothing at the moment, a list of texts."""
        if self._deadline is not None:
            return ["this process is about to end"]
        found = (
            getattr(source, "trouble", lambda: None)() for source in list(self._sources)
        )
        return [trouble for trouble in found if trouble is not None]

    def before_drain(self, function):
        """Let ``function()`` be called before tasks are asked to stop.

        At once if they were asked already.
        """
        self._before_drain.append(function)
        if self._deadline is not None:
            function()

    def drain(self, deadline):
        """End all work of the process; return the titles of tasks that are lost.

        ``deadline``: a Deadline for all together. A process ends once: of several
        calls the first Deadline counts, and afterwards there is nothing left to do.
        """
        if self._is_drained:
            return list(self._lost)
        self._deadline = self._deadline or deadline
        self._drains.append(self._deadline)
        try:
            for function in list(self._before_drain):
                _attempt(function)
            sources = list(self._sources)
            for source in sources:
                _attempt(source.stop)
            for source in sources:
                self._lost += _attempt(source.leave, self._deadline) or []
            self._is_drained = True
        finally:
            self._drains.remove(self._deadline)
        return list(self._lost)

    def hurry(self):
        """Let a ``drain()`` that goes on wait no longer; return whether one does.

        For handlers of signals, which interrupt it: it may hold any lock, so this
        takes none.
        """
        for deadline in self._drains:
            deadline.end()
        return bool(self._drains)


def _attempt(function, *args):
    try:
        return function(*args)
    except Exception:  # the others have to come to their ends, too
        logger.exception("a part of the process could not end in order")


# A signal may come while its own thread has it.
_lock = threading.RLock()
_executor = None
_when_ended = []


def process_executor():
    """Return the Executor of this process.

    Raises BadOption if the settings of the process cannot be used.
    """
    global _executor
    with _lock:
        if _executor is None:
            _executor = Executor(load_settings())
            atexit.register(partial(_at_exit, os.getpid()))
        return _executor


def process_queues():
    """Return how the queues of this process are; see IProcessQueues."""
    return process_executor().queues()


def when_ended(function):
    """Let ``function(titles)`` be called at the exit of the process.

    ``titles``: of the tasks that had not ended, and are lost.
    """
    _when_ended.append(function)


def _at_exit(pid):
    # A child of a fork has inherited what the parent has registered.
    if _executor is None or pid != os.getpid():
        return
    deadline = Deadline(_executor.settings.drain_timeout)
    try:
        lost = _executor.drain(deadline)
    except KeyboardInterrupt:  # a person at a script does not want to wait
        deadline.end()
        lost = _executor.drain(deadline)
    for function in _when_ended:
        function(lost)


def _begin_anew():
    """In the child of a fork: threads and their locks are the parent's."""
    global _lock, _executor
    _lock = threading.RLock()
    _executor = None


os.register_at_fork(after_in_child=_begin_anew)
