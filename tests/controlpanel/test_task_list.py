"""The list of tasks: states, filters, order, pages."""

from browsing import LIST
from collective.background import current_task
from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import using
from collective.background.controlpanel import tasks
from collective.background.controlpanel.pages import TABS
from collective.background.testing import drain
from helpers import finished
from helpers import TIMEOUT
from helpers import waiting
from plone import api
from plone.app.testing import login
from plone.app.testing import logout

import pytest
import re
import transaction


def fail():
    raise ValueError("it went wrong")


def done(**options):
    """Return the id of a task that has ended well."""
    return finished(using(**options).schedule(int)).id


def failed(**options):
    return finished(using(**options).schedule(fail)).id


def counts(user):
    """Return what the tabs by state say: {state: number}."""
    tabs = [text.rsplit(" ", 1) for text in user.texts("#background-tasks-states a")]
    return {label: int(count) for label, count in tabs if int(count)}


class TestWithoutTasks:
    def test_it_explains_how_to_schedule_one(self, boss):
        boss.look()
        assert "from collective.background import schedule" in boss.contents
        assert boss.find("#background-tasks-filters") is None

    def test_filters_that_find_nothing_can_be_reset(self, boss, portal):
        task_id = done()
        boss.look(f"{LIST}?text=nowhere")
        assert boss.ids() == []
        boss.browser.getLink("Show them without the filters.").click()
        assert boss.ids() == [task_id]

    def test_a_state_without_tasks_offers_no_reset(self, boss, portal):
        done()
        boss.look(f"{LIST}?state=lost")
        assert boss.texts("#background-tasks-nothing-found") == [
            "There are no such tasks."
        ]


class TestStates:
    def test_are_tabs_with_counts(self, boss, portal):
        [done(), done(), failed()]
        assert counts(boss.look()) == {"all": 3, "done": 2, "failed": 1}

    def test_a_tab_leads_to_the_tasks_of_the_state(self, boss, portal):
        done()
        task_id = failed()
        boss.look().browser.getLink("failed").click()
        assert boss.ids() == [task_id]
        assert counts(boss) == {"all": 2, "done": 1, "failed": 1}

    def test_are_counted_with_the_filters(self, boss, portal):
        [done(title="apple"), failed(title="pear")]
        assert counts(boss.look(f"{LIST}?text=pear")) == {
            "all": 1,
            "failed": 1,
        }


class TestFilters:
    def filtered(self, boss, **fields):
        """Fill in the form of the filters; return what is found."""
        boss.look()
        for name, value in fields.items():
            boss.browser.getControl(name=name).value = value
        boss.browser.getControl("Filter").click()
        return boss.ids()

    def test_by_text(self, boss, portal):
        [task_id, _] = [done(title="Apples"), done(title="Pears")]
        assert self.filtered(boss, text="APPLE") == [task_id]

    def test_by_user(self, boss, portal):
        login(portal, "editor1")
        task_id = done()
        login(portal, "boss")
        done()
        assert self.filtered(boss, user="editor1") == [task_id]

    def test_by_queue(self, boss, portal):
        task_id = done()
        assert self.filtered(boss, queue=["default"]) == [task_id]
        boss.look(f"{LIST}?queue=gone")
        assert boss.ids() == []
        chosen = boss.find("#background-tasks-queue option[selected]")
        assert chosen["value"] == "gone"

    def test_by_age(self, boss, portal):
        task_id = done()
        assert self.filtered(boss, age=["hour"]) == [task_id]

    def test_by_function(self, boss, portal):
        task_id = failed()
        done()
        assert self.filtered(boss, callable="fail") == [task_id]

    def test_by_content(self, boss, portal):
        folder = api.content.create(portal, "Folder", "news")
        page = api.content.create(folder, "Document", "page")
        task_ids = [done(context=page), done(context=folder)]
        [done(), done(context=portal)]
        assert self.filtered(boss, content="/news") == task_ids[::-1]

    def test_by_error(self, boss, portal):
        task_id = failed()
        finished(schedule(int, "x y", base="z"))
        boss.look(f"{LIST}?error=builtins.ValueError")
        assert boss.ids() == [task_id]
        assert "builtins.ValueError" in boss.contents

    def test_by_group(self, boss, portal):
        done()
        with group(title="Three") as three:
            task_ids = [schedule(int) for _ in range(3)]
        transaction.commit()
        drain()
        boss.look(f"@@background-task/{three.id}")
        boss.browser.getLink("Show its tasks").click()
        assert boss.ids() == task_ids[::-1]

    def test_stay_where_the_order_changes(self, boss, portal):
        done(title="apple")
        first, second = done(title="pear 1"), done(title="pear 2")
        boss.look(f"{LIST}?text=pear")
        boss.browser.getLink(url="sort=title").click()
        assert "text=pear" in boss.browser.url
        assert boss.ids() == [first, second]

    @pytest.mark.parametrize("query", ["state=odd", "sort=odd", "age=odd", "b_start=x"])
    def test_that_are_unknown_are_refused(self, boss, query):
        boss.look(f"{LIST}?{query}")
        assert boss.status == 400


