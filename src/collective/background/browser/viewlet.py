"""The viewlet above the content: a user's own tasks, those of the page at hand first.

Comes in: a page of a logged-in user. Goes out: HTML, or nothing for who has no tasks,
which is found out before anything else is. Its script is ``static/tasks.js``; without
it the viewlet shows the tasks as they were when the page was made, and its forms work.
"""

from collective.background.browser.items import count_active
from collective.background.browser.items import Items
from collective.background.browser.items import MANY
from collective.background.model.messages import _
from collective.background.model.settings import background_settings
from collective.background.model.states import FINISHED
from collective.background.model.states import RUNNING
from collective.background.model.states import UNFINISHED
from collective.background.model.states import WAITING
from collective.background.showing.visibility import find_visible
from collective.background.showing.visibility import visible_records
from functools import cache
from plone import api
from plone.app.layout.viewlets.common import ViewletBase
from Products.Five.browser.pagetemplatefile import ViewPageTemplateFile
from zope.i18n import translate


# What buttons and links are called, by the names that items have for them.
LABELS = {
    "cancel": _("Cancel"),
    "retry": _("Retry"),
    "dismiss": _("Dismiss"),
    "page_url": _("Show the result"),
    "download_url": _("Download the result"),
}

SHOWN = 20  # tasks; what a page has room for
LOOKED_AT = 100  # tasks that run, wait or have ended; those of a group make one


class BackgroundTasksViewlet(ViewletBase):
    """``tasks``: what is shown, each with ``item`` (see ``items.py``), and whether it
    ``is_here``, which means that it works on the content of the page.
    """

    template = ViewPageTemplateFile("templates/viewlet.pt")

    def update(self):
        """Nothing is needed before it is known that there are tasks."""

    def render(self):
        records = _newest()
        if not records:
            return ""
        self.settings = background_settings()
        if not self.settings.show_viewlet:
            return ""
        self.page = self.context.restrictedTraverse("@@plone_context_state")
        here = self._paths()
        wholes = self._wholes(records)
        wholes.sort(
            key=lambda record: (
                record.context_path not in here,
                record.state not in UNFINISHED,
            )
        )
        self.is_cut = len(wholes) > SHOWN
        self.active = count_active()
        self.active_text = f"{MANY - 1}+" if self.active == MANY else self.active
        items = Items(self.request)
        self.tasks = [
            {"item": items.item(record), "is_here": record.context_path in here}
            for record in wholes[:SHOWN]
        ]
        return self.template()

    def _paths(self):
        """Return the paths of the content of the page.

        Two for the default page of a folder, whose tasks are those of its page, too.
        """
        contents = (self.context, self.page.canonical_object())
        return {"/".join(content.getPhysicalPath()) for content in contents}

    def _wholes(self, records):
        """Return each record once, and one for the tasks of a group.

        The newest first, as far as they come so.
        """
        whole_of = cache(_whole_of)
        wholes = {}
        for record in records:
            whole = whole_of(record.group_id) or record
            wholes.setdefault(whole.id, whole)
        return list(wholes.values())

    # For the template.

    def labels(self):
        """Translated once, and not for each task."""
        return {
            name: translate(label, context=self.request)
            for name, label in LABELS.items()
        }

    @property
    def base_url(self):
        """Where the views are: in the part of the site that has the page's language."""
        return api.portal.get_navigation_root(self.context).absolute_url()

    @property
    def came_from(self):
        query = self.request.get("QUERY_STRING")
        return self.request.ACTUAL_URL + (f"?{query}" if query else "")

    @property
    def is_listing(self):
        """Whether the page lists what is in a folder, and can be fetched again."""
        is_folder = self.page.is_folderish() or self.page.is_default_page()
        return is_folder and self.page.is_view_template()


def _newest():
    """Return the records of the user's newest tasks, but for those he has dismissed.

    However many he has: only some are looked at, also of those that run or wait.
    """
    return [
        record
        for states in (RUNNING, WAITING, FINISHED)
        for record in visible_records(
            states=states, dismissed=False, among=LOOKED_AT, limit=None
        )
    ]


def _whole_of(group_id):
    """Return the TaskRecord of a group, or of the outermost one in which it is.

    As far as the current user may see them; None, if that is no group.
    """
    record = find_visible([group_id]).get(group_id) if group_id else None
    if record is None:
        return None
    return _whole_of(record.group_id) or record
