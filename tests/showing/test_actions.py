"""What people may do to tasks, and what the settings of the site say to it."""

from AccessControl import Unauthorized
from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import schedule_batch
from collective.background.capture.secrets import HIDDEN
from collective.background.exceptions import IllegalTransition
from collective.background.exceptions import TaskNotFound
from collective.background.model.settings import background_settings
from collective.background.model.settings import seconds_to_keep
from collective.background.showing import visibility
from helpers import add_users
from helpers import finished
from plone import api
from plone.app.testing import login

import pytest
import transaction


ACTIONS = (
    visibility.cancel_task,
    visibility.retry_task,
    visibility.dismiss_task,
    visibility.forget_task,
    visibility.task_arguments,
    visibility.task_result,
)


def fail(account=None, api_token=None):
    raise ValueError("it went wrong")


def set_record(name, value):
    api.portal.set_registry_record(f"collective.background.{name}", value)
    transaction.commit()


@pytest.fixture
def portal(site):
    add_users(site, {"ann": [], "bob": [], "boss": ["Site Administrator"]})
    login(site, "ann")
    return site


@pytest.fixture
def failed(portal):
    """The id of a task of ann's that has failed."""
    return finished(schedule(fail, "DE00 1234", api_token="geheim")).id


@pytest.fixture
def waiting(portal):
    """The id of a task of ann's that waits."""
    get_scheduler().pause("default")
    task_id = schedule(len, "abc")
    transaction.commit()
    yield task_id
    get_scheduler().resume("default")


class TestOwner:
    def test_cancels(self, waiting):
        assert visibility.cancel_task(waiting).state == "cancelled"

    def test_retries(self, failed):
        assert visibility.retry_task(failed).state == "queued"

    def test_dismisses(self, failed):
        assert visibility.dismiss_task(failed).dismissed
        assert visibility.count_visible(dismissed=False) == 0
        assert visibility.count_visible(dismissed=True) == 1

    def test_forgets(self, failed):
        assert visibility.forget_task(failed).id == failed
        assert get_scheduler().record(failed) is None

    def test_gets_the_result_more_than_once(self, portal):
        task_id = finished(schedule(len, "abc")).id
        assert [visibility.task_result(task_id) for _ in range(2)] == [3, 3]
        transaction.commit()
        assert visibility.task_result(task_id) == 3

    def test_gets_nothing_while_there_is_none(self, waiting):
        assert visibility.task_result(waiting) is None

    def test_does_not_dismiss_what_has_not_ended(self, waiting):
        with pytest.raises(IllegalTransition, match="queued"):
            visibility.dismiss_task(waiting)
        with pytest.raises(IllegalTransition, match="queued"):
            visibility.forget_task(waiting)
        assert get_scheduler().record(waiting).state == "queued"

    def test_sees_no_tracebacks_in_what_comes_back(self, failed):
        assert visibility.dismiss_task(failed).error.traceback == ""

    def test_sees_no_exceptions_of_the_items_of_a_batch(self, portal):
        task_id = finished(schedule_batch(int, ["1", "one"])).id
        (failure,) = visibility.task_result(task_id).failures
        assert (failure.index, failure.error.traceback) == (1, "")
        assert failure.error.type == ""
        assert failure.error.message.mapping == {"id": failure.error.id}
        login(portal, "boss")
        (failure,) = visibility.task_result(task_id).failures
        assert "Traceback" in failure.error.traceback

    def test_sees_no_arguments(self, failed):
        with pytest.raises(Unauthorized):
            visibility.task_arguments(failed)

    def test_a_retried_task_is_shown_again(self, failed):
        visibility.dismiss_task(failed)
        get_scheduler().retry(failed)
        assert not get_scheduler().wait(failed, 10).dismissed


class TestOthers:
    @pytest.mark.parametrize("action", ACTIONS)
    def test_find_nothing(self, portal, failed, action):
        login(portal, "bob")
        with pytest.raises(TaskNotFound, match=failed):
            action(failed)
        record = get_scheduler().record(failed)
        assert (record.state, record.dismissed) == ("failed", False)


class TestManagers:
    def test_see_arguments_without_secrets(self, portal, failed):
        login(portal, "boss")
        assert visibility.task_arguments(failed) == (
            ("account", "DE00 1234"),
            ("api_token", HIDDEN),
        )

    def test_of_the_further_ones_of_the_site_either(self, portal, failed):
        set_record("redacted_names", ["ACC"])
        login(portal, "boss")
        assert dict(visibility.task_arguments(failed))["account"] == HIDDEN

    def test_nor_of_these_inside_of_others(self, portal):
        value = [{"iban": "DE00", "name": "Ann"}, "https://example.org/?iban=DE00&a=1"]
        task_id = finished(schedule(len, value)).id
        set_record("redacted_names", ["IBAN"])
        login(portal, "boss")
        ((_name, text),) = visibility.task_arguments(task_id)
        assert "DE00" not in text
        assert "'Ann'" in text
        assert "&a=1" in text

    def test_see_that_a_group_has_none(self, portal):
        login(portal, "boss")
        with group() as several:
            schedule(len, "abc")
        finished(several.id)
        assert visibility.task_arguments(several.id) == ()

    def test_still_see_what_was_dismissed(self, portal, failed):
        visibility.dismiss_task(failed)
        login(portal, "boss")
        assert visibility.visible_record(failed).dismissed
        assert visibility.count_visible(everybody=True) == 1


class TestWhoMayCancel:
    @pytest.mark.parametrize("action", ["cancel_task", "retry_task"])
    def test_not_the_owner_where_the_site_says_so(self, portal, failed, action):
        set_record("owners_may_cancel", False)
        assert not visibility.may_cancel()
        with pytest.raises(Unauthorized):
            getattr(visibility, action)(failed)
        login(portal, "boss")
        assert visibility.may_cancel()
        assert visibility.retry_task(failed).state == "queued"


class TestSettings:
    def test_defaults_where_the_add_on_is_not_installed(self, portal):
        login(portal, "boss")
        api.addon.uninstall("collective.background")
        assert background_settings().poll_interval == 2
        assert background_settings().redacted_names == []
        assert seconds_to_keep() is None

    def test_of_the_site(self, portal):
        set_record("poll_interval", 7)
        assert background_settings().poll_interval == 7
        assert seconds_to_keep() == 3600


class TestRetention:
    def test_a_site_says_how_long_its_tasks_are_kept(self, portal, clock):
        set_record("keep", 1)
        short = finished(schedule(len, "x")).id
        set_record("keep", 3)
        long = finished(schedule(len, "x")).id
        clock.now += 61
        assert get_scheduler().record(short) is None
        assert get_scheduler().record(long) is not None
        clock.now += 120
        assert get_scheduler().record(long) is None

    def test_the_order_of_their_ends_does_not_matter(self, portal, clock):
        set_record("keep", 3)
        long = finished(schedule(len, "x")).id
        set_record("keep", 1)
        short = finished(schedule(len, "x")).id
        clock.now += 61
        assert get_scheduler().record(short) is None
        assert get_scheduler().record(long) is not None
