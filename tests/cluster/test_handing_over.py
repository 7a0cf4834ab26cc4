"""An instance stops, is silent, or is older: what becomes of its tasks elsewhere.

Tasks of the kind "create_later" work until there is a file, whose path is their mark.
"""

from choosing import only_on_zeo

import pytest


pytestmark = pytest.mark.slow


def test_a_silent_instance_loses_its_task_to_another_one(instances, cluster, tmp_path):
    """It is alive all the same, and goes on later: its work is refused."""
    a, web = instances
    file = tmp_path / "go on"
    id = web.schedule("create_later", str(file), rerun=True)
    a.expect(f"{file} has begun")
    a.freeze()
    (b,) = cluster.run(b={})
    b.expect(f"{file} has begun")
    file.touch()
    assert web.wait(id)["state"] == "succeeded"
    a.thaw()
    a.expect(f"task {id}", "was taken over")
    cluster.stop("b")
    assert web.scheduler("record", id)["state"] == "succeeded"
    assert web.done(str(file)) == (1, 1)


@only_on_zeo
def test_the_work_of_a_silent_instance_is_refused_when_its_task_is_lost(
    instances, tmp_path
):
    a, web = instances
    file = tmp_path / "go on"
    id = web.schedule("create_later", str(file))
    a.expect(f"{file} has begun")
    a.freeze()
    assert web.wait(id)["state"] == "lost"
    file.touch()
    a.thaw()
    a.expect(f"task {id}", "was taken over")
    assert web.scheduler("record", id)["state"] == "lost"
    assert web.done(str(file)) == (0, 0)


@only_on_zeo
def test_an_instance_that_stops_in_order_leaves_its_tasks_to_others(instances, cluster):
    """Those that it runs, if they stop, and those that wait."""
    a, web = instances
    running = web.schedule("cooperate", "handed over", rerun=True)
    a.expect("handed over has begun")
    web.scheduler("pause", "default")
    waiting = web.schedule("write", "waits for the next one")
    cluster.stop("a")
    assert web.scheduler("record", running)["state"] == "queued"
    assert web.scheduler("record", waiting)["state"] == "queued"
    web.scheduler("resume", "default")
    (a,) = cluster.run(a={})
    a.expect("handed over has begun")
    assert web.wait(waiting)["state"] == "succeeded"
    web.scheduler("cancel", running)
    assert web.wait(running)["state"] == "cancelled"


@only_on_zeo
def test_a_batch_goes_on_after_its_last_committed_items(instances, cluster):
    """Items 0 and 1 are committed, and so are 2 and 3; it is killed at 4."""
    a, web = instances
    a.die_at("item-4")
    id = web.schedule_batch("a batch", 10, rerun=True)
    a.has_ended()
    assert web.scheduler("record", id)["state"] == "running"
    (a,) = cluster.run(a={})
    record = web.wait(id)
    assert (record["state"], record["progress"]["done"]) == ("succeeded", 10)
    marks = web.marks()
    assert [marks.get(f"a batch {item}") for item in range(10)] == [1] * 10


@only_on_zeo
def test_a_batch_is_retried_after_its_last_committed_items(instances, cluster):
    a, web = instances
    a.die_at("item-4")
    id = web.schedule_batch("a lost batch", 10)
    a.has_ended()
    record = web.wait(id)
    assert (record["state"], record["progress"]["done"]) == ("lost", 4)
    cluster.run(a={})
    web.scheduler("retry", id)
    assert web.wait(id)["state"] == "succeeded"
    marks = web.marks()
    assert [marks.get(f"a lost batch {item}") for item in range(10)] == [1] * 10


@only_on_zeo
def test_a_task_that_an_older_version_does_not_know_fails_with_its_name(instances):
    """As after an update of the add-on that has reached one instance only."""
    a, web = instances
    a.lacks("answer")
    record = web.wait(web.schedule("answer", "of a newer version"))
    assert record["state"] == "failed"
    assert "instance_probe.tasks" in record["error"]["message"]
    assert "answer" in record["error"]["message"]
