"""Waiting for tasks in the database: in a connection of its own, again and again.

For scripts and tests: in the connection of the caller nothing would change.
"""

from collective.background.database.counting import count_waiting
from collective.background.database.private import connected
from collective.background.database.wholes import find_any
from collective.background.exceptions import WaitTimeout
from collective.background.model import states
from collective.background.scheduling import rules
from threading import Event
from time import monotonic
from zope.i18n import translate


FIRST_LOOK = 0.01  # seconds between two looks, doubled each time
LAST_LOOK = 0.2


def wait(scheduler, id, timeout):
    """See ``ITransactionalScheduler.wait``."""
    rules.check_timeout(timeout)

    def look(mine):
        record = mine.record(id)
        if record is None:
            raise rules.not_found(id)
        # Also what follows, such as callbacks, is to be there.
        return record.state in states.FINISHED and _is_settled(mine, id), record

    record, has_ended = wait_for(scheduler, look, timeout)
    if not has_ended:
        title = translate(record.title)
        raise WaitTimeout(
            f"task {id} {title!r} is still {record.state} after {timeout} s"
        )
    return record


def _is_settled(scheduler, id):
    """Whether what follows the end of a task, or of a group, is done."""
    what = find_any(scheduler, id)
    return what is not None and what.state in states.FINISHED


def wait_all(scheduler, timeout):
    """See ``ITransactionalScheduler.wait_all``."""
    rules.check_timeout(timeout)

    def look(mine):
        if not count_waiting(mine.shards):
            return True, []
        return False, mine.records(states=states.UNFINISHED, limit=10)

    left, have_ended = wait_for(scheduler, look, timeout)
    if not have_ended:
        raise WaitTimeout(
            f"after {timeout} s there are still unfinished tasks: "
            + ", ".join(f"{translate(task.title)!r} ({task.state})" for task in left)
        )


def wait_for(scheduler, look, timeout):
    """Look until it is so; return what was seen last, and whether it is so.

    ``look(scheduler)``: returns whether it is so, and what was seen.
    """
    deadline = monotonic() + timeout
    pause = FIRST_LOOK
    with connected(scheduler._p_jar.db(), scheduler.home()) as (mine, manager):
        while True:
            manager.begin()
            is_so, seen = look(mine)
            left = deadline - monotonic()
            if is_so or left <= 0:
                return seen, is_so
            Event().wait(min(pause, left))
            pause = min(pause * 2, LAST_LOOK)
