"""What a process knows of the tasks that it has reserved: of each, and of all."""

from collective.background.database.reports import has_told
from dataclasses import dataclass
from math import inf
from time import monotonic


@dataclass(eq=False)
class Held:
    """A task that is reserved here, until its end is settled.

    - ``claim``: its Claim; ``queue``: its name; ``locks``: texts, a tuple
    - ``job``: what the dispatcher has of it, or None
    - ``sent_at``: when it was given to the relay, for a worker of Celery (monotonic);
      None: it is not for one. ``is_silent``: whether it begins there without a word;
      ``is_claimed``: whether it is known to have begun, ``claimed_beat``: at which beat
      of its worker that was seen, or None
    - ``settles``: whether its work says that its end is settled here
    - ``is_lent``: whether it runs here, but is still the instance's that has sent it;
      ``came_at``: when a thread has found it (monotonic), and not a look
    - ``began_at``: when it has begun here (monotonic), ``title``, ``attempts``: what
      they were then
    - ``task``: the Task, once it has begun; ``ended``: its Outcome, once it has ended
    - ``has_thread``: whether it uses a thread; ``is_left``: whether it could not begin,
      and is to be given back; ``has_failed``: because it could not be loaded
    - ``is_bare``: whether its end could not be written as it is, so that nothing is
      kept but that it has failed
    - ``is_cancelled``: whether it is to stop as soon as it has begun
    - ``stuck_until``: if not even that was possible, when it is tried again (monotonic)
    - ``is_stopping``: whether it was asked to stop only because the process ends
    - ``told``: what its Report says, see ``Report.tell``
    - ``is_withdrawn``: whether the dispatcher does not have it any more, though it has
      not begun
    """

    claim: object
    queue: str
    locks: tuple = ()
    job: object = None
    sent_at: float | None = None
    is_silent: bool = False
    is_claimed: bool = False
    claimed_beat: int | None = None
    settles: bool = False
    is_lent: bool = False
    came_at: float = -inf
    began_at: float = inf
    title: object = None
    attempts: int = 0
    task: object = None
    ended: object = None
    has_thread: bool = False
    is_left: bool = False
    has_failed: bool = False
    is_bare: bool = False
    stuck_until: float = 0.0
    is_cancelled: bool = False
    is_stopping: bool = False
    is_withdrawn: bool = False
    told: tuple | None = None

    @property
    def is_sent(self):
        """Whether it waits for a worker of Celery, and not for a thread here."""
        return self.sent_at is not None

    @property
    def tells_more(self):
        """Whether its task has told what only this instance knows so far."""
        task = self.task
        is_as_begun = (task.options.title, task.attempts) == (self.title, self.attempts)
        return has_told(task) or not is_as_begun

    @property
    def is_over(self):
        return self.ended is not None or self.is_left


class HeldTasks(dict):
    """All Held of a site, by the ids of their tasks; and which of them are how far.

    ``changed``: a Condition, with which they are changed.
    """

    def __init__(self, changed):
        super().__init__()
        self._changed = changed

    def running(self):
        """Return what has begun, and has not ended, as a list of Held."""
        return self._those(lambda held: held.has_thread)

    def over(self):
        """Return what has ended here, or could not begin, as a list of Held."""
        now = monotonic()
        return self._those(lambda held: held.is_over and held.stuck_until <= now)

    def stuck(self):
        """Return what has ended here, but could not be written."""
        return self._those(lambda held: held.stuck_until)

    def not_over(self):
        """Return all other tasks that are reserved here, as a list of Held."""
        return self._those(lambda held: not held.is_over)

    def for_threads(self, queue=None):
        """Return those of them that run here, or are about to.

        ``queue``: the name of theirs; None: all.
        """
        return self._of(queue, lambda held: not held.is_sent)

    def for_workers(self, queue=None):
        """Return those of them that were sent to workers of Celery; ``queue``: so."""
        return self._of(queue, lambda held: held.is_sent)

    def lent(self):
        """Return those that run here, or have, and that others have sent."""
        return self._those(lambda held: held.is_lent)

    def _of(self, queue, are_meant):
        return [
            held
            for held in self.not_over()
            if are_meant(held) and queue in (None, held.queue)
        ]

    def _those(self, are_meant):
        with self._changed:
            return [held for held in self.values() if are_meant(held)]


def waiting_for_locks(found, queue=None):
    """Return how many of these Held wait for a lock that another one of them has.

    ``queue``: the name of the one of which they are counted; None: all. Who has the
    lock may be in another one.
    """
    taken = set()
    waiting = 0
    for held in sorted(found, key=lambda held: not held.has_thread):
        if taken.isdisjoint(held.locks):
            taken.update(held.locks)
        else:
            waiting += queue in (None, held.queue)
    return waiting
