"""``@@background-tasks``: what has become of some tasks, for the script of the page.

Comes in: their ids. Goes out: JSON with an item of each; or nothing, with the status
304, if the browser knows it all. An id that the user has no business with is as good
as one that does not exist.
"""

from collective.background.browser.items import count_active
from collective.background.browser.items import Items
from collective.background.browser.items import version
from collective.background.model.settings import background_settings
from collective.background.showing.page import PageView
from collective.background.showing.page import read_text
from collective.background.showing.visibility import find_visible
from hashlib import blake2b
from zExceptions import BadRequest

import json


MAX_IDS = 50  # in one request


class PollingView(PageView):
    """The form has ``ids``: those of tasks, with commas between them.

    The answer has ``active``: how many tasks of the user have not ended, ``tasks``:
    the items, ``gone``: the ids of those that are not there (any more).
    """

    def __call__(self):
        ids = self._ids()
        records, gone = self._look_up(ids)
        active = count_active()
        items = Items(self.request)
        etag = self._etag(
            active, gone, items.may_change, [version(record) for record in records]
        )
        response = self.request.response
        response.setHeader("ETag", etag)
        response.setHeader("Retry-After", str(background_settings().poll_interval))
        if etag in self._known_etags():
            response.setStatus(304)
            return ""
        response.setHeader("Content-Type", "application/json")
        return json.dumps(
            {
                "active": active,
                "tasks": [items.item(record) for record in records],
                "gone": gone,
            }
        )

    def _ids(self):
        given = read_text(self.request.form, "ids")
        ids = list(dict.fromkeys(filter(None, given.split(","))))
        if len(ids) > MAX_IDS:
            raise BadRequest(
                f"ids has {len(ids)} ids; at most {MAX_IDS} are answered in one request"
            )
        return ids

    def _look_up(self, ids):
        """Return the records of what is to be shown, and the ids of the rest."""
        visible = find_visible(ids)
        records = [record for record in visible.values() if not record.dismissed]
        shown = {record.id for record in records}
        return records, [id for id in ids if id not in shown]

    def _etag(self, *parts):
        # The same in all processes, unlike what hash() returns.
        language = self.request.get("LANGUAGE", "")
        digest = blake2b(repr((language, *parts)).encode(), digest_size=12)
        return f'"{digest.hexdigest()}"'

    def _known_etags(self):
        header = self.request.getHeader("If-None-Match", "")
        # Proxies that compress mark them as weak.
        return [tag.strip().removeprefix("W/") for tag in header.split(",")]
