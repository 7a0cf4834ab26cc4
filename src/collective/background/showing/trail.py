"""The trail of a task, see ``model/trail.py``, for who manages tasks.

Comes in: a TaskRecord that ``visibility`` has let through. Goes out: its attempts with
the one at hand, and who has intervened, for people and as JSON.
"""

from collective.background.model import states
from collective.background.model import trail
from collective.background.model.messages import _
from collective.background.model.trail import Attempt
from collective.background.scheduling.groups import KIND
from collective.background.showing.rights import is_of_this_site
from collective.background.showing.serializing import serialize_error
from dataclasses import asdict
from plone import api
from zope.i18nmessageid import Message


WHO = {
    trail.COMMAND: _("the operator at the command line"),
    trail.SHUTDOWN: _("the shutdown of the process"),
    trail.SYSTEM: _("the system"),
    trail.TIMEOUT: _("a timeout"),
}
DONE = {
    trail.CANCEL: _("Cancelled by ${who}"),
    trail.RETRY: _("Tried again by ${who}"),
}


def attempts_of(record):
    """Return the last Attempts of a task as a list, the oldest first.

    With the one that runs, and the only one of a task that has succeeded at once.
    """
    is_running = record.state == states.RUNNING
    started = record.began if is_running else record.started
    is_unknown = not (is_running or record.timeline) and started is None
    if is_unknown or record.kind == KIND:
        return []
    if record.timeline and not is_running:
        return list(record.timeline)
    at_hand = Attempt(
        number=record.attempts,
        state=record.state,
        started=started,
        finished=record.finished,
        instance=record.instance,
    )
    return [*record.timeline, at_hand]


def intervention_text(intervention):
    """Return what an Intervention was, and whose: a Message."""
    who = WHO.get(intervention.by) or _user(intervention)
    return Message(DONE[intervention.action], mapping={"who": who})


def serialize_trail(record, request):
    """Return a dictionary of ``attempts_of`` and of the interventions, for JSON.

    Times are in ISO 8601.
    """
    return {
        "timeline": [
            _serialized(attempt)
            | {"error": attempt.error and serialize_error(attempt.error, request)}
            for attempt in attempts_of(record)
        ],
        "interventions": [
            _serialized(each) | {"user_name": _full_name(each)}
            for each in record.interventions
        ],
    }


def _serialized(value):
    times = ("started", "finished", "when")
    return {
        name: each and each.isoformat() if name in times else each
        for name, each in asdict(value).items()
    }


def _user(intervention):
    if intervention.user_id is None:
        return _("anonymous")
    name = _full_name(intervention)
    return f"{name} ({intervention.user_id})" if name else intervention.user_id


def _full_name(intervention):
    """Return what a user of this site is called; "": not known."""
    if not is_of_this_site(intervention.user_id, intervention.user_path):
        return ""
    user = api.user.get(userid=intervention.user_id)
    return "" if user is None else user.getProperty("fullname", "") or ""
