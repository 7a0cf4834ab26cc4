"""All tasks that a list would show, on all its pages, or many of those selected.

Comes in: the Query of the list, or ids; the name of an action. Goes out: a question,
and once it is answered, what ``actions`` does to them: some at a time, each in a
transaction of its own, for a few seconds. What is left then is asked for again.
"""

from collective.background.controlpanel.actions import check_action
from collective.background.controlpanel.actions import perform
from collective.background.controlpanel.actions import REFUSED
from collective.background.controlpanel.actions import Report
from collective.background.controlpanel.actions import STOPPING
from collective.background.controlpanel.pages import ControlPanelPage
from collective.background.controlpanel.pages import TASKS
from collective.background.controlpanel.query import parse_query
from collective.background.model import states
from collective.background.model.messages import _
from collective.background.showing.page import read_number
from collective.background.showing.page import read_text
from collective.background.showing.page import read_texts
from collective.background.showing.visibility import count_visible
from collective.background.showing.visibility import find_visible
from collective.background.showing.visibility import visible_records
from functools import cached_property
from plone import api
from Products.Five.browser.pagetemplatefile import ViewPageTemplateFile
from time import monotonic
from zope.i18nmessageid import Message

import transaction


VIEW = "@@background-tasks-many"

PORTION = 100  # tasks of a transaction
LONGEST = 5  # seconds that a request goes on with the next portion
EXAMPLES = 10  # tasks that are named

# The states of tasks to which it can be done.
CANDIDATES = {
    "cancel": states.UNFINISHED,
    "retry": frozenset(filter(states.can_be_retried, states.STATES)),
    "delete": states.FINISHED,
}
OFFERS = {
    "cancel": _("Cancel all ${count}"),
    "retry": _("Retry all ${count}"),
    "delete": _("Delete all ${count}"),
}
QUESTIONS = {
    "cancel": _("Cancel tasks: ${count}. Is that what you want?"),
    "retry": _("Try tasks again: ${count}. Is that what you want?"),
    "delete": _("Delete tasks: ${count}. Is that what you want?"),
}


def candidates(action, state):
    """Return the states of the tasks that are meant: a set.

    ``state``: of the list; "": all of them.
    """
    return CANDIDATES[action].intersection([state] if state else states.STATES)


def offers(query, counts, url):
    """Yield the actions for all tasks of a list: each with label, address and name.

    ``counts``: how many tasks there are, by their state; ``url(path)``: the address of
    what is below the site.
    """
    for action, label in OFFERS.items():
        number = sum(counts[state] for state in candidates(action, query.state))
        if number > 1:
            yield {
                "name": action,
                "label": Message(label, mapping={"count": number}),
                "url": question_url(query, action, url),
            }


def question_url(query, action, url, ids=(), skipped=None):
    """Return the address of the page that asks whether to do it."""
    further = {"action": action, "skipped": skipped, "ids:list": ids}
    return query.address(url(VIEW), **further)


class ManyPage(ControlPanelPage):
    part = ViewPageTemplateFile("templates/many.pt")
    is_live = False

    @cached_property
    def query(self):
        return parse_query(self.request.form)

    @cached_property
    def action(self):
        return check_action(read_text(self.request.form, "action"))

    @cached_property
    def ids(self):
        """The ids of those that were selected; none: all are meant."""
        return read_texts(self.request.form, "ids")

    @cached_property
    def skipped(self):
        """How many of the newest are left out, as nothing could be done to them."""
        return read_number(self.request.form, "skipped", 0)

    @property
    def count(self):
        if self.ids:
            return len(self.ids)
        return max(0, count_visible(**self._filters) - self.skipped)

    def question(self):
        text = QUESTIONS[self.action]
        return self.text(Message(text, mapping={"count": self.count}))

    def examples(self):
        """The first of the tasks."""
        if self.ids:
            return list(find_visible(self.ids[:EXAMPLES]).values())
        return self._records(self.skipped, EXAMPLES)

    def hidden_values(self):
        """(name, value) of all that the form has to say again."""
        return [
            *self.query.values().items(),
            ("action", self.action),
            ("skipped", self.skipped),
            *(("ids:list", id) for id in self.ids),
        ]

    def back_url(self):
        return self.query.address(self.url(TASKS))

    def act(self):
        if self.ids:
            report = perform(self.action, self.ids)
            self.tell(report.text(self.request), report.type)
            return self.back_url()
        skipped = self._act_in_portions()
        if skipped is None or count_visible(**self._filters) <= skipped:
            return self.back_url()
        return question_url(self.query, self.action, self.url, skipped=skipped or None)

    def _act_in_portions(self):
        """Do it to as many as there is time for, and tell so.

        To each once, though one that is tried again may fail at once. Returns how many
        of the newest have to be left out from now on; None: no others are left.
        """
        end = monotonic() + LONGEST
        whole, skipped, seen = Report(self.action), self.skipped, set()
        while whole.error is None and monotonic() < end:
            records = self._records(skipped, PORTION)
            if not records:
                skipped = None
                break
            ids = [record.id for record in records if record.id not in seen]
            report = perform(self.action, ids)
            transaction.commit()
            seen.update(ids)
            whole.add(report)
            # These stay in the list, or have come back.
            skipped += report.outcomes[REFUSED] + report.outcomes[STOPPING]
            skipped += len(records) - len(ids)
        self.tell(whole.text(self.request), whole.type)
        return skipped

    def _records(self, start, limit):
        return visible_records(start=start, limit=limit, **self._filters)

    @cached_property
    def _filters(self):
        return {
            "everybody": True,
            "states": candidates(self.action, self.query.state),
            **self.query.filters(self.now, api.portal.get()),
        }
