"""Duty: which instance does for a site what one of all is enough for.

All have it in turns, by the clock of the database. So nobody has to know who else works
for this site at all, or why he does not: what one leaves undone the next one does. Two
that take it to be their turn at the same time conflict, and no more.
"""

from collective.background.model.config import CELERY


def is_on_duty(look, turn):
    """Whether it is the turn of the instance of a Look.

    ``turn``: how many seconds each one has. Workers of Celery have a turn only where
    there is nobody else: they may be replaced by others all the time.
    """
    staying = [id for id, each in look.instances.items() if not each.is_draining]
    lasting = [id for id in staying if look.instances[id].role != CELERY]
    ids = sorted(lasting or staying or look.instances) or [look.me]
    return ids[int(look.now.timestamp() // turn) % len(ids)] == look.me


def left_of(look, turn):
    """Return how many seconds the present turn lasts from now on, whoever has it."""
    return turn - look.now.timestamp() % turn
