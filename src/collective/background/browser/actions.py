"""``@@background-task-action``: a user cancels, retries or dismisses a task of his own.

Comes in: the POST of a form of the tray, with ``action``, and ``id`` unless it is done
to all. Goes out: JSON for the script, which asks for it; for others, the page where
they were, with a message.
"""

from collective.background.browser.wholes import dismiss_finished
from collective.background.exceptions import IllegalTransition
from collective.background.exceptions import TaskNotFound
from collective.background.exceptions import Unavailable
from collective.background.model import states
from collective.background.model.messages import _
from collective.background.showing.page import PageView
from collective.background.showing.page import read_text
from collective.background.showing.unavailable import answer_unavailable
from collective.background.showing.visibility import cancel_task
from collective.background.showing.visibility import dismiss_task
from collective.background.showing.visibility import retry_task
from plone import api
from plone.protect import CheckAuthenticator
from plone.protect import PostOnly
from zExceptions import BadRequest
from zExceptions import NotFound
from zope.i18n import translate
from zope.i18nmessageid import Message

import json


ACTIONS = {"cancel": cancel_task, "retry": retry_task, "dismiss": dismiss_task}
DISMISS_FINISHED = "dismiss-finished"
NAMES = (*ACTIONS, DISMISS_FINISHED)

DONE = {
    "cancel": _("“${title}” is cancelled."),
    "retry": _("“${title}” is queued again."),
    "dismiss": _("“${title}” is not shown any more."),
}
ALL_DISMISSED = _("Tasks that have ended are not shown any more.")
STOPPING = _("“${title}” will stop at the next opportunity.")
TOO_LATE = _("“${title}” has ended already.")
REFUSED = {
    "cancel": _("None of these tasks is yours."),
    "retry": _("This task cannot be tried again."),
    "dismiss": _("Only a task that has ended can be dismissed."),
}
NO_ROOM = _("The server takes no more tasks now. Try again in a moment.")

MAX_ADDRESS = 8000  # characters; clients refuse longer headers


class ActionView(PageView):
    """The form has ``action``: one of NAMES, ``id`` of a task, and ``came_from``: the
    address to go back to.

    The JSON has ``error``: why it was not done, or "".
    """

    def __call__(self):
        PostOnly(self.request)
        CheckAuthenticator(self.request)
        form = self.request.form
        name = read_text(form, "action")
        if name not in NAMES:
            raise BadRequest(
                f"action is {name!r:.100}; it must be one of {', '.join(NAMES)}"
            )
        told, error = self._act(name, read_text(form, "id"))
        if self.wants_json:
            return self._json(error)
        return self._redirect(told, error)

    @property
    def wants_json(self):
        return "application/json" in self.request.getHeader("Accept", "")

    def _act(self, name, id):
        """Return what to say of it and "", or "" and why it was not done."""
        if name == DISMISS_FINISHED:
            dismiss_finished()
            return ALL_DISMISSED, ""
        try:
            return self._told(name, ACTIONS[name](id)), ""
        except TaskNotFound as error:
            raise NotFound(str(error)) from error
        except IllegalTransition:
            return "", self._text(REFUSED[name])
        except Unavailable as error:
            if self.wants_json:
                answer_unavailable(self.request, error)
            return "", self._text(NO_ROOM)

    def _json(self, error):
        response = self.request.response
        response.setHeader("Content-Type", "application/json")
        if error:
            response.setStatus(409)
        return json.dumps({"error": error})

    def _redirect(self, told, error):
        kind = "warning" if error else "info"
        api.portal.show_message(error or told, self.request, kind)
        came_from = read_text(self.request.form, "came_from")
        urls = api.portal.get_tool("portal_url")
        is_address = 0 < len(came_from) <= MAX_ADDRESS
        if not is_address or not urls.isURLInPortal(came_from):
            came_from = urls()
        return self.request.response.redirect(came_from)

    def _told(self, name, record):
        """Return what to say about a task to which something was done."""
        message = DONE[name]
        if name == "cancel" and record.state != states.CANCELLED:
            message = TOO_LATE if record.state in states.FINISHED else STOPPING
        title = self._text(record.title)
        return self._text(Message(message, mapping={"title": title}))

    def _text(self, message):
        return translate(message, context=self.request)
