"""The page of one task: ``@@background-task/<id>``, with all that is known of it."""

from collective.background.capture.call import BATCH
from collective.background.capture.call import EXTERNAL
from collective.background.controlpanel.actions import perform
from collective.background.controlpanel.pages import ControlPanelPage
from collective.background.controlpanel.pages import TASKS
from collective.background.controlpanel.query import Query
from collective.background.model import states
from collective.background.model.messages import _
from collective.background.model.tracebacks import own_frames
from collective.background.scheduling.groups import KIND
from collective.background.showing.page import read_text
from collective.background.showing.presentation import error_text
from collective.background.showing.presentation import MESSAGE_CLASSES
from collective.background.showing.presentation import progress_text
from collective.background.showing.presentation import STATE_CLASSES
from collective.background.showing.presentation import STATE_LABELS
from collective.background.showing.presentation import time_left
from collective.background.showing.results import content_url
from collective.background.showing.results import download_url
from collective.background.showing.results import failures_url
from collective.background.showing.results import is_for_people
from collective.background.showing.rights import is_of_this_site
from collective.background.showing.stacks import ask_for_stack
from collective.background.showing.stacks import may_see_stack
from collective.background.showing.stacks import task_stack
from collective.background.showing.task_view import TaskView
from collective.background.showing.trail import attempts_of
from collective.background.showing.trail import intervention_text
from collective.background.showing.visibility import is_trusted
from collective.background.showing.visibility import task_arguments
from functools import cached_property
from Products.Five.browser.pagetemplatefile import ViewPageTemplateFile
from urllib.parse import urlencode


ASK = "ask"  # the action of the button that asks what a task does

KINDS = {
    "call": _("call of a function"),
    "view": _("publication of a view"),
    "request": _("HTTP request"),
    "batch": _("batch"),
    EXTERNAL: _("task of another program"),
    "group": _("group of tasks"),
}


class TaskPage(ControlPanelPage, TaskView):
    part = ViewPageTemplateFile("templates/task.pt")

    def act(self):
        action = read_text(self.request.form, "action")
        if action == ASK:
            self._look_up(ask_for_stack)
            self.tell(_("Asked for: what it does is shown here in a moment."))
            return None
        report = perform(action, [self.record.id])
        self.tell(report.text(self.request), report.type)
        return self.url(TASKS) if report.has_deleted else None

    @property
    def label(self):
        return self.text(self.record.title)

    @property
    def is_live(self):
        return self.record.state in states.UNFINISHED

    @property
    def is_over(self):
        return not self.is_live

    @property
    def can_be_retried(self):
        return self.record.can_be_retried and self.is_trusted

    @cached_property
    def is_trusted(self):
        """Whether the user may see what is inside of the task."""
        return is_trusted(self.record)

    def kind(self):
        return self.text(KINDS[self.record.kind])

    def arguments(self):
        return self._look_up(task_arguments) if self.is_trusted else ()

    def progress(self):
        return progress_text(self.record.progress)

    def time_left(self):
        left = time_left(self.record)
        return left and self.text(left)

    def attempts(self):
        return attempts_of(self.record)

    def attempt_label(self, attempt):
        return self.text(STATE_LABELS[attempt.state])

    def attempt_class(self, attempt):
        return STATE_CLASSES[attempt.state]

    def lasted(self, attempt):
        """How long an attempt has run, if that is known."""
        if attempt.started is None:
            return "—"
        end = attempt.finished or self.now
        return self.duration(max(0, (end - attempt.started).total_seconds()))

    def intervention(self, intervention):
        return self.text(intervention_text(intervention))

    def own_frames(self):
        return own_frames(self.record.error.traceback)

    @cached_property
    def stack(self):
        """The Stack of its thread, for who may see inside; None: not known."""
        return self._look_up(task_stack)

    def can_be_asked(self):
        """Whether another process may be asked what it does now."""
        is_here = self.stack is not None and self.stack.is_current
        is_running = self.record.state == states.RUNNING
        # Of these no process of ours has a thread.
        is_nobodys = self.record.kind in (KIND, EXTERNAL)
        is_asked = is_running and not (is_here or is_nobodys)
        return is_asked and may_see_stack(self.record)

    def without_framework(self, stack):
        return own_frames(stack) or stack

    def brief(self, error):
        return self.text(error_text(error))

    def alert(self, message):
        return MESSAGE_CLASSES[message.type]

    def result_url(self):
        """Where what a view or a server has answered can be downloaded, or None."""
        if self.record.kind == BATCH or not is_for_people(self.record):
            return None
        return download_url(self.record.id, self.result)

    def failures_url(self):
        """Where the items of a batch that failed are shown, or None."""
        return failures_url(self.record)

    def context_url(self):
        return content_url(self.record, self.request)

    def user_url(self):
        """The address of the user's page, for a user of this site."""
        if not is_of_this_site(self.record.user_id, self.record.user_path):
            return None
        query = urlencode({"userid": self.record.user_id})
        return self.url(f"@@user-information?{query}")

    def group_members_url(self):
        return Query(group=self.record.id).address(self.url(TASKS))

    def alike_url(self):
        """The address of the list of the tasks that call the same."""
        return Query(callable=self.record.callable).address(self.url(TASKS))
