"""The settings of the site: a form, and a panel of the REST API's @controlpanels."""

from collective.background.controlpanel.pages import ControlPanelPage
from collective.background.controlpanel.storage import Storage
from collective.background.interfaces import ICollectiveBackgroundLayer
from collective.background.model.messages import _
from collective.background.model.settings import IBackgroundSettings
from collective.background.model.settings import PREFIX
from collective.background.showing.page import read_text
from collective.background.showing.page import read_texts
from collective.background.showing.visibility import may_manage
from functools import cached_property
from plone.app.registry.browser.controlpanel import ControlPanelFormWrapper
from plone.app.registry.browser.controlpanel import RegistryEditForm
from plone.protect import PostOnly
from plone.restapi.controlpanels import RegistryConfigletPanel
from plone.restapi.controlpanels.interfaces import IControlpanel
from plone.z3cform import layout
from Products.Five.browser.pagetemplatefile import ViewPageTemplateFile
from zope.component import adapter
from zope.interface import implementer
from zope.interface import Interface
from zope.schema.interfaces import IBool
from zope.schema.interfaces import IChoice


class SettingsForm(RegistryEditForm):
    schema = IBackgroundSettings
    schema_prefix = PREFIX
    label = _("Settings")
    enableCSRFProtection = True

    def update(self):
        # Its widgets cannot read what no browser sends.
        for name in self.request.form:
            field = IBackgroundSettings.get(name.removeprefix("form.widgets."))
            if field is not None:
                is_chosen = IBool.providedBy(field) or IChoice.providedBy(field)
                read = read_texts if is_chosen else read_text
                read(self.request.form, name)
        super().update()

    def updateActions(self):
        super().updateActions()
        if self.actions.executedActions:
            PostOnly(self.request)


class SettingsWrapper(ControlPanelPage, ControlPanelFormWrapper):
    """Shows the form as a page of the control panel."""

    name = "@@background-tasks-settings"
    is_live = False
    shows_hints = True

    __call__ = ControlPanelFormWrapper.__call__

    where = ViewPageTemplateFile("templates/where.pt")

    @cached_property
    def storage(self):
        return Storage()

    def part(self):
        return f"{self.where()}{self.contents}"


SettingsPage = layout.wrap_form(SettingsForm, __wrapper_class=SettingsWrapper)


class SettingsPanel(RegistryConfigletPanel):
    schema = IBackgroundSettings
    schema_prefix = PREFIX
    configlet_id = PREFIX
    configlet_category_id = "Products"


@adapter(Interface, ICollectiveBackgroundLayer)
@implementer(IControlpanel)
def settings_panel(context, request):
    """Called by plone.restapi, which itself lets everybody in who sees Site Setup."""
    return SettingsPanel(context, request) if may_manage() else None
