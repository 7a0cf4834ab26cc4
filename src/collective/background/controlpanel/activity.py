"""What happens now, and what has happened: pictures, queues, slots, instances.

The pictures and the queues are those of the process that answers; the tasks that run
are those of the site.
"""

from collections import Counter
from collective.background.api.scheduling import get_scheduler
from collective.background.controlpanel.charts import chart_of_ends
from collective.background.controlpanel.charts import chart_of_waits
from collective.background.controlpanel.pages import ControlPanelPage
from collective.background.controlpanel.queues import queue_rows
from collective.background.controlpanel.queues import warnings
from collective.background.exceptions import BadOption
from collective.background.executing.executor import process_executor
from collective.background.interfaces import IHistory
from collective.background.model import states
from collective.background.model.brokers import shown_broker
from collective.background.model.messages import _
from collective.background.showing.page import read_text
from collective.background.showing.presentation import STATE_LABELS
from collective.background.showing.visibility import find_visible
from collective.background.telling.history import HOUR
from collective.background.telling.history import MINUTE
from functools import cached_property
from plone import api
from Products.Five.browser.pagetemplatefile import ViewPageTemplateFile
from zExceptions import BadRequest
from zope.component import getUtility


TITLES = {MINUTE: _("Last hour, by minute"), HOUR: _("Last day, by hour")}


class ActivityPage(ControlPanelPage):
    name = "@@background-tasks-activity"
    part = ViewPageTemplateFile("templates/activity.pt")
    charts = ViewPageTemplateFile("templates/charts.pt")

    def act(self):
        form = self.request.form
        try:
            if "pause" in form:
                queue = read_text(form, "pause")
                get_scheduler().pause(queue)
                self.tell(_("The queue ${name} pauses."), name=queue)
            elif "resume" in form:
                queue = read_text(form, "resume")
                get_scheduler().resume(queue)
                self.tell(_("The queue ${name} goes on."), name=queue)
            else:
                raise BadRequest("neither pause nor resume is in the form")
        except BadOption as error:
            raise BadRequest(str(error)) from error

    # Now.

    @cached_property
    def running(self):
        """The site's tasks that are in a slot, the newest first.

        There are no more than slots; what runs in other programs is in none.
        """
        found = find_visible(get_scheduler().lines().running())
        running = [each for each in found.values() if each.state == states.RUNNING]
        return sorted(running, key=lambda record: record.created, reverse=True)

    @cached_property
    def queues(self):
        """A Row of each queue."""
        return queue_rows(self.running, self.now)

    def warnings(self):
        return [self.text(text) for text in warnings(self.queues, self.now)]

    def running_elsewhere(self):
        """How many slots are used by tasks of other sites."""
        here = Counter(record.queue for record in self.running)
        queues = [row.status for row in self.queues]
        return sum(max(0, q.running - here[q.name]) for q in queues)

    @cached_property
    def instances(self):
        """An InstanceStatus of each process that runs tasks of the site, or sends."""
        return get_scheduler().instances()

    @property
    def broker(self):
        """The address by which this process reaches workers of Celery, or None."""
        url = process_executor().settings.celery_broker
        return None if url is None else shown_broker(url)

    def sent(self):
        """How many tasks were sent to workers of Celery that none has begun."""
        return sum(row.status.sent for row in self.queues)

    # Over time.

    def periods(self):
        """The last hour and the last day, each with its pictures and its numbers."""
        path = "/".join(api.portal.get().getPhysicalPath())
        for length, title in TITLES.items():
            periods = getUtility(IHistory).periods(path, length, self.now)
            yield {
                "id": "hour" if length == MINUTE else "day",
                "title": title,
                "ends": chart_of_ends(periods, self.time),
                "waits": chart_of_waits(periods, self.time),
                "ended": sum(sum(period.ended.values()) for period in periods),
                "longest_wait": max(period.longest_wait for period in periods),
                # A table of zeros helps nobody.
                "rows": [p for p in periods if p.started or any(p.ended.values())],
            }

    def time(self, moment):
        """Return the time of day."""
        return self.local(moment).strftime("%H:%M")

    def ended_states(self):
        """(state, label) of all that a task can end with."""
        return [(s, STATE_LABELS[s]) for s in states.STATES if s in states.FINISHED]

    def tooltip(self, bar):
        if bar.kind in STATE_LABELS:
            return f"{bar.value} {self.text(STATE_LABELS[bar.kind])}"
        return self.duration(bar.value)
