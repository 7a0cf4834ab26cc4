"""What the pages say of a site that was copied, and the buttons to go on from there."""

from browsing import LIST
from collective.background import get_scheduler
from collective.background import using
from collective.background.deployment import adopt
from collective.background.deployment import deployment_of
from helpers import TIMEOUT

import pytest
import transaction


PAGES = [
    LIST,
    "@@background-tasks-many?action=delete",
    "@@background-tasks-activity",
    "@@background-tasks-statistics",
    "@@background-tasks-recurring",
    "@@background-tasks-settings",
]
NOTICE = "#background-tasks-deployment"
VIEW = "@@background-tasks-deployment"


@pytest.fixture
def task_id(portal):
    task_id = using(delay=3600).schedule(len, "x")
    transaction.commit()
    yield task_id
    get_scheduler().cancel(task_id)
    get_scheduler().wait_all(TIMEOUT)


def deployment_now(site):
    transaction.begin()
    return deployment_of(site)


class TestNotice:
    @pytest.mark.parametrize("page", PAGES)
    def test_is_on_every_page_of_a_copy(self, copied, boss, page):
        (text,) = boss.open(page).texts(NOTICE)
        assert "Nothing runs here" in text
        assert "production" in text
        assert "staging" in text

    def test_is_on_the_page_of_a_task(self, copied, boss, task_id):
        assert boss.open(f"@@background-task/{task_id}").find(NOTICE)

    def test_says_what_to_do_without_the_setting(self, copied, settings, boss):
        settings(deployment=None)
        (text,) = boss.open().texts(NOTICE)
        assert "Give each instance the setting deployment" in text
        assert not boss.find(f"{NOTICE} button")

    @pytest.mark.parametrize("page", PAGES)
    def test_is_not_there_when_all_is_well(self, site, staging, boss, page):
        adopt(site)
        assert not boss.open(page).find(NOTICE)

    def test_a_site_that_is_not_protected_is_told_so_with_the_settings(
        self, staging, boss
    ):
        assert not boss.open().find(NOTICE)
        (text,) = boss.open("@@background-tasks-settings").texts(NOTICE)
        assert "belongs to no deployment" in text


class TestButtons:
    def test_to_go_on(self, copied, boss, task_id):
        boss.open().press("adopt", "1")
        assert "belongs to staging from now on" in boss.contents
        assert not boss.find(NOTICE)
        assert deployment_now(copied) == "staging"
        assert get_scheduler().record(task_id).state == "queued"

    def test_to_discard(self, copied, boss, task_id):
        boss.open().press("discard", "1")
        assert deployment_now(copied) == "staging"
        assert get_scheduler().record(task_id).state == "cancelled"

    def test_to_let_it_belong(self, site, staging, boss):
        boss.open("@@background-tasks-settings").press("adopt", "1")
        assert deployment_now(site) == "staging"

    def test_a_process_without_the_setting_says_so(self, copied, settings, boss):
        boss.open()
        settings(deployment=None)
        boss.press("adopt", "1")
        assert "BACKGROUND_DEPLOYMENT" in boss.contents
        assert deployment_now(copied) == "production"


class TestSecurity:
    def test_only_managers(self, copied, editor, anonymous):
        for user in (editor, anonymous):
            assert user.post(VIEW, "adopt=1").was_refused
        assert deployment_now(copied) == "production"

    def test_only_with_a_token(self, copied, boss):
        assert boss.post(VIEW, "adopt=1").status == 403
        assert deployment_now(copied) == "production"

    def test_only_by_post(self, copied, boss):
        boss.open(f"{VIEW}?adopt=1")
        assert deployment_now(copied) == "production"
