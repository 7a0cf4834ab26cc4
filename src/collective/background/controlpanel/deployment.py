"""To which deployment the site belongs: the notice on all pages, and its buttons."""

from collective.background.deployment import adopt
from collective.background.deployment import deployment_of
from collective.background.deployment import discard
from collective.background.deployment import is_foreign
from collective.background.deployment import own_deployment
from collective.background.exceptions import NoDeployment
from collective.background.model.messages import _
from collective.background.showing.page import PageView
from dataclasses import dataclass
from plone import api
from plone.protect import CheckAuthenticator
from zExceptions import BadRequest
from zope.i18nmessageid import Message


LIST = "@@background-tasks-controlpanel"

# What is done to the site, by the names of the buttons; and what is told then.
ACTIONS = {
    "adopt": (
        adopt,
        _("This site belongs to ${name} from now on; its tasks run here in a moment."),
    ),
    "discard": (
        discard,
        _(
            "This site belongs to ${name} from now on. Its tasks are cancelled, and "
            "its recurring tasks are switched off."
        ),
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """``name``: of the deployment of the site; ``own``: of this process; or None.

    ``is_foreign``: nothing runs here for the site.
    """

    name: str | None
    own: str | None
    is_foreign: bool


def notice():
    """Return the Notice for the current site; None if all is well."""
    site = api.portal.get()
    name = deployment_of(site)
    if name is not None and not is_foreign(site):
        return None
    return Notice(name=name, own=own_deployment(), is_foreign=name is not None)


class DeploymentView(PageView):
    """Receives the form of the notice."""

    def __call__(self):
        if self.request.method == "POST":
            CheckAuthenticator(self.request)
            self._act()
        address = f"{self.context.absolute_url()}/{LIST}"
        return self.request.response.redirect(address)

    def _act(self):
        action = next((each for each in ACTIONS if each in self.request.form), None)
        if action is None:
            raise BadRequest("neither adopt nor discard is in the form")
        do, told = ACTIONS[action]
        try:
            name = do(self.context)
        except NoDeployment as error:
            api.portal.show_message(str(error), self.request, "error")
        else:
            text = Message(told, mapping={"name": name})
            api.portal.show_message(text, self.request, "info")
