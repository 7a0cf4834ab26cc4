"""The relay: sends to workers of Celery what is reserved for them.

In a thread of its own, so that neither a request nor the watch ever waits for a broker.
While that cannot be reached, nothing is reserved: all tasks keep their places in line.

Comes in: Parcels, of looks of all sites (``database/relaying.py``). Goes out: messages;
or the Parcel back, if it cannot be sent. What becomes of a message is seen in the
database alone.
"""

from collections import Counter
from collections import deque
from collective.background.database.outbox import current_watch
from collective.background.exceptions import BadMessage
from collective.background.model.config import CELERY
from collective.background.telling.troubles import Troubles
from weakref import WeakKeyDictionary

import logging
import threading


logger = logging.getLogger(__name__)

CHECK = 30.0  # seconds between two looks for the broker, if there is nothing to send
FIRST_PAUSE = 1.0  # seconds until the next try to reach it
LONGEST_PAUSE = 30.0
TROUBLE = "the broker cannot be reached, so nothing is sent to workers of Celery"


class Relay:
    """- ``executor``: that of the process
    - ``sender``: with ``connect()``, ``send(parcel)`` and ``close()``, all of which may
      raise anything if the broker cannot be reached; BadMessage is about a parcel alone

    ``is_cut_off``: whether that was so at the last try.
    """

    def __init__(self, executor, sender):
        self._executor = executor
        self._sender = sender
        # A signal may come while its own thread has it.
        self._changed = threading.Condition(threading.RLock())
        self._parcels = deque()
        self._sent = {}  # Parcels by their Held, also those that are to be sent
        # What workers have taken over, by the Feeder of the site.
        self._taken = WeakKeyDictionary()
        self._is_connected = False
        self.is_cut_off = False
        self._is_stopping = self._has_ended = False
        self._pause = FIRST_PAUSE
        self._troubles = Troubles(logger)
        self._thread = threading.Thread(
            target=self._run, name="background-relay", daemon=True
        )

    # In any thread.

    def start(self):
        self._executor.relay = self
        self._executor.register(self)
        self._thread.start()

    @property
    def queues(self):
        """The names of the queues whose tasks can be sent now, a frozenset."""
        if self._is_connected and not self._is_stopping:
            return self._executor.settings.queues_of_celery
        return frozenset()

    def send(self, parcel):
        """Send a Parcel soon, unless its task is forgotten before."""
        with self._changed:
            self._sent[parcel.held] = parcel
            self._parcels.append(parcel)
            self._changed.notify_all()

    def forget(self, held):
        """The task of a Held was taken over by a worker, settled, or given back."""
        with self._changed:
            self._sent.pop(held, None)

    def note_taken(self, feeder, taken):
        """So many tasks of the site of a Feeder workers have taken over.

        ``taken``: a Counter by the names of queues.
        """
        with self._changed:
            self._taken[feeder] = taken

    def taken(self, queue):
        """Return how many tasks of a queue workers have taken over, of all sites."""
        with self._changed:
            return sum(taken[queue] for taken in self._taken.values())

    def unclaimed(self, queue, besides):
        """Return how many tasks of a queue were sent that nobody has begun.

        ``besides``: a Feeder whose tasks are left out.
        """
        with self._changed:
            return sum(
                held.queue == queue
                and not held.is_claimed
                and parcel.feeder is not besides
                for held, parcel in self._sent.items()
            )

    def backlog(self):
        """Return the same of all sites, a Counter by the names of queues."""
        with self._changed:
            return Counter(held.queue for held in self._sent if not held.is_claimed)

    # For the executor, see ``register`` there.

    def stop(self):
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()

    def leave(self, deadline):
        """Wait for its thread; what was not sent is given back by the watch."""
        self._thread.join(deadline.left())
        return []

    def is_alive(self):
        return not self._has_ended or self._is_stopping

    # Its thread.

    def _run(self):
        try:
            while not self._is_stopping:
                self._try()
            self._sender.close()
        except Exception:
            logger.exception("the relay could not end in order")
        finally:
            self._has_ended, self._is_connected = True, False

    def _try(self):
        try:
            self._sender.connect()
            self._reached()
            self._send_all()
            self._is_well()
        except Exception as error:
            self._cut_off(error)
            self._wait(self._pause)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _is_well(self):
        """A broker that is full can be reached, and takes nothing all the same."""
        self._pause = FIRST_PAUSE
        self._troubles.is_over(TROUBLE)

    def _reached(self):
        self._is_connected, self.is_cut_off = True, False
        self._wake_watch()

    def _send_all(self):
        """Send what comes, until there was nothing for a while."""
        while not self._is_stopping:
            parcel = self._next()
            if parcel is None:
                return
            try:
                self._sender.send(parcel)
            except BadMessage as error:
                logger.exception("the task %s cannot be sent", parcel.held.claim.id)
                parcel.refused(error)
            except Exception:
                parcel.failed()
                raise
            self._is_well()

    def _next(self):
        """Return the next Parcel, None if none comes for a while."""
        with self._changed:
            self._changed.wait_for(lambda: self._parcels or self._is_stopping, CHECK)
            while self._parcels:
                parcel = self._parcels.popleft()
                if parcel.held in self._sent:
                    return parcel
            return None

    def _cut_off(self, error):
        self._troubles.tell(TROUBLE, error)
        with self._changed:
            self._is_connected, self.is_cut_off = False, True
            parcels = list(self._parcels)
            self._parcels.clear()
        for parcel in parcels:
            parcel.failed()
        self._wake_watch()

    def _wait(self, seconds):
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopping, seconds)

    def _wake_watch(self):
        watch = current_watch()
        if watch is not None:
            watch.wake_up()


def begin(event):
    """Called when this process begins to serve."""
    settings = event.executor.settings
    if settings.celery_broker is None or settings.role == CELERY:
        return
    # Not before: without a broker nothing of Celery is imported.
    from collective.background.celery.sending import Sender

    Relay(event.executor, Sender(settings)).start()
