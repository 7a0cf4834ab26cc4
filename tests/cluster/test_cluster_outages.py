"""The database is gone, or full, for a while: tasks end in clear states after that.

Tasks of the kind "create_later" work until there is a file, whose path is their mark.
"""

from choosing import LEASE
from choosing import only_on_zeo
from threading import Event

import pytest
import requests
import signal


pytestmark = pytest.mark.slow

with_a_server = pytest.mark.parametrize(
    "shared_cluster", ["zeo", "postgresql"], indirect=True
)

OUTAGE = 1.5 * LEASE  # seconds
NEVER = 3600
MARGIN = 10.0  # seconds that all may take on a busy machine


@pytest.fixture
def files(tmp_path):
    """Paths for which tasks wait."""
    return [str(tmp_path / name) for name in ("plain", "rerun", "batch", "late")]


def touch(*paths):
    for path in paths:
        open(path, "w").close()


@with_a_server
def test_it_is_away_for_longer_than_the_lease(cluster, files):
    """Work that ends meanwhile, and after it: nothing of it is lost, or done twice."""
    a, b, web = cluster.run(a={}, b={}, web={"role": "web"})
    plain, rerun, batch, late = files
    ids = [
        web.schedule("create_later", plain),
        web.schedule("create_later", rerun, rerun=True),
        web.schedule_batch(batch, 6, "write_item_later"),
        web.schedule("create_later", late),
    ]
    for file in files:
        cluster.who(f"{file} has begun")
    ids.append(web.schedule("create", "waits for the database"))
    cluster.storage.stop()
    touch(plain, rerun, batch)
    Event().wait(OUTAGE)
    cluster.storage.start()
    touch(late)
    for id in ids:
        assert web.wait(id)["state"] == "succeeded"
    for title in (plain, rerun, late, "waits for the database"):
        assert web.done(title) == (1, 1)
    marks = web.marks()
    assert [marks.get(f"{batch} {item}") for item in range(6)] == [1] * 6
    # Who is really dead is found all the same, so all were watched for long enough.
    b.kill()
    cluster.who(f":{b.pid}:", "was silent for")
    assert not any(
        process.lines_with(f":{each.pid}:", "was silent for")
        for process in (a, b, web)
        for each in (a, web)
    )


@with_a_server
def test_processes_end_while_it_is_away(cluster, files):
    """One in time, one at a second signal; what they had is seen to later."""
    a, b, web = cluster.run(
        a={"drain_timeout": 1}, b={"drain_timeout": NEVER}, web={"role": "web"}
    )
    may_rerun = [True, True, False, False]
    ids = [
        web.schedule("create_later", file, rerun=rerun)
        for file, rerun in zip(files, may_rerun, strict=True)
    ]
    for file in files:
        cluster.who(f"{file} has begun")
    cluster.storage.stop()
    a.send(signal.SIGTERM)
    a.has_ended(timeout=MARGIN)
    b.send(signal.SIGTERM)
    b.expect("waiting for running tasks to stop")
    b.send(signal.SIGTERM)
    b.has_ended(timeout=MARGIN)
    cluster.storage.start()
    touch(*files)
    cluster.run(a={})
    for id, file, rerun in zip(ids, files, may_rerun, strict=True):
        assert web.wait(id)["state"] == ("succeeded" if rerun else "lost")
        assert web.done(file) == ((1, 1) if rerun else (0, 0))


@only_on_zeo
def test_a_full_disk(cluster, instances, tmp_path):
    """What runs cannot commit, nor say that it has failed; it does so later."""
    a, web = instances
    file = tmp_path / "on a full disk"
    running = web.schedule("create_later", str(file))
    a.expect(f"{file} has begun")
    with cluster.storage.full_disk():
        with pytest.raises(requests.HTTPError, match="500"):
            web.schedule("create", "too much")
        a.expect(", for now: ")  # it is not known what it has tried to write first
        file.touch()
        a.expect(f"task {running} failed")
        assert web.scheduler("record", running)["state"] == "running"
    record = web.wait(running)
    assert record["state"] == "failed"
    assert "File too large" in record["error"]["message"]
    assert web.done(str(file)) == (0, 0)
    assert web.wait(web.schedule("create", "with room again"))["state"] == "succeeded"
    assert web.done("with room again") == (1, 1)
    assert web.scheduler("records", text="too much") == []
