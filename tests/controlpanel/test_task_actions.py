"""What managers do to many tasks at once, and what they are told."""

from browsing import LIST
from collective.background import get_scheduler
from collective.background import schedule
from helpers import finished
from helpers import TIMEOUT
from helpers import waiting

import pytest
import transaction


def fail():
    raise ValueError("it went wrong")


@pytest.fixture
def failed(portal):
    """The ids of two tasks that have failed."""
    return [finished(schedule(fail)).id for _ in range(2)]


@pytest.fixture
def queued(portal):
    """The ids of two tasks that wait."""
    with waiting():
        ids = [schedule(int) for _ in range(2)]
        transaction.commit()
        yield ids


def states(ids):
    return [get_scheduler().record(id).state for id in ids]


def press(user, action, ids):
    user.open().press("action", action, **{"ids:list": ids})
    if action == "delete" and len(ids) > 1:
        user.browser.getControl("Delete them").click()
    return user.contents


class TestCancel:
    def test_many(self, boss, queued):
        assert "2 cancelled" in press(boss, "cancel", queued)
        assert states(queued) == ["cancelled", "cancelled"]

    def test_tells_which_had_ended(self, boss, failed, queued):
        text = press(boss, "cancel", [*failed, *queued])
        assert "2 cancelled, 2 had ended already" in text
        assert states(failed) == ["failed", "failed"]

    def test_tells_that_a_running_one_stops_later(self, boss, portal, held):
        task_id = schedule(held)
        transaction.commit()
        assert held.started.wait(TIMEOUT)
        assert "1 will stop at the next opportunity" in press(boss, "cancel", [task_id])
        assert get_scheduler().record(task_id).cancel_requested


class TestRetry:
    def test_many(self, boss, failed):
        with waiting():
            assert "2 queued again" in press(boss, "retry", failed)
            assert states(failed) == ["queued", "queued"]

    def test_tells_which_cannot(self, boss, failed, queued):
        text = press(boss, "retry", [*queued, failed[0]])
        assert "1 queued again, 2 cannot be tried again" in text

    def test_that_finds_no_room_says_so_and_leaves_the_rest(
        self, boss, failed, queued, settings
    ):
        settings(max_waiting=2)
        text = press(boss, "retry", failed)
        assert "2 tasks are waiting already" in text
        assert states(failed) == ["failed", "failed"]


class TestDelete:
    def test_many(self, boss, failed):
        assert "2 deleted" in press(boss, "delete", failed)
        assert [get_scheduler().record(id) for id in failed] == [None, None]

    def test_leaves_what_has_not_ended(self, boss, failed, queued):
        text = press(boss, "delete", [*failed, *queued])
        assert "2 deleted, 2 not deleted, as they have not ended" in text
        assert states(queued) == ["queued", "queued"]

    def test_tells_of_what_is_not_there_any_more(self, boss, failed):
        boss.look()
        get_scheduler().remove(failed[0])
        boss.press("action", "delete", **{"ids:list": failed})
        boss.browser.getControl("Delete them").click()
        assert "1 deleted, 1 not there any more" in boss.contents


def test_without_a_selection_nothing_happens(boss, failed):
    assert "No task was selected." in press(boss, "delete", [])
    assert states(failed) == ["failed", "failed"]


def test_one_comes_back_to_the_same_list(boss, failed):
    finished(schedule(int))
    address = boss.open(f"{LIST}?state=failed&sort=title").browser.url
    boss.press("action", "delete", **{"ids:list": failed[:1]})
    assert boss.browser.url == address
    assert boss.ids() == failed[1:]


def test_an_unknown_action_is_refused(boss, failed):
    token = boss.look().find("input[name=_authenticator]")["value"]
    boss.post(LIST, f"ids:list={failed[0]}&action=explode&_authenticator={token}")
    assert boss.status == 400
    assert states(failed) == ["failed", "failed"]
