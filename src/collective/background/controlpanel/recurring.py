"""The recurring tasks of the site: when they run, run now, on and off."""

from collective.background.controlpanel.pages import ControlPanelPage
from collective.background.controlpanel.pages import TASKS
from collective.background.controlpanel.query import Query
from collective.background.exceptions import BackgroundError
from collective.background.model.messages import _
from collective.background.recurring import listing
from collective.background.recurring import run_now
from collective.background.recurring import switch
from collective.background.showing.page import read_text
from collective.background.showing.schedules import in_words
from collective.background.showing.visibility import find_visible
from functools import cached_property
from Products.Five.browser.pagetemplatefile import ViewPageTemplateFile
from zExceptions import BadRequest


def _run(name, last):
    if run_now(name) == last:
        return _("${name} has not ended since it was started last.")
    return _("${name} is queued.")


def _switch_on(name, last):
    switch(name, True)
    return _("${name} is switched on.")


def _switch_off(name, last):
    switch(name, False)
    return _("${name} is switched off.")


# What is done to a recurring task, by the names of the buttons. Each returns what is
# told then; ``last`` is the id of the task that was started last, or None.
ACTIONS = {"run": _run, "on": _switch_on, "off": _switch_off}


class RecurringPage(ControlPanelPage):
    name = "@@background-tasks-recurring"
    part = ViewPageTemplateFile("templates/recurring.pt")

    @cached_property
    def tasks(self):
        return listing()

    def act(self):
        form = self.request.form
        action = next((action for action in ACTIONS if action in form), None)
        if action is None:
            raise BadRequest("neither run nor on nor off is in the form")
        name = read_text(form, action)
        last = next((t.task_id for t in self.tasks if t.name == name), None)
        try:
            told = ACTIONS[action](name, last)
        except BackgroundError as error:  # no such task, no such user, …
            self.tell(str(error), "error")
        else:
            self.tell(told, name=self._title(name))

    def words(self, task):
        """Return when it runs, as people say it, or None."""
        words = in_words(task.schedule)
        return words and self.text(words)

    def last_record(self, task):
        """Return the TaskRecord of the last run if it is still kept, or None."""
        return find_visible([task.task_id]).get(task.task_id) if task.task_id else None

    def runs_url(self, record):
        """The address of the list of all runs that are kept; the last one's record."""
        return Query(callable=record.callable).address(self.url(TASKS))

    def _title(self, name):
        return next(self.text(t.title) for t in self.tasks if t.name == name)
