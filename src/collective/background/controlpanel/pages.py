"""What the pages of the control panel have in common.

Comes in: a GET, which shows the page; or the POST of one of its forms, which does
something and sends the browser back to where it was. The base of the other modules.
"""

from collective.background.controlpanel.deployment import notice
from collective.background.model.messages import _
from collective.background.model.settings import background_settings
from collective.background.showing.page import PageView
from collective.background.showing.presentation import ago
from collective.background.showing.presentation import duration
from collective.background.showing.presentation import error_text
from collective.background.showing.presentation import percentage
from collective.background.showing.presentation import state_class
from collective.background.showing.presentation import state_label
from collective.background.showing.waiting import Reasons
from datetime import datetime
from datetime import UTC
from functools import cached_property
from plone import api
from plone.app.event.base import default_timezone
from plone.app.layout.viewlets.common import ViewletBase
from plone.protect import CheckAuthenticator
from Products.CMFPlone.resources import add_bundle_on_request
from Products.Five.browser.pagetemplatefile import ViewPageTemplateFile
from urllib.parse import parse_qsl
from urllib.parse import urlencode
from zope.i18n import translate
from zope.i18nmessageid import Message


# In an address: the part only. It is Plone's word for a page without surroundings.
PART = "ajax_load"

BUNDLE = "collective.background.controlpanel"

# The tabs: names of views, and what they are called.
TASKS = "@@background-tasks-controlpanel"
TABS = {
    TASKS: _("Tasks"),
    "@@background-tasks-activity": _("Activity"),
    "@@background-tasks-statistics": _("Statistics"),
    "@@background-tasks-recurring": _("Recurring tasks"),
    "@@background-tasks-settings": _("Settings"),
}


class NoViewlet(ViewletBase):
    """In place of the viewlet with one's own tasks: the pages have all tasks."""

    def render(self):
        return ""


class ControlPanelPage(PageView):
    """A page: heading, tabs, and a part that is its own.

    ``part()`` renders that; ``name`` is the view of its tab. While ``is_live`` the
    browser fetches the part again and again.
    """

    index = ViewPageTemplateFile("templates/page.pt")
    body = ViewPageTemplateFile("templates/body.pt")
    notice_form = ViewPageTemplateFile("templates/notice.pt")
    # An SVG has a width without a style, which a strict policy would not let it have.
    progress_bar = ViewPageTemplateFile("templates/progress.pt")
    label = _("Background tasks")
    name = TASKS
    is_live = True
    shows_hints = False  # what might be better, though all is well

    def __call__(self):
        if self.request.method == "POST":
            CheckAuthenticator(self.request)
            return self.request.response.redirect(self.act() or self.address)
        if PART in self.request.form:
            return self.body()
        add_bundle_on_request(self.request, BUNDLE)
        return self.index()

    def act(self):
        """Do what the form says, and tell so.

        Returns the address to go to, if it is another one.
        """
        raise NotImplementedError

    def tell(self, text, type="info", **mapping):
        """Show a message on the page to which the browser is sent back.

        ``type``: "info", "warning" or "error"; ``mapping``: what stands for the names
        in a Message.
        """
        if mapping:
            text = Message(text, mapping=mapping)
        api.portal.show_message(text, self.request, type)

    @property
    def address(self):
        """The page's own address, to which its forms are sent."""
        query = parse_qsl(self.request.get("QUERY_STRING", ""))
        query = urlencode([(name, value) for name, value in query if name != PART])
        return self.request.ACTUAL_URL + (f"?{query}" if query else "")

    @property
    def poll_interval(self):
        """After how many seconds the part is fetched again."""
        return background_settings().poll_interval

    @property
    def configlet_url(self):
        """The address with which the configlet begins.

        Site Setup marks the tab with the configlet of the page; all are of one.
        """
        return self.url(TASKS)

    def tabs(self):
        return [
            {"url": self.url(name), "title": title, "is_active": name == self.name}
            for name, title in TABS.items()
        ]

    # For the templates.

    def notice(self):
        """Return the Notice of the deployment, or None."""
        return notice()

    def url(self, path):
        """Return the address of what is below the site."""
        return f"{api.portal.get().absolute_url()}/{path}"

    def task_url(self, id):
        return self.url(f"@@background-task/{id}")

    def text(self, message):
        """Return a text in the language of the request."""
        return translate(message, context=self.request)

    def error(self, record):
        return self.text(error_text(record.error))

    def state_label(self, record):
        return self.text(state_label(record))

    def state_class(self, record):
        return state_class(record)

    def reason(self, record):
        """Return why a task waits, in the language of the request, or None."""
        reason = self._reasons.of(record)
        return reason and self.text(reason)

    @cached_property
    def _reasons(self):
        return Reasons()

    def percentage(self, record):
        return percentage(record.progress)

    def duration(self, seconds):
        return "—" if seconds is None else duration(seconds)

    def run_time(self, record):
        """Return how long a task has run, or runs already."""
        end = record.finished or self.now
        return self.duration(max(0, (end - record.started).total_seconds()))

    @cached_property
    def _zone(self):
        """The time zone of the user, or of the site."""
        return default_timezone(as_tzinfo=True)

    def local(self, moment):
        return moment.astimezone(self._zone)

    @cached_property
    def now(self):
        return datetime.now(UTC)

    def ago(self, moment):
        """Return how long ago a moment was, in the language of the request."""
        return self.text(ago(moment, self.now))

    def when(self, moment):
        """Return date and time in the language of the request."""
        if moment is None:
            return "—"
        # It takes a millisecond, and many tasks are scheduled at once.
        second = moment.replace(microsecond=0)
        if second not in self._texts:
            self._texts[second] = api.portal.get_localized_time(
                self.local(second), long_format=True
            )
        return self._texts[second]

    @cached_property
    def _texts(self):
        """Moments that were asked for, as texts."""
        return {}
