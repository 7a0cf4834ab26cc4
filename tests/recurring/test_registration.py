"""What can be registered as a recurring task, by the decorator and in ZCML."""

from collective.background import recurring
from collective.background import task
from collective.background.exceptions import BackgroundError
from collective.background.exceptions import BadCall
from collective.background.exceptions import BadOption
from collective.background.interfaces import IRecurringTask
from collective.background.recurring.registration import registered
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from plone.base.utils import get_installer
from plone.testing.zca import popGlobalRegistry
from plone.testing.zca import pushGlobalRegistry
from zope.component.hooks import site as in_site
from zope.configuration import xmlconfig
from zope.configuration.config import ConfigurationExecutionError
from zope.configuration.exceptions import ConfigurationError
from zope.interface.verify import verifyObject

import calls
import collective.background
import pytest


NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


ZCML = """
<configure
    xmlns:background="http://namespaces.plone.org/background"
    i18n_domain="plone"
    >
  <background:recurring {} />
</configure>
"""


def hourly(**options):
    return recurring("0 * * * *", **{"user": "admin", **options})


@task(title="With options", retries=2)
def function_with_options():
    calls.made.append("with options")


@task(title="Above")
def function_below():
    calls.made.append("below")


class TestDecorator:
    def test_the_function_stays_what_it_is(self):
        assert hourly()(calls.other) is calls.other

    def test_registers_under_the_name_of_the_function(self):
        hourly()(calls.other)
        (registration,) = registered()
        assert registration.name == "calls.other"
        assert registration.function is calls.other
        assert verifyObject(IRecurringTask, registration)

    def test_or_under_a_name_of_its_own(self):
        hourly(name="tidy")(calls.tidy)
        hourly(name="again")(calls.tidy)
        assert [registration.name for registration in registered()] == ["again", "tidy"]

    def test_takes_a_timedelta_as_well(self):
        recurring(timedelta(minutes=15), user="admin")(calls.other)
        (registration,) = registered()
        assert registration.schedule.next(NOON, UTC) == NOON + HOUR / 4

    def test_two_functions_cannot_have_the_same_name(self):
        hourly(name="one")(calls.tidy)
        with pytest.raises(BadOption, match=r"'one' already: calls\.tidy"):
            hourly(name="one")(calls.other)

    def test_a_module_that_is_loaded_again_does_no_harm(self):
        hourly()(calls.tidy)
        hourly(user="editor")(calls.tidy)
        assert [registration.user for registration in registered()] == ["editor"]

    @pytest.mark.parametrize("user", [None, "", 7])
    def test_needs_a_user(self, user):
        with pytest.raises(BadOption, match="needs the id of the user"):
            hourly(user=user)(calls.tidy)

    @pytest.mark.parametrize("name", ["", " ", 7])
    def test_needs_a_name(self, name):
        with pytest.raises(BadOption, match="needs a text, which no other has"):
            hourly(name=name)(calls.tidy)

    def test_needs_a_schedule_that_is_right(self):
        with pytest.raises(BadOption, match="Bad hour"):
            recurring("0 30 * * *", user="admin")

    def test_used_without_a_schedule_it_says_so(self):
        with pytest.raises(BadOption, match="must be a cron expression"):
            recurring(calls.tidy)

    @pytest.mark.parametrize(
        "options", [{"queue": 7}, {"title": b"x"}, {"queue": None, "title": 7}]
    )
    def test_checks_the_options(self, options):
        with pytest.raises(BackgroundError):
            hourly(**options)(calls.tidy)

    def test_refuses_a_function_with_arguments(self):
        with pytest.raises(BadCall, match="missing a required argument: 'context'"):
            hourly()(calls.with_arguments)

    def test_refuses_a_function_that_cannot_be_found_again(self):
        with pytest.raises(BadCall, match="has to be a function of a module"):
            hourly()(lambda: None)

    def test_what_was_refused_is_not_registered(self):
        with pytest.raises(BadCall):
            hourly()(calls.with_arguments)
        assert registered() == []

    def test_options_of_task_hold(self, tick_at):
        hourly(add_on="collective.background")(function_with_options)
        tick_at(NOON)
        (record,) = tick_at(NOON + HOUR)
        assert record.title == "With options"
        assert calls.made == ["with options"]

    def test_options_of_task_hold_above_as_well(self, tick_at):
        hourly(add_on="collective.background")(function_below.__wrapped__)
        tick_at(NOON)
        (record,) = tick_at(NOON + HOUR)
        assert record.title == "Above"
        assert calls.made == ["below"]

    def test_outlives_the_registry_of_a_test_layer(self):
        """It is made when its module is imported, which is once in a process."""
        pushGlobalRegistry()
        hourly()(calls.other)
        popGlobalRegistry()
        assert [registration.name for registration in registered()] == ["calls.other"]


