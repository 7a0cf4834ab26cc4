"""The settings of the site, by form and by REST; and Site Setup."""

from browsing import User
from bs4 import BeautifulSoup
from collective.background.model.settings import background_settings
from helpers import PASSWORD
from plone import api
from plone.base.utils import get_installer

import json
import pytest
import requests
import transaction


PAGE = "@@background-tasks-settings"
PANEL = "@controlpanels/background-tasks"
FIELD = "form.widgets."


def settings():
    transaction.begin()
    return background_settings()


class TestForm:
    def test_saves(self, boss):
        boss.look(PAGE)
        boss.browser.getControl(name=f"{FIELD}poll_interval").value = "7"
        boss.browser.getControl(name=f"{FIELD}redacted_names").value = "pin\niban"
        boss.browser.getControl(name=f"{FIELD}show_viewlet:list").value = []
        boss.browser.getControl("Save").click()
        assert "Changes saved." in boss.contents
        assert settings().poll_interval == 7
        assert settings().redacted_names == ["pin", "iban"]
        assert settings().show_viewlet is False

    @pytest.mark.parametrize(
        "name, value", [("poll_interval", "0"), ("keep", "0"), ("keep", "soon")]
    )
    def test_refuses_what_cannot_be(self, boss, name, value):
        before = getattr(settings(), name)
        boss.look(PAGE)
        boss.browser.getControl(name=FIELD + name).value = value
        boss.browser.getControl("Save").click()
        assert boss.find(f"#formfield-form-widgets-{name} .invalid-feedback")
        assert getattr(settings(), name) == before

    def test_is_a_tab_of_the_control_panel(self, boss):
        boss.open().browser.getLink(url=PAGE).click()
        assert boss.browser.url.endswith(PAGE)
        assert boss.texts("#background-tasks-tabs .active") == ["Settings"]


class TestForgedRequests:
    """Only a POST with a token saves."""

    @pytest.fixture
    def send(self, portal, server):
        """Return a function: the status with which a request to save is answered."""
        session = requests.Session()
        session.auth = ("boss", PASSWORD)
        url = f"{server}/plone/{PAGE}"

        def send(method, **changed):
            page = BeautifulSoup(session.get(url).text, "lxml")
            inputs = page.select("form#form input[value]")
            form = {field["name"]: field["value"] for field in inputs}
            for chosen in page.select("form#form select option[selected]"):
                form[chosen.parent["name"]] = chosen["value"]
            form |= {"form.buttons.save": "Save", f"{FIELD}poll_interval": "7"}
            form |= changed
            sent = {"data" if method == "POST" else "params": form}
            answer = session.request(method, url, allow_redirects=False, **sent)
            return answer.status_code

        yield send
        session.close()

    def test_it_does(self, send):
        assert send("POST") == 302
        assert settings().poll_interval == 7

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("changed", [{}, {"_authenticator": ""}])
    def test_a_link_does_not(self, send, method, changed):
        assert send(method, **changed) == 403
        assert settings().poll_interval == 2

    def test_a_form_of_another_site_does_not(self, send):
        assert send("POST", _authenticator="") == 403
        assert settings().poll_interval == 2


class TestRest:
    @pytest.fixture
    def boss(self, functional, portal):
        return User(functional, "boss", accept="application/json")

    @pytest.fixture
    def steward(self, functional, portal):
        return User(functional, "steward", accept="application/json")

    def get(self, user, path):
        user.open(path)
        return user.status, json.loads(user.contents)

    def test_managers_read(self, boss):
        status, panel = self.get(boss, PANEL)
        assert status == 200
        assert panel["data"]["poll_interval"] == settings().poll_interval

    def test_is_listed(self, boss):
        _, panels = self.get(boss, "@controlpanels")
        assert [p["title"] for p in panels if p["@id"].endswith(PANEL)] == [
            "Background tasks"
        ]

    def test_who_only_sees_site_setup_does_not_see_it(self, steward, portal):
        """plone.restapi itself lets him in."""
        portal.manage_permission("Manage background tasks", ["Manager"])
        assert self.get(steward, PANEL)[0] == 404
        _, panels = self.get(steward, "@controlpanels")
        assert panels
        assert not [p for p in panels if p["@id"].endswith(PANEL)]


class TestSiteSetup:
    def test_leads_to_the_control_panel(self, boss):
        boss.open("@@overview-controlpanel").browser.getLink(
            url="@@background-tasks-controlpanel"
        ).click()
        assert boss.texts("h1") == ["Background tasks"]

    def test_shows_it_to_managers_of_tasks_only(self, steward, portal):
        portal.manage_permission("Manage background tasks", ["Manager"])
        assert steward.open("@@overview-controlpanel").status == 200
        assert "@@background-tasks-controlpanel" not in steward.contents

    def test_has_nothing_left_after_uninstalling(self, boss, portal):
        get_installer(portal).uninstall_product("collective.background")
        boss.open("@@overview-controlpanel")
        assert "background-tasks" not in boss.contents
        assert (
            api.portal.get_registry_record(
                "plone.bundles/collective.background.controlpanel.enabled", default=None
            )
            is None
        )
        assert boss.look("@@background-tasks-controlpanel").status == 404
