"""Looking: a look for a site, in a transaction of its own, whatever goes wrong in it.

Comes in: the connection of the watch, and what is to be done. Goes out: a Look that is
committed, or a line in the log.
"""

from collective.background.database import ends
from collective.background.database import following
from collective.background.database.instances import instances_of
from collective.background.database.listening import see_to_elsewhere
from collective.background.database.look import Look
from collective.background.database.questions import answer
from collective.background.database.sent import follow_sent
from collective.background.database.sites import load
from collective.background.database.taking_over import take_over
from collective.background.exceptions import ReplacedError
from collective.background.model.outages import is_outage
from collective.background.running import outcome
from collective.background.telling.troubles import Troubles
from time import monotonic
from transaction.interfaces import TransientError
from ZODB.POSException import POSKeyError

import logging


logger = logging.getLogger(__name__)

STUCK = 5.0  # seconds until the end of a task is tried again that cannot be written
SHOWN = 200  # characters of an error


class SchedulerGone(Exception):
    """The site has no such scheduler any more."""


class Looking:
    """``clock``: the Clock of the database. ``lost``: titles of tasks that are lost.

    ``troubles``: Troubles, of this thread.
    """

    def __init__(self, clock):
        self._clock = clock
        self.lost = []
        self.troubles = Troubles(logger)

    def see_to(self, connection, manager, feeder, work):
        """As ``transact``, and no end that cannot be written holds up anything."""
        done = self.transact(connection, manager, feeder, work)
        if done is None and feeder.held.over():
            self._settle_one_by_one(connection, manager, feeder)
            done = self.transact(connection, manager, feeder, work)
        return done

    def _settle_one_by_one(self, connection, manager, feeder):
        """One of the ends may be what the others could not be written for."""
        for held in feeder.held.over():

            def settle(look, held=held):
                ends.settle_ends(look, held)

            if self.transact(connection, manager, feeder, settle) is not None:
                continue
            if held.ended is None or held.is_bare:
                continue
            ended, held.ended, held.is_bare = held.ended, _bare(held.ended), True
            if self.transact(connection, manager, feeder, settle) is None:
                # Perhaps nothing can be written now. If it is because of this end all
                # the same, it is not to hold up the others.
                held.ended, held.is_bare = ended, False
                held.stuck_until = monotonic() + STUCK

    def transact(self, connection, manager, feeder, work):
        """Do ``work(look)`` for the site of a Feeder.

        Returns whether there is more to do at once; None if it was not possible. Raises
        SchedulerGone.
        """
        trouble = f"the tasks of {feeder.path} cannot be seen to ({work.__name__})"
        # Before the transaction begins, so that it sees what they come from.
        touched = feeder.take_touched()
        number = feeder.room.begin_look()
        look, began_at = None, monotonic()
        manager.begin()
        try:
            home = connection.get_connection(feeder.home.database_name)
            scheduler = home.get(feeder.oid)
            scheduler._p_activate()
            if scheduler.retired:
                raise SchedulerGone(feeder.path)
            feeder.recognize(load(connection, feeder.site))
            if not feeder.is_foreign:
                scheduler.renew()
            elif work is not last:
                work = stand_still
            instances = instances_of(connection)
            look = Look(
                *(feeder, scheduler, self._clock, instances),
                *(number, touched, began_at),
            )
            work(look)
            look.finish()
            manager.get().note(f"Background tasks of {feeder.path}")
            manager.commit()
        except SchedulerGone:
            manager.abort()
            raise
        except TransientError as conflict:
            manager.abort()
            feeder.touch(touched | _touched_by(look))
            if is_outage(conflict):
                self.troubles.tell(trouble, conflict)
                return None
            logger.debug("another instance was faster: %s", conflict)
            if look is not None and look.is_stealing:
                feeder.stealing.conflicted()
            return True
        except Exception as error:
            manager.abort()
            feeder.touch(touched | _touched_by(look))
            if isinstance(error, POSKeyError) and error.args[0] == feeder.oid:
                raise SchedulerGone(feeder.path) from error  # deleted, and packed away
            self.troubles.tell(trouble, error)
            return None
        self.troubles.is_over(trouble)
        look.committed()
        if work is not usual:
            feeder.touch(touched)
        self.lost += look.news.lost
        return look.has_more


def _touched_by(look):
    """Return what a Look, or None, has touched; it may be committed after all."""
    return set() if look is None else look.news.touched


def _bare(ended):
    """Return the Outcome of a run whose end cannot be written as it is."""
    text = ended.state
    if ended.error is not None:
        text = f"{ended.error.type}: {ended.error.message[:SHOWN]}"
    return outcome.failed(
        ReplacedError(f"how the task has ended could not be written; it was: {text}")
    )


def usual(look):
    """What a process does at every look."""
    following.check_claims(look)
    take_over(look)
    follow_sent(look)
    ends.settle_ends(look)
    see_to_elsewhere(look)
    following.follow_requests(look)
    following.check_groups(look)
    following.follow_pauses(look)
    following.give_back_surplus(look)
    look.reserve()
    ends.report(look)
    answer(look)
    look.count()


def stand_still(look):
    """What it does for a site of another deployment: it ends what it has begun."""
    following.check_claims(look)
    take_over(look)
    follow_sent(look)
    ends.settle_ends(look)
    following.give_back_all(look)
    ends.report(look)
    look.count()


def last(look):
    """What it does at its end."""
    not_over = (
        look.feeder.held.not_over()
    )  # before: what ends meanwhile is not to be missed
    take_over(look, everything=True)
    follow_sent(look)
    ends.settle_ends(look)
    ends.leave(look, not_over)
