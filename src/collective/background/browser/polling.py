"""``@@background-tasks``: the list of a user's own tasks.

Comes in: a GET. Goes out: a page; or, for the script of another page, the tray alone,
with nothing in it for who has no tasks. If the browser knows it already, there is an
answer without a body, with the status 304.
"""

from collective.background.browser.tray import Tray
from collective.background.showing.page import PageView
from collective.background.showing.page import read_text
from hashlib import blake2b
from plone.transformchain.interfaces import DISABLE_TRANSFORM_REQUEST_KEY
from Products.Five.browser.pagetemplatefile import ViewPageTemplateFile


# In an address: the tray alone. It is Plone's word for a page without surroundings.
PART = "ajax_load"


class TasksView(PageView):
    """In the address: ``ajax_load``, see PART; ``all``: with what has succeeded a
    while ago, as on the page itself.
    """

    index = ViewPageTemplateFile("templates/tasks.pt")

    def __call__(self):
        if not read_text(self.request.form, PART):
            return self.index()
        tray = self.tray
        response = self.request.response
        etag = self._etag(tray.settings.show_viewlet, tray.version)
        response.setHeader("ETag", etag)
        response.setHeader("Retry-After", str(tray.settings.poll_interval))
        if etag in self._known_etags():
            response.setStatus(304)
            return ""
        response.setHeader("Content-Type", "text/html; charset=utf-8")
        # It has all that it needs, and is no whole page.
        self.request.environ[DISABLE_TRANSFORM_REQUEST_KEY] = True
        return tray() if tray.is_all or tray.settings.show_viewlet else ""

    @property
    def tray(self):
        form = self.request.form
        is_all = bool(read_text(form, "all")) or not read_text(form, PART)
        return Tray(self.context, self.request, is_open=True, is_all=is_all)

    def _etag(self, *parts):
        # The same in all processes, unlike what hash() returns.
        language = self.request.get("LANGUAGE", "")
        digest = blake2b(repr((language, *parts)).encode(), digest_size=12)
        return f'"{digest.hexdigest()}"'

    def _known_etags(self):
        header = self.request.getHeader("If-None-Match", "")
        # Proxies that compress mark them as weak.
        return [tag.strip().removeprefix("W/") for tag in header.split(",")]