class TestAddOn:
    """A module may be imported by anybody; that must not start anything."""

    @pytest.fixture
    def in_add_on(self, monkeypatch):
        """Return a function that moves ``calls.tidy`` into another package."""

        def in_add_on(name):
            monkeypatch.setattr(calls.tidy, "__module__", f"{name}.tasks")
            return calls.tidy

        return in_add_on

    def test_runs_where_the_add_on_of_the_function_is_installed(self, site, in_add_on):
        hourly()(in_add_on("plone.session"))
        (registration,) = registered()
        get_installer(site).install_product("plone.session")
        assert registration.belongs_to(site)

    def test_and_not_where_it_is_not(self, site, in_add_on):
        hourly()(in_add_on("plone.session"))
        (registration,) = registered()
        assert not registration.belongs_to(site)

    def test_nor_where_nobody_knows_such_an_add_on(self, tick_at):
        """The functions of the tests are in no package."""
        hourly()(calls.tidy)
        tick_at(NOON)
        assert tick_at(NOON + HOUR) == []

    def test_another_add_on_can_be_named(self, tick_at):
        hourly(add_on="collective.background")(calls.tidy)
        tick_at(NOON)
        assert len(tick_at(NOON + HOUR)) == 1


class TestZCML:
    @pytest.fixture
    def load(self, functional):
        """Return a function that executes the directive with attributes."""

        def load(**attributes):
            text = " ".join(f'{name}="{attributes[name]}"' for name in attributes)
            # When Zope starts and loads ZCML, it is in no site.
            with in_site(None):
                context = xmlconfig.file("meta.zcml", collective.background)
                xmlconfig.string(ZCML.format(text), context)

        return load

    def test_registers(self, load):
        load(
            function="calls.tidy",
            user="admin",
            schedule="0 3 * * *",
            name="my.tidy",
            title="Tidy up",
            queue="mail",
        )
        (registration,) = registered()
        assert registration.function is calls.tidy
        assert registration.name == "my.tidy"
        assert registration.title == "Tidy up"
        assert registration.queue == "mail"
        assert str(registration.schedule) == "0 3 * * *"

    def test_seconds_instead_of_a_schedule(self, load):
        load(function="calls.tidy", user="admin", seconds="5400")
        (registration,) = registered()
        assert registration.name == "calls.tidy"
        assert str(registration.schedule) == "every 1:30:00"

    def test_runs_in_each_site(self, load, tick_at):
        load(function="calls.tidy", user="admin", schedule="0 * * * *")
        tick_at(NOON)
        assert len(tick_at(NOON + HOUR)) == 1

    def test_or_in_those_with_an_add_on(self, load, site):
        load(
            function="calls.tidy",
            user="admin",
            schedule="0 * * * *",
            add_on="plone.session",
        )
        (registration,) = registered()
        assert not registration.belongs_to(site)

    def test_overrides_a_decorated_function(self, load):
        """So an integrator changes the time without touching the code."""
        hourly()(calls.tidy)
        load(function="calls.tidy", user="editor", schedule="0 5 * * *")
        (registration,) = registered()
        assert registration.user == "editor"

    @pytest.mark.parametrize(
        "attributes,reason",
        [
            ({"schedule": "0 30 * * *"}, "Bad hour"),
            ({"seconds": "0"}, "between a second and ten years"),
            ({}, "either 'schedule' or 'seconds'"),
            ({"schedule": "* * * * *", "seconds": "5"}, "give one of them"),
            ({"seconds": "5", "name": ""}, "needs a text, which no other has"),
        ],
    )
    def test_mistakes_are_told_with_the_place(self, load, attributes, reason):
        with pytest.raises((ConfigurationError, ConfigurationExecutionError)) as told:
            load(function="calls.tidy", user="admin", **attributes)
        assert reason in str(told.value)
        assert "File" in str(told.value)

    def test_a_user_has_to_be_named(self, load):
        with pytest.raises(ConfigurationError, match="user"):
            load(function="calls.tidy", schedule="* * * * *")
