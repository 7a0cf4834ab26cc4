"""``@@background-failures``: what has become of the items of a batch that failed."""

from collective.background import get_scheduler
from collective.background import schedule_batch
from collective.background.exceptions import TaskFailed
from helpers import finished
from visitors import text
from visitors import VIEWLET

import pytest


FORMULA = "=1+1"


def work(item):
    if item == FORMULA:
        raise TaskFailed("Row <2> has no name")
    if item == "bad":
        raise ValueError("a secret")


@pytest.fixture
def partial(portal):
    """The id of a batch of editor1 that has succeeded in part."""
    return finished(schedule_batch(work, ["good", FORMULA, "bad"])).id


def rows(page):
    found = page.select("#background-failures tbody tr")
    return [[cell.text for cell in row.select("td")] for row in found]


class TestTray:
    def test_says_that_it_is_done_in_part(self, editor, partial):
        task = editor.tasks()[partial]
        assert text(task, "label") == "done, 2 failed"
        assert "text-bg-warning" in task.select_one("[data-badge]")["class"]
        assert task.has_attr("data-task-partial")
        line = editor.see().select_one(f"{VIEWLET} summary")
        assert [count.text for count in line.select("[data-count]")] == [
            "1 done in part"
        ]

    def test_leads_to_what_failed(self, editor, partial):
        link = editor.tasks()[partial].select_one("[data-link=failures_url]")
        assert link.text == "Show what failed"
        assert not link.has_attr("hidden")
        assert link["href"] == f"{editor.url}/@@background-failures/{partial}"

    def test_says_once_that_all_failed(self, editor, portal):
        task_id = finished(schedule_batch(work, [FORMULA])).id
        task = editor.tasks()[task_id]
        assert text(task, "label") == "failed"
        assert text(task, "error") == "Row <2> has no name"
        assert task.select("[data-messages] li") == []
        assert not task.select_one("[data-link=failures_url]").has_attr("hidden")


class TestPage:
    def test_has_items_and_errors(self, editor, partial):
        page = editor.see(f"@@background-failures/{partial}")
        _, bad = get_scheduler().peek_result(partial).failures
        assert rows(page) == [
            ["2", FORMULA, "Row <2> has no name"],
            ["3", "bad", f"An error has happened ({bad.error.id})."],
        ]

    def test_tells_managers_more(self, boss, partial):
        page = boss.see(f"@@background-failures/{partial}")
        assert rows(page)[1] == ["3", "bad", "ValueError: a secret"]

    def test_is_not_there_for_others_nor_without_failures(
        self, other, editor, partial, done
    ):
        assert other.get(f"@@background-failures/{partial}").status_code == 404
        assert editor.get(f"@@background-failures/{done}").status_code == 404
        assert editor.get("@@background-failures").status_code == 404


class TestFile:
    def test_has_no_formulas(self, editor, partial):
        answer = editor.get(f"@@background-failures/{partial}?csv=1")
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert "attachment" in answer.headers["Content-Disposition"]
        lines = answer.content.decode("utf-8-sig").splitlines()
        assert lines[0] == "2,'=1+1,Row <2> has no name"
        assert lines[1].startswith("3,bad,An error has happened")
