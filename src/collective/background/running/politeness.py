"""Politeness: while visitors are served, tasks do not compute.

All threads of the process share one interpreter, so what a task computes is time
that a page takes longer. Comes in: the events of the publisher, in the threads of
requests. Goes out: at its cancellation points a task waits, see ``Execution``.

It is not enough to know who is served: a request is published only after several
threads of the server have each had their turn at the interpreter. So a task takes
a short breath now and then even when nobody seems to be there.
"""

from collective.background.model.forking import in_child
from collective.background.model.loading import load_settings
from time import monotonic
from time import sleep

import sys
import threading


# So much may be computed without a break. A task whose cancellation points are
# closer together passes most of them at once, and gets something done on a site
# that is never idle.
STINT = 0.0005  # seconds
BREATH = 0.00005  # seconds; long enough for another thread to wake up and go on

# Who takes longer than that waits for something else: a slow server, a large
# download, perhaps this very task.
LONG = 10.0  # seconds


class Visitors:
    """The requests that are being served; ``patience``: for how long (seconds)."""

    def __init__(self, patience=LONG):
        self._patience = patience
        self._begin_anew()
        in_child(self._begin_anew)

    def _begin_anew(self):
        self._changed = threading.Condition()
        # One for each thread, so that nothing is left over when an attempt of a
        # request ends without a word: its thread's next one takes the place.
        self._served = {}  # (id of the request, when it began) by thread

    def enter(self, request):
        with self._changed:
            self._served[threading.get_ident()] = (id(request), monotonic())

    def leave(self, request):
        """To be called in the thread of ``enter()``; other requests are ignored."""
        thread = threading.get_ident()
        with self._changed:
            if self.is_served_here(request):
                del self._served[thread]
                self._changed.notify_all()

    def is_served_here(self, request):
        """Whether it is this request that is being published, in this thread."""
        return self._served.get(threading.get_ident(), (None,))[0] == id(request)

    def wait(self, longest):
        """Return when nobody is served, or after ``longest`` seconds.

        False if there was nobody to wait for. A task that runs in the thread of
        a request does not wait: that would be for itself.
        """
        if not self._served:
            return False
        with self._changed:
            if threading.get_ident() in self._served or not self._are_served():
                return False
            self._changed.wait_for(lambda: not self._are_served(), longest)
            return True

    def _are_served(self):
        now = monotonic()
        return any(now - began < self._patience for _, began in self._served.values())


visitors = Visitors()


class Manners:
    """How one task gives way; ``longest``: seconds at a time, 0 for not at all."""

    def __init__(self, longest):
        self._longest = longest
        # A task that has just begun does not wait for the request it comes from.
        self._resumed = monotonic()

    def give_way(self):
        """A good moment to wait for visitors; in the task's own thread."""
        if not self._longest or monotonic() - self._resumed < STINT:
            return
        if not visitors.wait(self._longest):
            sleep(BREATH)
        self._resumed = monotonic()


def request_begins(event):
    """A request, or one more attempt of it, is about to be published."""
    visitors.enter(event.request)


def request_ends(event):
    """A request is closed: the one event that comes whatever has happened.

    After some exceptions the publisher tells of neither success nor failure.
    """
    visitors.leave(event.request)


def set_switch_interval(event):
    """Called when Zope starts."""
    interval = load_settings().switch_interval
    if interval is not None:
        sys.setswitchinterval(interval)
