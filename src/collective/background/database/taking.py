"""Taking over: what another instance has reserved and sent is run by this one.

The reservation stays what it was, with its number, but is this instance's from then on;
so of two that take the same task one conflicts, and who had it finds at its next look
that it is not his any more. A message that was lost, comes twice, or is forged, does no
harm: what the database says decides.

Comes in: Offers of threads, each of which waits until it may run a task. Goes out:
Held, which it runs at once. So a task that begins with a commit of its own has begun
with this one, which also settles what has ended here.
"""

from collective.background.database.holding import Held
from collective.background.database.permits import limit_of
from collective.background.database.settling import cancel_waiting
from collective.background.database.status import VERSION
from collective.background.database.wholes import is_unwanted
from collective.background.database.working import work_on
from collective.background.executing.stacks import named_thread
from collective.background.running import outcome
from functools import partial
from math import inf
from time import monotonic


EARLY = 2.0  # seconds for which a message may be ahead of the database
SOON = 0.02  # seconds until that is looked at again, then


class Offer:
    """A task for one thread: its ``id``, and the number of its reservation, ``fence``.

    - ``held``: the Held to be run, once it is this instance's; ``refusal``: or why it
      is not to be run here, a text
    - ``is_withdrawn``: whether nobody waits any more
    """

    held = refusal = None
    is_withdrawn = False

    def __init__(self, id, fence):
        self.id = id
        self.fence = fence
        self.made_at = monotonic()

    @property
    def is_decided(self):
        return self.held is not None or self.refusal is not None


class Offers:
    """What threads of this process offer to run for a site; ``feeder``: its Feeder.

    ``wake``: as of that.
    """

    def __init__(self, feeder, wake):
        self._feeder = feeder
        self._changed = feeder.changed
        self._wake = wake
        self._waiting = {}  # Offers by (id, fence)

    def run(self, id, fence, patience):
        """Run a task in this thread, if another instance has sent it.

        ``id``, ``fence``: as of an Offer; ``patience``: how many seconds to wait for
        the database. Returns None once it has ended, or why it does not run here, a
        text.
        """
        offer = Offer(id, fence)
        if not self.add(offer):
            return "it comes twice"
        try:
            with self._changed:
                if not self._changed.wait_for(lambda: offer.is_decided, patience):
                    self.withdraw(offer)
            if offer.held is None:
                return offer.refusal
            with named_thread(offer.held.queue, id):
                work_on(self._feeder, offer.held)
        except BaseException as error:  # of a signal, as that of Celery's soft limit
            self._leave(offer, error)
            raise
        return None

    def add(self, offer):
        """Let a look decide on an Offer; return False if it does so already."""
        with self._changed:
            if self._waiting.setdefault((offer.id, offer.fence), offer) is not offer:
                return False
        self._wake(is_waited_for=True)
        return True

    def withdraw(self, offer):
        """Nobody waits any more, though it is not decided."""
        with self._changed:
            self._waiting.pop((offer.id, offer.fence), None)
            offer.is_withdrawn = True
            offer.refusal = "the database could not be looked at in time"

    def _leave(self, offer, error):
        """Its thread goes away before it should: nobody is to wait for that."""
        with self._changed:
            held = offer.held
            if not offer.is_decided:
                self.withdraw(offer)
            elif held is not None and not held.is_over:
                held.has_thread = False
                # What had begun is not to begin once more.
                held.is_left = held.task is None
                held.ended = None if held.is_left else outcome.failed(error)
        self._wake()

    def waiting(self):
        """Return the Offers that are not decided, the first one first."""
        with self._changed:
            return list(self._waiting.values())

    def refuse(self, offer, reason):
        """It is not to be run here; ``reason``: a text."""
        with self._changed:
            self._waiting.pop((offer.id, offer.fence), None)
            offer.refusal = offer.refusal or reason
            self._changed.notify_all()

    def accept(self, offer, held):
        """It is this instance's now; ``held``: the Held."""
        with self._changed:
            self._waiting.pop((offer.id, offer.fence), None)
            self._feeder.held[offer.id] = held
            held.has_thread = not offer.is_withdrawn
            held.is_left = offer.is_withdrawn
            if not offer.is_withdrawn:
                offer.held = held
            self._changed.notify_all()


def take_over(look):
    """Take over what threads of this process offer to run. In a Look."""
    feeder = look.feeder
    found = []
    for offer in look.offers:
        stored = look.scheduler.shards.find(offer.id)
        if _may_be_early(stored, offer):
            look.again_in(SOON)
            continue
        reason = _against(look, stored, offer)
        if reason is None:
            found.append((offer, stored))
        else:
            look.then.append(partial(feeder.offers.refuse, offer, reason))
    not_over = feeder.not_over()
    if any(held.claim.is_marked for held in not_over):
        return  # it runs alone: others are not to die with it
    marked = [choice for choice in found if choice[1].is_marked]
    if marked:
        # Nothing new until it can run; else it might wait for ever.
        found = [] if not_over else marked[:1]
    for offer, stored in found:
        _take(look, offer, stored)


def refuse_all(look, reason):
    """Nothing is to be run here any more. ``reason``: a text."""
    for offer in look.offers:
        look.then.append(partial(look.feeder.offers.refuse, offer, reason))


def _may_be_early(stored, offer):
    """Whether the database as it is seen here may be older than what was sent.

    It learns of others' commits as the broker of messages, and that may be faster.
    """
    is_older = stored is None or stored.fence < offer.fence
    return is_older and monotonic() - offer.made_at < EARLY


def _against(look, stored, offer):
    """Return why a StoredTask, or None, cannot be taken over, a text, or None."""
    scheduler = look.scheduler
    if look.feeder.is_stopping:
        return "this process is about to end"
    if stored is None:
        return "there is no such task, or not any more"
    if stored.version > VERSION:
        return "it is one of a later version, which this instance does not know"
    if stored.fence != offer.fence or not stored.is_reserved:
        return "it has ended, or was given to somebody else since"
    if look.has(stored, offer.fence) and stored.id not in look.feeder.held:
        return None  # that commit went through, though the storage did not say so
    holding = scheduler.holdings.get(stored.instance)
    if holding is None or stored.id not in holding.sent:
        return "nobody has sent it, or another worker has it already"
    if scheduler.shards.requested(stored.id) is not None:
        cancel_waiting(scheduler, stored, look.news)
        return "it was cancelled meanwhile"
    if is_unwanted(scheduler, stored):
        return "its group was cancelled meanwhile"
    if stored.queue in scheduler.paused:
        return f"the queue {stored.queue} is paused"
    if look.has_to_take_turns(stored):
        stored.release()
        return "those of its kind conflict, so that it stands in their line now"
    return None


def _take(look, offer, stored):
    stored.hand_over(look.me)
    if stored.begins_with_commit and not stored.has_begun:
        stored.begin()
    look.tasks[stored.id] = (stored.fence, look.now, None)
    look.uses[stored.id] = stored.queue, stored.locks
    claim = look.feeder.claim_of(stored, stored.fence)
    held = Held(
        claim,
        stored.queue,
        stored.locks,
        is_taken_over=True,
        is_wanted=bool(stored.locks)
        or stored.unique is not None
        or limit_of(look, stored.queue) < inf,
    )
    look.then.append(partial(look.feeder.offers.accept, offer, held))
