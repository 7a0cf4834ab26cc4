"""What managers do to tasks: cancel, retry, delete; to one, or to many at once.

Comes in: the name of an action and the ids of tasks. Goes out: how often it had which
outcome, and a message that says so. Used by ``tasks``, ``many`` and
``task``.
"""

from AccessControl import Unauthorized
from collections import Counter
from collective.background.exceptions import IllegalTransition
from collective.background.exceptions import TaskNotFound
from collective.background.exceptions import Unavailable
from collective.background.model import states
from collective.background.model.messages import _
from collective.background.showing.visibility import cancel_task
from collective.background.showing.visibility import forget_task
from collective.background.showing.visibility import retry_task
from collective.background.showing.visibility import visible_record
from zExceptions import BadRequest
from zope.i18n import translate
from zope.i18nmessageid import Message


DONE = "done"
STOPPING = "stopping"
REFUSED = "refused"
GONE = "gone"

# Outcomes, in the order in which they are told.
MESSAGES = {
    "cancel": {
        DONE: _("${count} cancelled"),
        STOPPING: _("${count} will stop at the next opportunity"),
        REFUSED: _("${count} had ended already"),
        GONE: _("${count} not there any more"),
    },
    "retry": {
        DONE: _("${count} queued again"),
        REFUSED: _("${count} cannot be tried again"),
        GONE: _("${count} not there any more"),
    },
    "delete": {
        DONE: _("${count} deleted"),
        REFUSED: _("${count} not deleted, as they have not ended"),
        GONE: _("${count} not there any more"),
    },
}


def _cancel(id):
    if visible_record(id).state in states.FINISHED:
        return REFUSED
    ended = cancel_task(id).state in states.FINISHED
    return DONE if ended else STOPPING


def _retry(id):
    retry_task(id)
    return DONE


def _delete(id):
    forget_task(id)
    return DONE


ACTIONS = {"cancel": _cancel, "retry": _retry, "delete": _delete}


def check_action(name):
    """Return the name of an action, or raise BadRequest."""
    if name not in ACTIONS:
        raise BadRequest(
            f"action is {name!r:.100}; it must be one of {', '.join(ACTIONS)}"
        )
    return name


def perform(name, ids):
    """Do something to tasks; return the Report.

    ``name``: one of ACTIONS, or BadRequest is raised. Tasks that are not there any
    more, or not in the right state, are left alone and counted. When the scheduler
    takes no more tasks, the rest is left.
    """
    report = Report(check_action(name))
    for id in ids:
        try:
            report.outcomes[ACTIONS[name](id)] += 1
        except TaskNotFound:
            report.outcomes[GONE] += 1
        except (IllegalTransition, Unauthorized):
            report.outcomes[REFUSED] += 1
        except Unavailable as error:
            report.error = error
            break
    return report


class Report:
    """How often an action had which outcome.

    ``outcomes``: a Counter; ``error``: why the scheduler took no more tasks, or None.
    """

    def __init__(self, action):
        self.action = action
        self.outcomes = Counter()
        self.error = None

    def add(self, other):
        """Count what another Report says, of what was done after it."""
        self.outcomes += other.outcomes
        self.error = other.error

    @property
    def has_deleted(self):
        return self.action == "delete" and self.outcomes[DONE] > 0

    @property
    def type(self):
        """The type of the message."""
        if self.error is not None:
            return "error"
        return "info" if self.outcomes[DONE] or self.outcomes[STOPPING] else "warning"

    def text(self, request):
        """Return the message in the language of a request."""
        parts = [
            translate(Message(text, mapping={"count": count}), context=request)
            for outcome, text in MESSAGES[self.action].items()
            if (count := self.outcomes[outcome])
        ]
        if self.error is not None:
            parts.append(str(self.error))
        return ", ".join(parts) or translate(
            _("No task was selected."), context=request
        )
