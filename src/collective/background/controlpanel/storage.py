"""Where the tasks of the site are kept, and the other way, to which a button switches.

Comes in: the question page's form. Goes out: the site with the add-on *Background tasks
in the database*, or without it, as by the control panel of add-ons.
"""

from AccessControl import Unauthorized
from collective.background.controlpanel.pages import ControlPanelPage
from collective.background.database.installing import count_unfinished
from collective.background.database.sites import local_scheduler
from collective.background.exceptions import TasksUnfinished
from collective.background.model import states
from collective.background.model.messages import _
from collective.background.showing.page import read_text
from collective.background.showing.visibility import count_visible
from functools import cached_property
from plone import api
from Products.Five.browser.pagetemplatefile import ViewPageTemplateFile
from zExceptions import BadRequest


VIEW = "@@background-tasks-storage"
SETTINGS = "@@background-tasks-settings"
PROFILE = "profile-collective.background.persistent:"

# What is told then, by the place to which tasks go.
TOLD = {
    "database": _("Tasks are kept in the database from now on."),
    "memory": _("Tasks are kept in memory from now on."),
}
PROFILES = {"database": "default", "memory": "uninstall"}


class Storage:
    """Where the tasks of the current site are kept."""

    @cached_property
    def is_in_database(self):
        return local_scheduler(api.portal.get()) is not None

    @property
    def other(self):
        """The other place: a name of TOLD."""
        return "memory" if self.is_in_database else "database"

    def may_switch(self):
        """Whether the user may install and uninstall add-ons."""
        return api.user.has_permission("Manage portal", obj=api.portal.get())

    @cached_property
    def unfinished(self):
        """How many tasks in the database have not ended; there they hold it up."""
        return count_unfinished(api.portal.get())

    @cached_property
    def to_be_left(self):
        """How many tasks in memory have not ended, and end without being seen."""
        return count_visible(everybody=True, states=states.UNFINISHED)

    @cached_property
    def to_be_forgotten(self):
        """How many tasks have ended, and are forgotten with their results."""
        return count_visible(everybody=True, states=states.FINISHED)


class StoragePage(ControlPanelPage):
    """Asks whether to keep tasks elsewhere from now on, and does it."""

    part = ViewPageTemplateFile("templates/storage.pt")
    name = SETTINGS
    is_live = False

    @cached_property
    def storage(self):
        return Storage()

    def act(self):
        if not self.storage.may_switch():
            raise Unauthorized("only who may install add-ons may keep tasks elsewhere")
        place = read_text(self.request.form, "place")
        if place != self.storage.other:
            raise BadRequest(
                f"place is {place!r:.100}; as things are, it can only be "
                f"{self.storage.other}"
            )
        try:
            api.portal.get_tool("portal_setup").runAllImportStepsFromProfile(
                PROFILE + PROFILES[place]
            )
        except TasksUnfinished:
            return None  # nothing was changed, and the profile has told so
        self.tell(TOLD[place])
        return self.url(SETTINGS)
