"""An instance stops, or is silent: what becomes of its tasks elsewhere.

Tasks of the kinds "create_later", which has no cancellation points, and
"create_unless_cancelled" work until there is a file, whose path is their mark.
"""

from choosing import only_on_zeo

import pytest
import signal


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
def test_a_silent_instance_stops_what_was_lost(instances, tmp_path):
    """It does not commit it; what has cancellation points does not even go on."""
    a, web = instances
    file, lines = tmp_path / "go on", tmp_path / "lines"
    ids = [
        a.begin("create_later", str(file)),
        a.begin("append", str(lines)),
    ]
    a.freeze()
    assert [web.wait(id)["state"] for id in ids] == ["lost", "lost"]
    a.thaw()
    a.expect(f"task {ids[1]}", "was taken over")
    size = lines.stat().st_size
    file.touch()
    a.expect(f"task {ids[0]}", "was taken over")
    assert web.wait(web.schedule("answer", "it goes on"))["state"] == "succeeded"
    assert lines.stat().st_size == size
    assert [web.scheduler("record", id)["state"] for id in ids] == ["lost", "lost"]
    assert web.done(str(file)) == (0, 0)


@only_on_zeo
def test_an_instance_that_stops_in_order(cluster, tmp_path):
    """What may run again, batches, and what waits go on elsewhere, before its end.

    The rest may come to an end, as long as it does so in time.
    """
    a, web = cluster.run(a={"concurrency": 4, "drain_timeout": 8}, web={"role": "web"})
    plain, long, rerun, batch = files = [
        tmp_path / name for name in ("plain", "long", "rerun", "batch")
    ]
    ids = {
        plain: web.schedule("create_unless_cancelled", str(plain)),
        long: web.schedule("create_unless_cancelled", str(long)),
        rerun: web.schedule("create_unless_cancelled", str(rerun), rerun=True),
        batch: web.schedule_batch(str(batch), 6, "write_item_later", rerun=True),
    }
    for file in files:
        cluster.who(f"{file} has begun")
    waiting = web.schedule("create", "waits for a slot")
    (b,) = cluster.run(b={"concurrency": 4})
    a.send(signal.SIGTERM)
    assert web.wait(waiting)["state"] == "succeeded"
    b.expect(f"{rerun} has begun")
    # The transaction of the present items is the last one of the batch there.
    for file in (rerun, batch):
        file.touch()
        record = web.wait(ids[file])
        assert record["state"] == "succeeded"
        assert f":{b.pid}:" in record["instance"]
    plain.touch()
    assert web.wait(ids[plain])["state"] == "succeeded"
    a.has_ended()
    assert a.lines_with(f"'{plain}' of admin in queue default: succeeded")
    assert a.lines_with(f"'{long}' of admin in queue default: lost")
    assert web.scheduler("record", ids[long])["state"] == "lost"
    assert not b.lines_with(f":{a.pid}:", "was silent for")
    for title, times in ((plain, 1), (long, 0), (rerun, 1), ("waits for a slot", 1)):
        assert web.done(str(title)) == (times, times)
    marks = web.marks()
    assert [marks.get(f"{batch} {item}") for item in range(6)] == [1] * 6


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
    cluster.start("a")
    record = web.wait(id)
    assert (record["state"], record["progress"]["done"]) == ("lost", 4)
    cluster.run(a={})
    web.scheduler("retry", id)
    assert web.wait(id)["state"] == "succeeded"
    marks = web.marks()
    assert [marks.get(f"a lost batch {item}") for item in range(10)] == [1] * 10
