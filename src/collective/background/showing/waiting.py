"""Why a task waits, for people.

Comes in: a TaskRecord. Goes out: a text. Used by the tray and the control
panel.
"""

from collective.background.interfaces import ITransactionalScheduler
from collective.background.model.messages import _
from collective.background.model.states import WAITING
from collective.background.showing.visibility import find_visible
from functools import cached_property
from zope.component import getUtility
from zope.i18nmessageid import Message


LOOKED_AT = 10  # tasks of those after which one waits; it may be thousands


class Reasons:
    """Finds reasons; one for each request."""

    def of(self, record):
        """Return why a task waits, a Message; None: only for a slot, or not at all."""
        if record.state not in WAITING:
            return None
        if record.after:
            return self._of_order(record.after)
        if record.queue in self._paused:
            return _("the queue is paused")
        return None

    @cached_property
    def _paused(self):
        queues = getUtility(ITransactionalScheduler).queues()
        return {queue.name for queue in queues if queue.paused}

    def _of_order(self, ids):
        # What is another user's is nothing but an id.
        first = next(iter(find_visible(ids[:LOOKED_AT]).values()), None)
        if first is None:
            return _("after another task")
        return Message(_("after “${title}”"), mapping={"title": first.title})
