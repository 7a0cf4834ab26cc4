"""``@@background-failures/<id>``: which items of a batch have failed, and why.

For its user and for managers. Goes out: a page with the first of them; or all, as a
file for a spreadsheet.
"""

from collective.background.model.records import BatchResult
from collective.background.showing.handing_out import hand_out
from collective.background.showing.page import read_text
from collective.background.showing.presentation import error_text
from collective.background.showing.results import FAILURES
from collective.background.showing.task_view import TaskView
from io import StringIO
from plone import api
from Products.Five.browser.pagetemplatefile import ViewPageTemplateFile
from zExceptions import NotFound
from zope.i18n import translate

import csv


CSV = "text/csv; charset=utf-8"
SHOWN = 500  # items on the page
LONGEST = 500  # characters of an item

# With these a spreadsheet takes a text for a formula.
OF_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


class FailuresView(TaskView):
    """In the address: the id, and ``csv`` for the file."""

    index = ViewPageTemplateFile("templates/failures.pt")

    def __call__(self):
        if not isinstance(self.result, BatchResult):
            raise NotFound(f"the task {self.task_id} has no failures to show")
        if read_text(self.request.form, "csv"):
            return self._csv()
        return self.index()

    @property
    def title(self):
        return self._text(self.record.title)

    @property
    def csv_url(self):
        return f"{api.portal.get().absolute_url()}/{FAILURES}/{self.task_id}?csv=1"

    @property
    def number(self):
        return len(self.result.failures)

    @property
    def is_cut(self):
        return self.number > SHOWN

    def rows(self, limit=SHOWN):
        """Return for each failure the number of the item, from 1, item and error."""
        return [
            (failure.index + 1, _named(failure.item), self._text(error))
            for failure in self.result.failures[:limit]
            for error in (error_text(failure.error),)
        ]

    def _csv(self):
        file = StringIO()
        writer = csv.writer(file)
        for number, *texts in self.rows(limit=None):
            writer.writerow((number, *map(_harmless, texts)))
        hand_out(self.request, CSV, f"{self.task_id}.csv")
        # With the mark by which spreadsheets know that it is UTF-8.
        return file.getvalue().encode("utf-8-sig")

    def _text(self, message):
        return translate(message, context=self.request)


def _named(item):
    text = item if isinstance(item, str) else repr(item)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _harmless(text):
    return f"'{text}" if text.startswith(OF_FORMULAS) else text
