"""What is done to all tasks that a list would show: asked first, in portions."""

from browsing import LIST
from collective.background import get_scheduler
from collective.background import schedule
from collective.background.controlpanel import many
from collective.background.database.installing import install
from collective.background.testing import serving
from helpers import TIMEOUT
from helpers import waiting
from plone.app.testing import login

import pytest
import transaction


def fail():
    raise ValueError("it went wrong")


runs = []


def fail_and_note():
    runs.append(1)
    fail()


@pytest.fixture(params=["memory", "database"], autouse=True)
def tier(request, portal):
    if request.param == "memory":
        yield
        return
    install(portal)
    transaction.commit()
    with serving():
        yield
        transaction.abort()


@pytest.fixture(autouse=True)
def small_portions(monkeypatch):
    monkeypatch.setattr(many, "PORTION", 2)


def ended(number, function=fail):
    """Return the ids of so many tasks that have ended."""
    ids = [schedule(function) for _ in range(number)]
    transaction.commit()
    for id in ids:
        get_scheduler().wait(id, TIMEOUT)
    transaction.begin()
    return ids


def states(ids):
    transaction.begin()
    records = [get_scheduler().record(id) for id in ids]
    return {record and record.state for record in records}


def offer(user, action, path=LIST):
    """Follow what the list offers."""
    user.look(path)
    user.browser.open(user.find(f"[data-action={action}]")["href"])
    return user


def test_delete_asks_first_and_then_deletes_all(boss):
    failed, done = ended(5), ended(2, int)
    offer(boss, "delete", f"{LIST}?state=failed")
    assert boss.texts("h2") == ["Delete tasks: 5. Is that what you want?"]
    assert states(failed) == {"failed"}
    boss.browser.getControl("Delete them").click()
    assert "5 deleted" in boss.contents
    assert states(failed) == {None}
    assert states(done) == {"succeeded"}


def test_retry_keeps_to_the_filters(boss):
    failed, done = ended(3), ended(2, int)
    with waiting():
        offer(boss, "retry", f"{LIST}?callable=fail&error=builtins.ValueError")
        boss.browser.getControl("Retry them").click()
        assert "3 queued again" in boss.contents
        assert states(failed) == {"queued"}
        assert states(done) == {"succeeded"}
    transaction.begin()


def test_what_fails_again_at_once_is_not_tried_again_and_again(boss, monkeypatch):
    def monotonic():
        get_scheduler().wait_all(TIMEOUT)
        transaction.begin()
        return clock()

    clock = many.monotonic
    monkeypatch.setattr(many, "monotonic", monotonic)
    ended(3, fail_and_note)
    runs.clear()
    offer(boss, "retry").browser.getControl("Retry them").click()
    assert "3 queued again" in boss.contents
    assert boss.find("#background-tasks-list")
    get_scheduler().wait_all(TIMEOUT)
    assert len(runs) == 3


def test_cancel_leaves_what_has_ended(boss):
    failed = ended(2)
    with waiting():
        ids = [schedule(int) for _ in range(3)]
        transaction.commit()
        offer(boss, "cancel").browser.getControl("Cancel them").click()
        assert "3 cancelled" in boss.contents
    assert states(ids) == {"cancelled"}
    assert states(failed) == {"failed"}


def test_what_there_was_no_time_for_is_asked_for_again(boss, monkeypatch):
    failed = ended(5)
    clock = iter(range(100))
    monkeypatch.setattr(many, "monotonic", lambda: next(clock))
    monkeypatch.setattr(many, "LONGEST", 2)
    offer(boss, "delete").browser.getControl("Delete them").click()
    assert "2 deleted" in boss.contents
    assert boss.texts("h2") == ["Delete tasks: 3. Is that what you want?"]
    boss.browser.getControl("Delete them").click()
    boss.browser.getControl("Delete them").click()
    assert states(failed) == {None}
    assert boss.find("#background-tasks-none")


def test_what_cannot_be_done_to_some_holds_up_no_others(steward, portal):
    """The newest are those of a Manager, which others cannot try again."""
    login(portal, "editor1")
    own = ended(1)
    login(portal, "boss")
    managers = ended(3)
    login(portal, "steward")
    with waiting():
        offer(steward, "retry").browser.getControl("Retry them").click()
        assert "1 queued again, 3 cannot be tried again" in steward.contents
        assert states(own) == {"queued"}
        assert states(managers) == {"failed"}
    transaction.begin()


def test_selected_ones_are_deleted_when_that_is_confirmed(boss):
    failed = ended(3)
    boss.look().press("action", "delete", **{"ids:list": failed[:2]})
    assert states(failed) == {"failed"}
    boss.browser.getControl("Delete them").click()
    assert "2 deleted" in boss.contents
    assert boss.ids() == failed[2:]


def test_an_action_has_to_be_known(boss):
    boss.look("@@background-tasks-many?action=explode")
    assert boss.status == 400
