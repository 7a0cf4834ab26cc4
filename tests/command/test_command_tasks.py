"""The commands on tasks, on a site whose tasks are in the database."""

from collective.background import get_scheduler
from collective.background import group
from collective.background import using
from collective.background.exceptions import TaskFailed
from collective.background.testing import serving
from collective.background.visibility import visible_record

import json
import pytest
import transaction


pytestmark = pytest.mark.usefixtures("shared")

NASTY = "one\ntwo\x1b[2J\u202e"


def do(what):
    return what


def fail(text):
    raise TaskFailed(text)


def schedule(function, *args, **options):
    """Schedule a task, commit, and return its id."""
    id = using(**options).schedule(function, *args)
    transaction.commit()
    return id


def work():
    """Let all tasks be done."""
    with serving():
        get_scheduler().wait_all(60)
    transaction.begin()


def test_the_operator_is_named(background):
    id = schedule(do, 1)
    background("cancel", id)
    assert "by=command" in background("show", id).out
    task = background("show", id, "--json").values
    assert [each["by"] for each in task["interventions"]] == ["command"]


class TestList:
    def test_one_task_a_line_the_newest_first(self, background):
        first, second = schedule(do, 1, title="first"), schedule(do, 2, title="second")
        done = background("list")
        heading, *lines = [line.split() for line in done.lines]
        names = ["id", "state", "created", "not-before", "queue", "user", "title"]
        assert heading == names
        assert [line[0] for line in lines] == [second, first]
        assert [line[1] for line in lines] == ["queued", "queued"]
        assert [line[-1] for line in lines] == ["second", "first"]
        assert (done.code, done.err) == (0, "")

    def test_for_programs(self, background):
        id = schedule(do, 1, title=NASTY, queue="default")
        [task] = background("list", "--json").values
        record = visible_record(id)
        assert (task["id"], task["title"]) == (id, record.title)
        assert task["created"] == record.created.isoformat()

    def test_when_a_delayed_one_may_begin(self, background):
        eta = visible_record(schedule(do, 1, delay=3600)).eta
        assert f"{eta:%Y-%m-%dT%H:%M:%SZ}" in background("list").lines[1].split()

    def test_ids_for_other_programs(self, background):
        ids = [schedule(do, n) for n in range(3)]
        assert background("list", "--ids").lines == ids[::-1]
        assert background("list", "--ids", "--ascending").lines == ids
        assert background("list", "--ids", "--start", 1, "--limit", 1).lines == [ids[1]]
        assert background("list", "--ids", "--limit", 0).lines == ids[::-1]

    def test_what_comes_from_outside_stays_in_its_line(self, background):
        schedule(do, 1, title=NASTY)
        done = background("list")
        assert len(done.lines) == 2
        assert "\x1b" not in done.out and "\u202e" not in done.out

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("--state", "failed"),
            ("--queue", "mail"),
            ("--user", "somebody"),
            ("--text", "unheard of"),
            ("--context", "/nowhere"),
            ("--below", "/nowhere"),
            ("--callable", "no_such_function"),
            ("--error", "builtins.KeyError"),
            ("--since", "2100-01-01"),
            ("--group", "0" * 32),
        ],
    )
    def test_filters(self, background, option, value):
        schedule(do, 1)
        done = background("list", "--ids", option, value)
        assert (done.code, done.lines) == (0, [])

    def test_filters_that_fit(self, background):
        with group() as members:
            id = using(title="Anything").schedule(do, 1)
        transaction.commit()
        fits = ("--state", "queued", "--state", "failed", "--queue", "default")
        fits += ("--user", visible_record(id).user_id, "--text", "anyTHING")
        fits += ("--callable", "do")
        fits += ("--since", "2020-01-01T00:00+01:00", "--group", members.id)
        assert background("list", "--ids", *fits).lines == [id]

    @pytest.mark.parametrize(
        "wrong", [("--start", -1), ("--state", "gone"), ("--since", "soon")]
    )
    def test_what_cannot_be_used(self, background, wrong):
        done = background("list", *wrong)
        assert done.code == 2
        assert str(wrong[1]) in done.err


