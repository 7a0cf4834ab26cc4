"""Why a task waits, and where, for people.

Comes in: a TaskRecord. Goes out: a text. Used by the tray and the control
panel.
"""

from collective.background.api.scheduling import get_scheduler
from collective.background.capture.call import EXTERNAL
from collective.background.deployment import is_foreign
from collective.background.model.messages import _
from collective.background.model.records import LOOKED_AHEAD
from collective.background.model.states import WAITING
from collective.background.scheduling.groups import KIND
from collective.background.showing.visibility import find_visible
from datetime import datetime
from datetime import UTC
from functools import cached_property
from plone import api
from zope.i18nmessageid import Message


LOOKED_AT = 10  # tasks of those after which one waits; it may be thousands

PLACES = (_("next in line"), _("second in line"), _("third in line"))


class Reasons:
    """Finds reasons; one for each request."""

    def of(self, record):
        """Return why a task waits: a Message; None: for its time, or not at all."""
        if record.state not in WAITING:
            return None
        if record.after:
            return self._of_order(record.after)
        if record.kind == KIND:
            return None  # that is what its members wait for
        if record.kind == EXTERNAL and self._is_elsewhere(record):
            return _("for another program, which has not begun it yet")
        if self._lines.is_paused(record.queue):
            return _("the queue is paused")
        if self._is_early(record) or self._is_foreign:
            return None
        if self._lines.is_cut_off(record.queue):
            return _("the workers cannot be reached")
        if not self._lines.is_executed(record.queue):
            message = _("no process executes the queue “${name}”")
            return Message(message, mapping={"name": record.queue})
        return self._of_place(record)

    @cached_property
    def _is_foreign(self):
        return is_foreign(api.portal.get())

    @cached_property
    def _now(self):
        return datetime.now(UTC)

    @cached_property
    def _lines(self):
        return get_scheduler().lines()

    def _is_elsewhere(self, record):
        standing = self._lines.standing(record.id)
        return standing is not None and standing.is_elsewhere

    def _is_early(self, record):
        return record.eta is not None and record.eta > self._now

    def _of_order(self, ids):
        # What is another user's is nothing but an id.
        first = next(iter(find_visible(ids[:LOOKED_AT]).values()), None)
        if first is None:
            return _("after another task")
        return Message(_("after “${title}”"), mapping={"title": first.title})

    def _of_place(self, record):
        standing = self._lines.standing(record.id)
        if standing is None:
            return None
        place = _place(standing.before)
        if standing.holder is not None:
            return _with(self._of_lock(standing.holder), place)
        if standing.is_limited:
            return _with(_("the queue has reached its limit"), place)
        return place

    def _of_lock(self, holder):
        found = find_visible([holder]).get(holder)
        if found is None:
            return _("another task has its lock")
        return Message(_("“${title}” has its lock"), mapping={"title": found.title})


def _place(before):
    if before < len(PLACES):
        return PLACES[before]
    if before > LOOKED_AHEAD:
        message = _("more than ${number} tasks before it")
        return Message(message, mapping={"number": LOOKED_AHEAD})
    return Message(_("${number} tasks before it"), mapping={"number": before})


def _with(reason, place):
    mapping = {"reason": reason, "place": place}
    return Message(_("${reason}, ${place}"), mapping=mapping)
