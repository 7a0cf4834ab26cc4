"""Listening: tasks of workers elsewhere that were silent for too long are lost.

Each instance that serves goes round these tasks, and looks at some of them at a time.
In the transaction of a Look.
"""

from collective.background.database.claims import hold
from collective.background.database.elsewhere import end
from collective.background.database.elsewhere import too_late
from collective.background.database.handed_over import count_handed_over
from collective.background.database.handed_over import handed_over
from collective.background.database.instances import Attention
from collective.background.database.instances import BEATS
from collective.background.database.instances import gap_of
from collective.background.database.settling import cancel_waiting
from collective.background.database.shard import SHARDS
from collective.background.exceptions import WorkerSilent
from collective.background.model import states
from collective.background.model.config import CELERY
from collective.background.running import outcome
from functools import partial
from itertools import chain
from itertools import islice
from math import ceil
from random import randrange
from time import monotonic


LONGEST_PAUSE = 10.0  # seconds between two looks at what is elsewhere
AT_ONCE = 50  # tasks that are lost in one transaction


class Listening:
    """How an instance goes round what is elsewhere: it looks at some of it at a time.

    So often that it has seen all in half of ``silence``, the setting (seconds).
    """

    def __init__(self, silence):
        self._silence = silence
        self.pause = min(silence / BEATS, LONGEST_PAUSE)
        self._attention = Attention(gap_of(silence, self.pause))
        self._after = f"{randrange(SHARDS):02x}"  # not where others begin
        self.look_at = 0.0  # of the monotonic clock

    def next_ones(self, scheduler):
        """Return the StoredTasks whose turn it is, as a list."""
        number = ceil(count_handed_over(scheduler) * 2 * self.pause / self._silence)
        others = chain(handed_over(scheduler, self._after), handed_over(scheduler))
        return list(islice(others, number))

    def went_on(self, id, look_at):
        """All were seen to as far as the task with this id; when to go on."""
        self._after, self.look_at = id, look_at

    def silences(self, tasks, now):
        """Return {id: seconds} of the StoredTasks that were silent for so long.

        ``now``: aware, by the clock of the database.
        """
        listened = monotonic() - self._attention.look()
        found = {}
        for task in tasks:
            if task.has_begun_elsewhere:
                lease = max(self._silence, task.external.lease)
                if min(listened, task.external.silent_for(now)) > lease:
                    found[task.id] = lease
        return found


def see_to_elsewhere(look):
    """Let be lost what was silent for too long, or has waited there for too long.

    Each instance does it that serves, and nobody is waited for: some of them may stand
    still for this site, and two that find the same conflict.
    """
    listening = look.feeder.listening
    if look.feeder.settings.role == CELERY:
        return  # it may be replaced by another one before it has listened for so long
    look_at = listening.look_at
    if monotonic() >= look_at:
        tasks = listening.next_ones(look.scheduler)
        if not tasks:
            return  # nobody is to be woken up for nothing
        look_at = _lose_some(look, tasks)
    look.again_at(look_at)


def _lose_some(look, tasks):
    """Return when to look at the next ones (monotonic)."""
    listening = look.feeder.listening
    silences = listening.silences(tasks, look.now)
    left, look_at = AT_ONCE, monotonic() + listening.pause
    for task in tasks:
        id = task.id
        if id in silences or task.external.is_over(look.now):
            _lose(look, task, silences.get(id))
            left -= 1
        if not left:
            look.has_more, look_at = True, 0.0
            break
    look.then.append(partial(listening.went_on, id, look_at))
    return look_at


def _lose(look, task, silence):
    """``silence``: for how many seconds its worker was silent; None: it is too late."""
    external = task.external
    hold(external)  # if it is heard of at this very moment, it is not lost
    if look.scheduler.shards.requested(task.id) is not None:
        cancel_waiting(look.scheduler, task, look.news)
        return
    if silence is not None:
        reason = f"its worker was silent for {silence:g} seconds"
    elif external.began is not None:
        reason = "its worker took longer than any may"
    elif look.now > external.expires:
        reason = "no worker has begun it for too long, so nobody may any more"
    else:
        end(look.scheduler, task, too_late(), look.news)
        return
    ended = outcome.failed(WorkerSilent(reason), state=states.LOST)
    end(look.scheduler, task, ended, look.news)
