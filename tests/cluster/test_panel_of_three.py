"""The control panel with three instances, over HTTP: that of the site which they share,
or of each for itself.

One story for each, since each process takes its time to start.
"""

from choosing import only_on_zeo
from instances import Instance
from instances import make_instance
from panels import LIST
from panels import Panel

import pytest
import shutil


pytestmark = pytest.mark.slow

MANY = 35  # tasks; more than a page has
FAILING = 3
ITEMS = 8  # of a batch, which waits after the first transaction, of two of them

STATISTICS = "@@background-tasks-statistics"
ACTIVITY = "@@background-tasks-activity"
RECURRING = "@@background-tasks-recurring"
HEART = "tr[data-recurring]:has(th:-soup-contains(heart))"


def see_the_list(panel, site):
    """Times, pages, filters, groups, and one action for all that match."""
    site.schedule_many("answer", ["one of many"] * MANY)
    group_id = site.get("probe-contract", how="group", mark="a group").text
    site.wait_all()

    panel.open(f"{LIST}?text=one+of+many")
    ids = panel.ids()
    assert (len(set(ids)), len(panel.shown.select("time[title]"))) == (30, 60)
    assert len(panel.texts(".background-tasks-ran")) == 30
    assert len(panel.texts(".background-tasks-waited")) == 30
    panel.open(f"{LIST}?text=one+of+many&b_start:int=30")
    assert len(set(panel.ids()).difference(ids)) == MANY - 30

    assert panel.open(f"{LIST}?callable=write&content={site.url}").ids() == [group_id]
    assert len(panel.shown.select(f"#members-{group_id} [data-task-id]")) == 3

    panel.open(f"{LIST}?callable=tasks.answer&text=many").follow("[data-action=delete]")
    assert str(MANY) in panel.text("#background-tasks-many h2")
    assert f"{MANY} deleted" in panel.press("#background-tasks-many button")
    assert panel.open(f"{LIST}?text=one+of+many").ids() == []


def see_failures(panel, site):
    """By their error, with the frames of the add-on first; all tried again."""
    site.schedule_many("fail_always", ["it fails"] * FAILING)
    site.wait_all()
    row = "#background-tasks-failures tbody tr:has(a[href*=fail_always])"
    panel.open(STATISTICS)
    assert "LookupError in instance_probe.tasks.fail_always" in panel.text(row)
    assert panel.text(f"{row} td") == str(FAILING)

    panel.follow(f"{row} .btn")
    told = panel.press("#background-tasks-many button")
    assert f"{FAILING} queued again" in told
    site.wait_all()
    panel.open(f"{LIST}?state=failed&callable=fail_always")
    panel.follow(f"#title-{panel.ids()[0]}")
    assert "it cannot be done" in panel.text("#content")
    assert "fail_always" in panel.text("#background-task-own-frames")
    assert "runner.py" not in panel.text("#background-task-own-frames")
    assert "runner.py" in panel.text("details #background-task-traceback")
    assert panel.find("[data-copy=background-task-traceback]")
    attempts = panel.texts("#background-task-attempts td:first-child")
    assert list(filter(None, attempts)) == ["1", "2"]
    assert "admin" in panel.text("#background-task-interventions")

    panel.open(STATISTICS)
    row = "#background-tasks-measures tbody tr:has(a[href*=fail_always]) td"
    _, count, bad, median, high = panel.texts(row)
    assert (count, bad) == (str(FAILING), str(FAILING))
    assert "s" in median and "s" in high


