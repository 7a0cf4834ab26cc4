"""What the soak test asks instances over HTTP; for Managers only."""

from BTrees.OOBTree import OOBTree
from collective.background import get_scheduler
from collective.background import group
from collective.background import using
from contextlib import nullcontext
from instance_probe.soak import Effects
from instance_probe.soak import mark_of_callback
from instance_probe.soak import mark_of_item
from instance_probe.soak import tell
from instance_probe.soak import work
from instance_probe.soak import work_on_item
from plone.protect.interfaces import IDisableCSRFProtection
from Products.Five import BrowserView
from zope.interface import alsoProvides

import json


class Prepare(BrowserView):
    """Makes room for effects. ``folder``: for lines."""

    def __call__(self, folder):
        alsoProvides(self.request, IDisableCSRFProtection)
        self.context.soak = OOBTree({"": folder})


class Repeated(Exception):
    """The publisher repeats a request that was committed, though nobody was told so."""


class Schedule(BrowserView):
    """Schedules the jobs of a story in one transaction: see ``soak/plan.py``.

    The story is JSON; so is the answer, the ids of the tasks.
    """

    def __call__(self, story):
        alsoProvides(self.request, IDisableCSRFProtection)
        story = json.loads(story)
        mark = story["group"]
        whole = nullcontext() if mark is None else group(mark, on_success=tell)
        with whole:
            ids = []
            for job in story["jobs"]:
                ids.append(self._schedule(job, ids[-1:] if job["follows"] else ()))
        if mark is not None:
            self._make_room(mark_of_callback(mark))
        return json.dumps(ids)

    def _schedule(self, job, after):
        mark, folder = job["mark"], self.context.soak[""]
        options = {**job["options"], "title": mark, "after": tuple(after)}
        if job["tells"]:
            options["on_success"] = tell
        items = range(job["items"])
        marks = [mark_of_item(mark, item) for item in items] or [mark]
        if marks[0] in self.context.soak:
            raise Repeated(mark)
        calls = using(**options)
        if items:
            values = (items, mark, folder)
            id = calls.schedule_batch(work_on_item, *values, size=2, **job["arguments"])
        else:
            id = calls.schedule(work, mark, folder, **job["arguments"])
        # Else another task has its unique key.
        if get_scheduler().record(id).title == mark:
            if job["tells"]:
                marks.append(mark_of_callback(mark))
            for each in marks:
                self._make_room(each)
        return id

    def _make_room(self, mark):
        self.context.soak[mark] = Effects()


class EffectsByMark(BrowserView):
    """All effects, as JSON: how many things, and how often was counted, by mark."""

    def __call__(self):
        effects = self.context.soak.items()
        return json.dumps({mark: each.numbers() for mark, each in effects if mark})
