"""A form that schedules something: the base class for those of add-ons.

Comes in: the POST of its one button. Goes out: what the subclass schedules with the
values of the form, and the browser to the content, above which the task is shown.
"""

from collective.background.exceptions import BackgroundError
from collective.background.exceptions import Unavailable
from collective.background.model.messages import _
from html import escape
from plone.autoform.form import AutoExtensibleForm
from plone.protect import PostOnly
from transaction.interfaces import TransientError
from z3c.form import button
from z3c.form import form
from zope.component import getMultiAdapter

import transaction


class ScheduleForm(AutoExtensibleForm, form.Form):
    """A form with one button, *Start*.

    Subclasses have ``schema``, ``label`` and ``description`` like other forms of
    Plone, and ``schedule()``.

    It takes nothing but a POST with the token of plone.protect, which Plone puts into
    its page: otherwise any other site could start the task with a link.
    """

    ignoreContext = True
    enableCSRFProtection = True

    def schedule(self, **data):
        """Schedule it; called in the transaction of the request.

        ``data``: the values of the form, by the names of its fields. An error of this
        package is shown above the form, and nothing is scheduled then; with an
        Unavailable the request ends.
        """
        raise NotImplementedError

    def next_url(self):
        """Return the address to which the browser goes: that of the content."""
        state = getMultiAdapter(
            (self.context, self.request), name="plone_context_state"
        )
        return state.view_url()

    @button.buttonAndHandler(_("Start"), name="start")
    def start(self, action):
        PostOnly(self.request)
        data, errors = self.extractData()
        if errors:
            self.status = self.formErrorsMessage
            return
        try:
            self.schedule(**data)
        except (TransientError, Unavailable):
            raise
        except BackgroundError as error:
            transaction.doom()  # or half of it would be committed with the page
            self.status = escape(str(error))  # the page takes it for HTML
            return
        self.request.response.redirect(self.next_url())
