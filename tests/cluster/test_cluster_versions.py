"""Instances of different releases share a database, as while they are updated."""

from choosing import only_on_zeo

import pytest


pytestmark = [pytest.mark.slow, only_on_zeo]

PAGES = ("background-tasks-controlpanel", "background-tasks-activity")


@pytest.fixture
def newer(instances, cluster, monkeypatch):
    """One that stores more than the others know, with another version."""
    with monkeypatch.context() as patch:
        patch.setenv("PROBE_NEWER", "yes")
        (b,) = cluster.run(b={})
    return b


def test_each_runs_what_it_knows(instances, newer):
    a, web = instances
    web.scheduler("pause", "default")
    task = newer.schedule("write", "of the newer one")
    batch = newer.schedule_batch("a batch of the newer one", 4)
    newer.freeze()
    web.scheduler("resume", "default")
    # These are older, but nobody waits for them.
    id = web.schedule("answer", "of the older one")
    assert web.wait(id)["state"] == "succeeded"
    for each in (task, batch):
        assert web.scheduler("record", each)["state"] == "queued"
        assert "of the newer one" in a.get(f"@@background-task/{each}").text
    assert web.scheduler("count", states=["queued"]) == 2
    for page in PAGES:
        assert a.get(f"@@{page}").ok
    newer.thaw()
    for each in (task, batch):
        record = web.wait(each)
        assert record["state"] == "succeeded"
        assert f":{newer.pid}:" in record["instance"]
    assert a.scheduler("peek_result", batch)["done"] == 4
    a.freeze()
    record = web.wait(web.schedule("answer", "also of the older one"))
    assert record["state"] == "succeeded"
    assert f":{newer.pid}:" in record["instance"]


def test_a_task_that_an_older_add_on_does_not_know_fails_with_its_name(instances):
    """As after an update of the add-on that has reached one instance only."""
    a, web = instances
    a.lacks("answer")
    record = web.wait(web.schedule("answer", "of a newer version"))
    assert record["state"] == "failed"
    assert "instance_probe.tasks" in record["error"]["message"]
    assert "answer" in record["error"]["message"]
