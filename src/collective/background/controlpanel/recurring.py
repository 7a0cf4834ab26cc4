"""The recurring tasks of the site: when they run, run now, on and off."""

from collective.background.api.scheduling import get_scheduler
from collective.background.controlpanel.pages import ControlPanelPage
from collective.background.exceptions import BackgroundError
from collective.background.model.messages import _
from collective.background.recurring import listing
from collective.background.recurring import run_now
from collective.background.recurring import switch
from functools import cached_property
from Products.Five.browser.pagetemplatefile import ViewPageTemplateFile
from zExceptions import BadRequest


class RecurringPage(ControlPanelPage):
    name = "@@background-tasks-recurring"
    part = ViewPageTemplateFile("templates/recurring.pt")

    @cached_property
    def tasks(self):
        return listing()

    def act(self):
        form = self.request.form
        try:
            if "run" in form:
                run_now(form["run"])
                self.tell(_("${name} runs now."), name=self._title(form["run"]))
            elif "on" in form:
                switch(form["on"], True)
                self.tell(_("${name} is switched on."), name=self._title(form["on"]))
            elif "off" in form:
                switch(form["off"], False)
                self.tell(_("${name} is switched off."), name=self._title(form["off"]))
            else:
                raise BadRequest("neither run nor on nor off is in the form")
        except BackgroundError as error:  # no such task, no such user, …
            self.tell(str(error), "error")

    def known(self, task):
        """Return the id of the last task if there still is one, or None."""
        known = task.task_id and get_scheduler().record(task.task_id)
        return task.task_id if known else None

    def _title(self, name):
        return next(self.text(t.title) for t in self.tasks if t.name == name)
