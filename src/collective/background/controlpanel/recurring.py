"""The recurring tasks of the site: when they run, run now, on and off."""

from collective.background.api.scheduling import get_scheduler
from collective.background.controlpanel.pages import ControlPanelPage
from collective.background.exceptions import BackgroundError
from collective.background.model.messages import _
from collective.background.recurring import listing
from collective.background.recurring import run_now
from collective.background.recurring import switch
from collective.background.showing.page import read_text
from functools import cached_property
from Products.Five.browser.pagetemplatefile import ViewPageTemplateFile
from zExceptions import BadRequest


# What is done to a recurring task, by the names of the buttons; and what is told then.
ACTIONS = {
    "run": (run_now, _("${name} runs now.")),
    "on": (lambda name: switch(name, True), _("${name} is switched on.")),
    "off": (lambda name: switch(name, False), _("${name} is switched off.")),
}


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
        do, told = ACTIONS[action]
        try:
            do(name)
        except BackgroundError as error:  # no such task, no such user, …
            self.tell(str(error), "error")
        else:
            self.tell(told, name=self._title(name))

    def known(self, task):
        """Return the id of the last task if there still is one, or None."""
        known = task.task_id and get_scheduler().record(task.task_id)
        return task.task_id if known else None

    def _title(self, name):
        return next(self.text(t.title) for t in self.tasks if t.name == name)