class TestShow:
    def test_all_that_is_known(self, background):
        id = schedule(fail, "no such\nrow", title="Import")
        work()
        done = background("show", id)
        assert done.code == 0
        assert f"id: {id}" in done.lines
        assert "state: failed" in done.lines
        assert "error_type: collective.background.exceptions.TaskFailed" in done.lines
        at = done.lines.index("arguments:")
        assert done.lines[at + 1 : at + 3] == ["    text=no such", "    row"]
        assert all(":" in line or line.startswith("    ") for line in done.lines)

    def test_for_programs(self, background):
        id = schedule(do, "something")
        task = background("show", id, "--json").values
        assert (task["id"], task["arguments"]) == (id, ["what=something"])

    def test_none(self, background):
        done = background("show", "0" * 32)
        assert (done.code, done.out) == (1, "")
        assert "there is no task" in done.err


class TestControl:
    def test_retry(self, background):
        id = schedule(fail, "no")
        work()
        done = background("--json", "retry", id)
        assert (done.code, [task["state"] for task in done.values]) == (0, ["queued"])

    @pytest.mark.parametrize("options", [{}, {"delay": 3600}])
    def test_what_waits_already_is_not_tried_again(self, background, options):
        id = schedule(do, 1, **options)
        done = background("retry", id)
        assert done.code == 1
        assert f"task {id} is queued: it waits already" in done.err

    def test_cancel(self, background):
        ids = [schedule(do, n) for n in range(2)]
        done = background("cancel", *ids, "--json")
        assert done.code == 0
        assert [task["state"] for task in done.values] == ["cancelled"] * 2
        assert get_scheduler().record(ids[0]).state == "cancelled"

    def test_one_that_is_not_there_does_not_spare_the_others(self, background):
        id = schedule(do, 1)
        done = background("cancel", "0" * 32, id, "--json")
        assert done.code == 1
        assert [task["id"] for task in done.values] == [id]
        assert done.err.count("\n") == 1

    def test_delete(self, background):
        id = schedule(do, 1, title="unwanted")
        done = background("delete", id)
        assert (done.code, "unwanted" in done.out) == (0, True)
        assert background("delete", id).code == 1

    def test_a_group(self, background):
        with group() as members:
            id = using().schedule(do, 1)
        transaction.commit()
        assert background("cancel", members.id).code == 0
        work()
        assert get_scheduler().record(id).state == "cancelled"


class TestWait:
    def test_for_one_that_succeeds(self, background):
        id = schedule(do, 1)
        with serving():
            done = background("wait", id, "--json")
        assert (done.code, done.values[0]["state"]) == (0, "succeeded")

    def test_for_one_that_does_not(self, background):
        id = schedule(fail, "no")
        with serving():
            done = background("wait", id)
        assert (done.code, "failed" in done.out) == (1, True)

    def test_for_all(self, background):
        id = schedule(fail, "no")
        with serving():
            assert background("wait").code == 0
        transaction.begin()
        assert get_scheduler().record(id).state == "failed"

    @pytest.mark.parametrize("all", [True, False])
    def test_until_the_time_is_up(self, background, all):
        id = schedule(do, 1, title="patient")
        ids = [] if all else [id]
        done = background("wait", *ids, "--timeout", 0)
        assert done.code == 4
        assert "patient" in done.err

    def test_for_none(self, background):
        assert background("wait", "0" * 32).code == 1
        assert background("wait", "--timeout", "-1").code == 2


class TestStats:
    def test_for_people(self, background):
        schedule(do, 1)
        with serving():
            get_scheduler().wait_all(60)
            done = background("stats")
        assert done.code == 0
        rows = [line.split() for line in done.lines]
        assert ["succeeded", "1"] in rows
        assert ["default", "2", "0", "0", "no"] in rows
        assert any("default=2" in row for row in rows)

    def test_for_programs(self, background):
        schedule(do, 1)
        values = background("stats", "--json").values
        assert values["states"]["queued"] == 1
        [default] = [each for each in values["queues"] if each["name"] == "default"]
        assert (default["waiting"], default["paused"]) == (1, False)
        assert values["instances"] == []
        json.dumps(values)
