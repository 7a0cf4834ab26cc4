"""The viewlet above the content: the line of the tray.

Comes in: a page of a logged-in user. Goes out: HTML, or nothing for who has no tasks.
Its script is ``static/tasks.js``; without it the viewlet shows the tasks as they were
when the page was made, and leads to a page with the list of them.
"""

from collective.background.browser.polling import TasksView
from collective.background.browser.tray import Tray
from plone.app.layout.viewlets.common import ViewletBase


class BackgroundTasksViewlet(ViewletBase):
    def update(self):
        """Nothing is needed before it is known that there are tasks."""

    def render(self):
        if isinstance(self.view, TasksView):
            return ""  # it has the list
        tray = Tray(self.context, self.request)
        if not tray.records or not tray.settings.show_viewlet:
            return ""
        tray.is_listing = self._is_listing()
        return tray()

    def _is_listing(self):
        """Whether the page lists what is in a folder, and can be fetched again."""
        page = self.context.restrictedTraverse("@@plone_context_state")
        is_folder = page.is_folderish() or page.is_default_page()
        return is_folder and page.is_view_template()