class TestGroups:
    @pytest.fixture
    def members(self, portal):
        with group(title="Three") as three:
            ids = [schedule(int), schedule(fail), schedule(int)]
        transaction.commit()
        drain()
        return three.id, ids

    def test_are_rows_that_open(self, boss, members):
        group_id, ids = members
        alone = done()
        rows = boss.look().find_all("tr[data-task-id]")
        assert [row["data-task-id"] for row in rows] == [alone, group_id]
        within = rows[1].select("details li")
        assert [each["data-task-id"] for each in within] == ids[::-1]
        assert boss.texts("details summary") == ["Tasks of it on this page: 3"]
        assert "Three" in rows[1].text
        assert counts(boss) == {"all": 4, "done": 3, "failed": 1}

    def test_have_those_tasks_that_the_filters_leave(self, boss, members):
        _, ids = members
        boss.look(f"{LIST}?state=failed")
        within = boss.find_all("tr details li")
        assert [each["data-task-id"] for each in within] == [ids[1]]

    def test_and_their_tasks_are_acted_on_alike(self, boss, members):
        group_id, ids = members
        boss.look().press("action", "delete", **{"ids:list": [group_id]})
        assert get_scheduler().record(ids[0]) is None


class TestOrder:
    def test_the_newest_come_first(self, boss, portal):
        first, second = done(), done()
        assert boss.look().ids() == [second, first]

    def test_the_heading_of_a_column_sorts_and_turns_round(self, boss, portal):
        pear, apple = done(title="pear"), done(title="apple")

        def press_title():
            boss.browser.open(boss.find("th[scope=col] a[href*='sort=title']")["href"])
            return boss.ids(), boss.find("th[aria-sort]")["aria-sort"]

        boss.look()
        assert press_title() == ([apple, pear], "ascending")
        assert press_title() == ([pear, apple], "descending")

    @pytest.mark.parametrize("column", tasks.COLUMNS)
    def test_every_column_sorts(self, boss, portal, column):
        ids = {done(), failed()}
        boss.look(f"{LIST}?sort={column}&order=ascending")
        assert boss.status == 200
        assert set(boss.ids()) == ids


class TestPages:
    @pytest.fixture
    def ids(self, portal, monkeypatch):
        """The ids of the tasks of three pages, the newest first."""
        monkeypatch.setattr(tasks, "PAGE_SIZE", 2)
        return [done() for _ in range(5)][::-1]

    def test_have_so_many_tasks(self, boss, ids):
        assert boss.look().ids() == ids[:2]
        boss.browser.getLink("3").click()
        assert boss.ids() == ids[4:]

    def test_keep_filters_and_state(self, boss, ids):
        failed()
        boss.look(f"{LIST}?state=succeeded&user=test_user_1_")
        boss.browser.getLink("2").click()
        assert boss.ids() == ids[2:4]

    def test_beyond_the_last_one_is_the_last_one(self, boss, ids):
        assert boss.look(f"{LIST}?b_start=4000").ids() == ids[4:]

    def test_only_the_tasks_of_the_page_are_read(self, boss, ids, monkeypatch):
        asked = []
        read = get_scheduler().records

        def records(**arguments):
            asked.append(arguments["limit"])
            return read(**arguments)

        monkeypatch.setattr(get_scheduler(), "records", records)
        boss.look()
        assert asked == [tasks.PAGE_SIZE]