def see_what_runs(panel, site, begin, until, file):
    """Its progress, what it does and where it runs; returns the id of its instance."""
    mark = str(file)
    id = site.schedule_batch(mark, ITEMS, "write_item_later")
    begin(f"{mark} has begun")
    page = f"@@background-task/{id}"
    until(lambda: f"2 / {ITEMS}" in panel.open(page).text("#content"))
    assert panel.find("[role=progressbar], progress")
    if panel.shown.select("[value=ask]"):  # it runs in another instance
        panel.press("[value=ask]")
    stack = "#background-task-stack"
    until(lambda: "in write_item_later" in " ".join(panel.open(page).texts(stack)))
    panel.open(ACTIVITY)
    row = f"#row-{id}"
    instance = panel.texts(f"{row} code")[0]
    assert panel.text("tr[data-queue=default] td:nth-of-type(2)") == "1"
    file.touch()
    assert site.wait(id)["state"] == "succeeded"
    return instance


def see_what_waits(panel, site):
    """Why, since when, and all of it cancelled."""
    panel.open(ACTIVITY)
    panel.press("button[name=pause][value=default]")
    marks = [f"unwanted {number}" for number in range(MANY)]
    site.schedule_many("answer", marks)
    (first,) = [r["id"] for r in site.scheduler("records", text="unwanted 0")]
    panel.open(ACTIVITY)
    assert panel.texts("tr[data-queue=default] td")[2] == str(MANY)
    panel.follow("tr[data-queue=default] td a")
    assert panel.find("[data-task-id]")["data-task-id"] == first
    assert panel.text("#background-task-reason") == "the queue is paused"

    panel.open(f"{LIST}?text=unwanted").follow("[data-action=cancel]")
    assert f"{MANY} cancelled" in panel.press("#background-tasks-many button")
    assert site.scheduler("count", text="unwanted", states=["cancelled"]) == MANY
    panel.open(ACTIVITY)
    panel.press("button[name=resume][value=default]")


def see_recurring_tasks(panel, site, until):
    """When and how they run; off, and now."""
    until(lambda: "done" in panel.open(RECURRING).text(HEART))
    assert "every second" in panel.text(HEART)
    assert "heart is switched off" in panel.press(f"{HEART} [name=off]")
    site.wait_all()
    assert "heart is queued" in panel.press(f"{HEART} [name=run]")
    site.wait_all()
    panel.open(RECURRING).follow(f"{HEART} a[href*=callable]")
    assert len(panel.ids()) > 1


def see_all(panel, site, begin, until, file):
    see_the_list(panel, site)
    see_failures(panel, site)
    see_recurring_tasks(panel, site, until)  # which are off then
    see_what_waits(panel, site)
    return see_what_runs(panel, site, begin, until, file)


@only_on_zeo
def test_of_a_site_that_three_instances_share(cluster, tmp_path, monkeypatch, until):
    """Two of them execute; the third one answers the manager."""
    with monkeypatch.context() as patch:
        patch.setenv("PROBE_HEART", "beats")
        a, _, web = cluster.run(a={}, b={}, panel={"role": "web"})
    a.is_tampered = True  # other tests are not to see its recurring task
    panel = Panel(web)
    instance = see_all(panel, web, cluster.who, until, tmp_path / "go on")
    assert f":{web.pid}:" not in instance
    ids = panel.open(ACTIVITY).texts("#background-tasks-instances code")
    assert len(ids) == 2
    # Other tests share the site.
    assert "heart is switched on" in panel.open(RECURRING).press(f"{HEART} [name=on]")


def test_of_three_instances_that_share_nothing(site_data, tmp_path, monkeypatch, until):
    """Each shows what it has itself."""
    monkeypatch.setenv("PROBE_HEART", "beats")
    instances = []
    try:
        for name in ("first", "second", "third"):
            folder = tmp_path / name
            make_instance(folder)
            shutil.copytree(site_data, folder / "var", dirs_exist_ok=True)
            instances.append(Instance(folder))
        first, *others = [instance.serves() for instance in instances]
        instance = see_all(Panel(first), first, first.expect, until, tmp_path / "go on")
        assert f":{first.pid}:" in instance
        for other in others:
            panel = Panel(other)
            assert panel.open(f"{LIST}?callable=fail_always").ids() == []
            see_recurring_tasks(panel, other, until)
    finally:
        for instance in instances:
            instance.kill()
