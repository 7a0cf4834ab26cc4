"""The recurring tasks of the site: run now, switch on and off."""

from collective.background import get_scheduler
from collective.background.interfaces import IRecurringTask
from collective.background.recurring import listing
from collective.background.recurring.registration import RecurringTask
from collective.background.recurring.schedules import make_schedule
from collective.background.testing import drain
from helpers import waiting
from zope.component import getGlobalSiteManager

import pytest
import transaction


PAGE = "@@background-tasks-recurring"


def tidy():
    """What is to be done again and again."""


@pytest.fixture
def recurring(portal):
    """Return a function that registers a recurring task."""
    site_manager = getGlobalSiteManager()
    names = []

    def register(name="my.tidy", user="boss", title="Tidy up"):
        task = RecurringTask(
            name=name,
            title=title,
            function=tidy,
            schedule=make_schedule("0 3 * * *"),
            user=user,
            add_on="collective.background",
        )
        site_manager.registerUtility(task, IRecurringTask, name)
        names.append(name)

    yield register
    for name in names:
        site_manager.unregisterUtility(provided=IRecurringTask, name=name)


def status():
    transaction.begin()
    return listing()[0]


def test_without_any_it_explains_how_to_register_one(boss, portal):
    assert '@recurring("0 3 * * *"' in boss.look(PAGE).contents


def test_are_listed(boss, recurring):
    recurring()
    [row] = boss.look(PAGE).texts("tr[data-recurring='my.tidy']")
    assert row.startswith("Tidy up my.tidy every day at 03:00 · 0 3 * * *")
    assert "boss" in row


def test_run_now(boss, recurring):
    recurring()
    boss.look(PAGE).press("run", "my.tidy")
    assert "Tidy up is queued." in boss.contents
    drain()
    task_id = status().task_id
    assert get_scheduler().record(task_id).state == "succeeded"
    boss.look(PAGE).browser.getLink(url=task_id).click()
    assert boss.texts("h1") == ["Tidy up"]


def test_one_that_waits_is_not_started_again(boss, recurring):
    recurring()
    with waiting():
        boss.look(PAGE).press("run", "my.tidy")
        boss.look(PAGE).press("run", "my.tidy")
        assert "Tidy up has not ended since it was started last." in boss.contents
    drain()


def test_one_that_never_ran(boss, recurring, tier):
    recurring()
    assert boss.look(PAGE).status == 200
    assert boss.find("[data-recurring] a .badge") is None


def test_the_last_result_and_all_runs_that_are_kept(boss, recurring, tier):
    recurring()
    for _ in range(2):
        boss.look(PAGE).press("run", "my.tidy")
        drain()
    [badge, _] = boss.look(PAGE).texts("[data-recurring] a .badge")
    assert badge == "done"
    boss.browser.getLink("All runs that are kept").click()
    assert len(boss.ids()) == 2


def test_off_and_on(boss, recurring):
    recurring()
    boss.look(PAGE).press("off", "my.tidy")
    assert "Tidy up is switched off." in boss.contents
    assert not status().enabled
    boss.press("on", "my.tidy")
    assert "Tidy up is switched on." in boss.contents
    assert status().enabled


def test_one_that_cannot_run_says_why(boss, recurring):
    recurring(user="nobody-there")
    boss.look(PAGE).press("run", "my.tidy")
    assert "nobody-there" in boss.texts("#global_statusmessage")[0]
    assert status().task_id is None


def test_one_that_was_removed_meanwhile_says_so(boss, recurring):
    recurring()
    token = boss.look(PAGE).find("input[name=_authenticator]")["value"]
    boss.post(PAGE, f"run=odd&_authenticator={token}")
    assert "there is no recurring task" in boss.contents


def test_nothing_to_do_is_refused(boss, recurring):
    recurring()
    token = boss.look(PAGE).find("input[name=_authenticator]")["value"]
    assert boss.post(PAGE, f"_authenticator={token}").status == 400


def test_a_last_run_that_was_forgotten_is_no_link(boss, recurring):
    recurring()
    boss.look(PAGE).press("run", "my.tidy")
    drain()
    get_scheduler().remove(status().task_id)
    boss.look(PAGE)
    assert boss.find("[data-recurring] a[href*=background-task]") is None