class TestLive:
    def test_the_part_that_changes_comes_alone(self, boss, portal):
        task_id = done()
        boss.look(f"{LIST}?state=succeeded")
        assert boss.ids() == [task_id]
        assert boss.find("header, nav.navbar, #portal-footer") is None
        assert boss.find("#background-tasks-part")["data-poll-interval"] == "2"

    def test_its_links_lead_to_whole_pages(self, boss, portal):
        done()
        boss.look()
        assert "ajax_load" not in boss.contents

    def test_the_page_brings_script_and_style_sheet_and_nothing_inline(
        self, boss, portal
    ):
        done()
        boss.open()
        name = "++plone++collective.background.controlpanel/controlpanel"
        assert boss.find(f"script[src*='{name}.js'][defer]")
        assert boss.find(f"link[href*='{name}.css']")
        part = boss.find("#background-tasks-part")
        assert part.select("script, style, [style], [onclick]") == []
        for element in boss.find_all("script[src*=controlpanel], link[href*=panel]"):
            boss.browser.open(element.get("src") or element["href"])
            assert boss.status == 200

    def test_other_pages_do_without(self, boss):
        boss.open("@@overview-controlpanel")
        assert "collective.background.controlpanel" not in boss.contents


class TestTimes:
    def test_are_relative_with_the_exact_one_as_title(self, boss, portal):
        done()
        times = boss.look().find_all("tr[data-task-id] time")
        assert len(times) == 2
        assert all(re.fullmatch(r"just now|\d+ s ago", time.text) for time in times)
        assert all(time["title"].endswith(("AM", "PM")) for time in times)

    def test_tell_how_long_it_has_waited_and_run(self, boss, portal):
        done()
        boss.look()
        (waited,) = boss.texts(".background-tasks-waited")
        (ran,) = boss.texts(".background-tasks-ran")
        assert re.fullmatch(r"waited (< 1|\d+) s", waited)
        assert re.fullmatch(r"ran for (< 1|\d+) s", ran)

    def test_of_a_waiting_one_tell_neither(self, boss, portal):
        with waiting():
            done_later = schedule(int)
            transaction.commit()
            assert boss.look().ids() == [done_later]
            assert boss.texts(".background-tasks-waited, .background-tasks-ran") == []


@pytest.mark.parametrize("name", TABS)
def test_site_setup_marks_the_configlet_on_every_page(boss, name):
    boss.open(name)
    marked = boss.texts(".nav-tabs > li > a.active")
    assert marked == ["Add-on Configuration"]


def test_the_managers_own_tasks_are_not_there_twice(boss, portal):
    login(portal, "boss")
    task_id = done()
    assert boss.open("@@overview-controlpanel").find("#background-tasks")
    assert boss.open().find("#background-tasks") is None
    assert len(boss.find_all(f"[data-task-id='{task_id}']")) == 1


def test_a_task_of_nobody_is_anonymous(boss, portal, anonymous):
    logout()
    done()
    assert "anonymous" in boss.look().texts("tr[data-task-id] td em")


def test_progress_of_a_running_task_is_shown(boss, portal, held):
    def work():
        current_task().progress(1, 4)
        held()

    schedule(work)
    transaction.commit()
    assert held.started.wait(TIMEOUT)
    bar = boss.look().find("tr[data-task-state=running] [role=progressbar]")
    assert bar["aria-label"] == "Progress"
    assert bar["aria-valuenow"] == "25"
    assert bar.find("svg")["width"] == "25%"
