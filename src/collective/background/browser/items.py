"""A task as its user sees it: texts, addresses, and what can be done to it.

Comes in: a TaskRecord that ``showing/visibility.py`` has let through. Goes out: plain
values for the template of the tray.
"""

from collective.background.capture.call import BATCH
from collective.background.exceptions import TaskNotFound
from collective.background.model import states
from collective.background.model.messages import _
from collective.background.showing.presentation import error_text
from collective.background.showing.presentation import is_partial
from collective.background.showing.presentation import MESSAGE_CLASSES
from collective.background.showing.presentation import percentage
from collective.background.showing.presentation import progress_text
from collective.background.showing.presentation import state_class
from collective.background.showing.presentation import state_label
from collective.background.showing.presentation import time_left
from collective.background.showing.results import content_url
from collective.background.showing.results import download_url
from collective.background.showing.results import failures_url
from collective.background.showing.results import is_for_people
from collective.background.showing.results import result_page
from collective.background.showing.rights import Trust
from collective.background.showing.visibility import may_cancel
from collective.background.showing.visibility import task_result
from collective.background.showing.waiting import Reasons
from datetime import datetime
from datetime import UTC
from functools import cache
from functools import cached_property
from operator import attrgetter
from plone import api
from plone.app.event.base import default_timezone
from zope.i18n import translate
from zope.i18nmessageid import Message


# What an item is made of. Not "eta": of a waiting task it is another one each time,
# by a fraction of a second.
_shown = attrgetter(
    *("id", "state", "cancel_requested", "title", "progress", "messages"),
    *("error", "has_result"),
)


def version(record):
    """Return a value that changes when what is shown of a task does."""
    return _shown(record)


class Items:
    """Makes items, for one request."""

    def __init__(self, request):
        self._request = request
        self._now = datetime.now(UTC)
        self._reasons = Reasons()
        # Many tasks are in the same state, and begin or end in the same minute.
        self._label = cache(self._text)
        self._at = cache(self._at)

    @cached_property
    def may_change(self):
        """Whether the user may cancel and retry."""
        return may_cancel()

    @cached_property
    def _trust(self):
        return Trust()

    @cached_property
    def _timezone(self):
        return default_timezone(as_tzinfo=True)

    def item(self, record):
        """Return the item of a task: a dictionary of plain values.

        - ``id``, ``state``; ``is_active``: whether it has not ended, ``is_partial``:
          whether it has succeeded but for some items
        - ``state_class``: of CSS; ``percentage``: from 0 to 100, or None
        - ``title``, ``label`` (of the state), ``progress``, ``remaining``,
          ``moment``, ``reason`` (why it waits), ``error``: texts, which may be empty
        - ``url``: of the content; ``page_url``, ``download_url``: of the result,
          ``failures_url``: of what failed of a batch; or None
        - ``messages``: each with ``text`` and ``css_class``
        - ``actions``: names of what can be done, see ``actions.py``
        """
        text = self._text
        is_active = record.state in states.UNFINISHED
        return {
            "id": record.id,
            "state": record.state,
            "is_active": is_active,
            "is_partial": is_partial(record),
            "state_class": state_class(record),
            "percentage": self._percentage(record),
            "title": text(record.title),
            "label": self._label(state_label(record)),
            "progress": self._progress(record.progress),
            "remaining": text(time_left(record) or ""),
            "moment": self._moment(record),
            "reason": self.reason(record),
            "error": self._error(record),
            "url": content_url(record, self._request),
            "messages": [
                {
                    "text": text(message.text),
                    "css_class": MESSAGE_CLASSES[message.type],
                }
                for message in record.messages
            ],
            "actions": self._actions(record, is_active),
            **self._result(record, is_active),
        }

    def reason(self, record):
        """Return why a task waits: a text, or ""."""
        reason = self._reasons.of(record)
        return "" if reason is None else self._text(reason)

    def _text(self, message):
        return translate(message, context=self._request)

    def _percentage(self, record):
        if record.state == states.SUCCEEDED:
            return 100
        if record.state == states.RUNNING:
            return percentage(record.progress)
        return percentage(record.progress) or 0

    def _progress(self, progress):
        parts = (progress_text(progress), self._text(progress.message))
        return " · ".join(part for part in parts if part)

    def _moment(self, record):
        """Return when it has ended, or was begun, or is to begin."""
        if record.finished is not None:
            message, moment = _("ended ${time}"), record.finished
        elif record.eta is not None:
            message, moment = _("waits until ${time}"), record.eta
        elif record.started is not None:
            message, moment = _("started ${time}"), record.started
        else:
            message, moment = _("scheduled ${time}"), record.created
        # Seconds are not shown.
        return self._at(message, moment.replace(second=0, microsecond=0))

    def _at(self, message, minute):
        minute, now = (each.astimezone(self._timezone) for each in (minute, self._now))
        is_today = minute.date() == now.date()
        time = api.portal.get_localized_time(
            minute, long_format=not is_today, time_only=is_today
        )
        return self._text(Message(message, mapping={"time": time}))

    def _error(self, record):
        return "" if record.error is None else self._text(error_text(record.error))

    def _actions(self, record, is_active):
        if is_active:
            can_be_cancelled = self.may_change and not record.cancel_requested
            return ["cancel"] if can_be_cancelled else []
        can_be_retried = record.can_be_retried and self.may_change
        can_be_retried = can_be_retried and self._trust.covers(record)
        return ["retry", "dismiss"] if can_be_retried else ["dismiss"]

    def _result(self, record, is_active):
        page = download = failures = None
        if not is_active and record.kind == BATCH:
            failures = failures_url(record)
        elif not is_active and is_for_people(record):
            try:
                result = task_result(record.id)
            except TaskNotFound:  # it was forgotten meanwhile
                result = None
            page = result_page(result)
            download = None if page else download_url(record.id, result)
        return {"page_url": page, "download_url": download, "failures_url": failures}
