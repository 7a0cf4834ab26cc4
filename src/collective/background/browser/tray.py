"""The tray: a user's own tasks as a line, which opens to a list of them.

Comes in: content, on whose page it is. Goes out: HTML, or nothing for who has no tasks,
which is found out before anything else is. The line alone is in every page, see
``viewlet``; the list is fetched when somebody opens it, see ``polling``.
"""

from collective.background.browser.items import Items
from collective.background.browser.items import version
from collective.background.browser.wholes import newest_wholes
from collective.background.deployment import is_foreign
from collective.background.model import states
from collective.background.model.messages import _
from collective.background.model.settings import background_settings
from collective.background.showing.presentation import is_partial
from collective.background.showing.results import is_for_people
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from functools import cached_property
from plone import api
from Products.Five import BrowserView
from Products.Five.browser.pagetemplatefile import ViewPageTemplateFile
from zope.i18n import translate
from zope.i18nmessageid import Message


# What buttons and links are called, by the names that items have for them.
LABELS = {
    "cancel": _("Cancel"),
    "retry": _("Retry"),
    "dismiss": _("Dismiss"),
    "page_url": _("Show the result"),
    "download_url": _("Download the result"),
    "failures_url": _("Show what failed"),
}

# The buttons, as the control panel has them.
CLASSES = {"cancel": "btn-warning", "retry": "btn-primary", "dismiss": "btn-secondary"}

# What is done but for some items of a batch.
PARTIAL = "partial"

# The order of the list, and what the line says of each kind.
COUNTS = {
    states.RUNNING: _("${number} running"),
    states.RETRYING: _("${number} to be tried again"),
    states.QUEUED: _("${number} waiting"),
    states.FAILED: _("${number} failed"),
    states.LOST: _("${number} lost"),
    PARTIAL: _("${number} done in part"),
    states.SUCCEEDED: _("${number} done"),
    states.CANCELLED: _("${number} cancelled"),
}
# Those with the same number are one among the others, by their time.
RANKS = {state: rank for rank, state in enumerate(COUNTS)} | {
    states.LOST: list(COUNTS).index(states.FAILED),
    states.CANCELLED: list(COUNTS).index(states.SUCCEEDED),
}

UNKNOWN = _("“${title}” is no longer known: the server was restarted.")

SHOWN = 20  # tasks; what a list above the content has room for
SHOWN_ON_PAGE = 100  # on the page of the list
MANY = 101  # tasks that run, wait or have ended; nobody has to know of more
FOLDED_AFTER = timedelta(minutes=5)  # since a task has succeeded


class Tray(BrowserView):
    """``tasks``: what the list has, each with ``item`` (see ``items.py``), and whether
    it ``is_here``, which means that it works on the content of the page.

    ``is_open``: with the list; ``is_all``: with what has succeeded a while ago.
    """

    template = ViewPageTemplateFile("templates/tray.pt")
    classes = CLASSES
    is_listing = False

    def __init__(self, context, request, is_open=False, is_all=False):
        super().__init__(context, request)
        self.is_open, self.is_all = is_open, is_all
        self._items = Items(request)

    def __call__(self):
        return self.template() if self.records else ""

    @cached_property
    def settings(self):
        return background_settings()

    @cached_property
    def records(self):
        """The TaskRecords in their order, one for the tasks of a group."""
        wholes = newest_wholes(MANY)
        if not wholes:
            return []
        now = datetime.now(UTC)
        kept = [each for each in wholes if self.is_all or not _is_folded(each, now)]
        return sorted(kept, key=self._place)

    def _place(self, record):
        # The newest come first already; but who waits for longest is the next one.
        age = record.created.timestamp() if record.state == states.QUEUED else 0.0
        return RANKS[_kind(record)], not self.is_here(record), age

    @cached_property
    def here(self):
        """The paths of the content of the page.

        Two for the default page of a folder, whose tasks are those of its page, too.
        """
        page = self.context.restrictedTraverse("@@plone_context_state")
        contents = (self.context, page.canonical_object())
        return {"/".join(content.getPhysicalPath()) for content in contents}

    @property
    def shown(self):
        """The records of what the list has room for."""
        return self.records[: self._room]

    @property
    def _room(self):
        return SHOWN_ON_PAGE if self.is_all else SHOWN

    def is_here(self, record):
        return record.context_path in self.here

    @property
    def version(self):
        """A value that changes when what the list shows does."""
        return (
            self.poll_url,
            self._items.may_change,
            self.stands_still,
            self.counts(),
            [
                (version(record), self._items.reason(record), self.is_here(record))
                for record in self.shown
            ],
        )

    # For the template.

    @property
    def is_active(self):
        return any(record.state in states.UNFINISHED for record in self.records)

    @cached_property
    def stands_still(self):
        """Whether tasks wait that do not run here: the site is a copy."""
        return self.is_active and is_foreign(api.portal.get())

    @property
    def has_ended(self):
        return any(record.state in states.FINISHED for record in self.records)

    def counts(self):
        """Return the parts of the line: a kind, and how many tasks are of it."""
        found = [_kind(record) for record in self.records]
        return [
            {"kind": kind, "text": self._count(text, found.count(kind))}
            for kind, text in COUNTS.items()
            if kind in found
        ]

    def _count(self, text, number):
        shown = f"{MANY - 1}+" if number >= MANY else number
        return translate(Message(text, mapping={"number": shown}), context=self.request)

    def current(self):
        """Return the item of the task that runs; the first, or None."""
        first = self.records[0]
        return self._items.item(first) if first.state == states.RUNNING else None

    @property
    def is_cut(self):
        return len(self.records) > self._room

    @property
    def tasks(self):
        return [
            {"item": self._items.item(record), "is_here": self.is_here(record)}
            for record in self.shown
        ]

    def labels(self):
        """Translated once, and not for each task."""
        return {
            name: translate(label, context=self.request)
            for name, label in LABELS.items()
        }

    @property
    def url(self):
        return f"{self.context.absolute_url()}/@@background-tasks"

    @property
    def poll_url(self):
        return f"{self.url}?ajax_load=1{'&all=1' if self.is_all else ''}"

    @property
    def unknown(self):
        """What the script says of a task that is not there any more, with its title."""
        message = Message(UNKNOWN, mapping={"title": "{title}"})
        return translate(message, context=self.request)

    @property
    def action_url(self):
        return f"{self.context.absolute_url()}/@@background-task-action"

    @property
    def login_url(self):
        return f"{api.portal.get().absolute_url()}/login"


def _kind(record):
    """Return what the line counts a task as: its state, or PARTIAL."""
    return PARTIAL if is_partial(record) else record.state


def _is_folded(record, now):
    """Whether a task has succeeded a while ago, and has left nothing to look at."""
    return (
        record.state == states.SUCCEEDED
        and now - record.finished > FOLDED_AFTER
        and not is_for_people(record)
    )
