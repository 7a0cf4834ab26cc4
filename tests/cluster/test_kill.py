"""An instance is killed: a task has then either done its work and says so, or nothing.

One instance executes, and is killed at the points of ``instance_probe/faults.py``;
the other one only schedules, and sees what is left. What was done is counted in
content.
"""

from choosing import elsewhere

import pytest
import requests


pytestmark = pytest.mark.slow


def find(instance, title):
    """Return the records of the tasks with a title."""
    return instance.scheduler("records", text=title)


def test_before_the_commit_there_is_no_task(instances):
    a, web = instances
    a.die_at("request-voted")
    with pytest.raises(requests.ConnectionError):
        a.schedule("create", "not committed")
    a.has_ended()
    assert find(web, "not committed") == []


def test_after_the_commit_the_task_is_executed(instances, cluster):
    a, web = instances
    a.die_at("request-committed")
    with pytest.raises(requests.ConnectionError):
        a.schedule("create", "committed")
    a.has_ended()
    (record,) = find(web, "committed")
    assert record["state"] == "queued"
    cluster.run(a={})
    assert web.wait(record["id"])["state"] == "succeeded"
    assert web.done("committed") == (1, 1)


@elsewhere(point="started")
@pytest.mark.parametrize("point", ["started", "task-voted"])
def test_a_task_that_has_not_committed_is_lost_and_can_be_tried_again(
    instances, cluster, point
):
    a, web = instances
    title = f"lost at {point}"
    a.die_at(point)
    id = web.schedule("create", title)
    a.has_ended()
    cluster.start("a")
    record = web.wait(id)
    assert (record["state"], web.done(title)) == ("lost", (0, 0))
    cluster.run(a={})
    web.scheduler("retry", id)
    assert web.wait(id)["state"] == "succeeded"
    assert web.done(title) == (1, 1)


@elsewhere(point="task-voted")
@pytest.mark.parametrize("point", ["running", "task-voted"])
def test_with_rerun_a_task_that_has_not_committed_is_executed_again(
    instances, cluster, point
):
    a, web = instances
    title = f"again after {point}"
    a.die_at(point)
    id = web.schedule("create", title, rerun=True)
    a.has_ended()
    cluster.run(a={})
    assert web.wait(id)["state"] == "succeeded"
    assert web.done(title) == (1, 1)


@elsewhere(point="task-committed", rerun=True)
@pytest.mark.parametrize("rerun", [False, True])
@pytest.mark.parametrize("point", ["task-committed", "succeeded"])
def test_a_task_that_has_committed_has_succeeded(instances, cluster, point, rerun):
    """There is no moment at which its work is done, and it does not say so."""
    a, web = instances
    title = f"succeeded at {point} {rerun}"
    a.die_at(point)
    id = web.schedule("create", title, rerun=rerun)
    a.has_ended()
    assert web.scheduler("record", id)["state"] == "succeeded"
    assert web.done(title) == (1, 1)
    cluster.run(a={})
    web.wait_all()
    assert web.scheduler("record", id)["state"] == "succeeded"
    assert web.done(title) == (1, 1)
