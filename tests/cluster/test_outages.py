"""The database is gone, or full, for a while: tasks end in clear states after that."""

from choosing import only_on_zeo

import pytest
import requests


pytestmark = pytest.mark.slow


@pytest.mark.parametrize("shared_cluster", ["zeo", "postgresql"], indirect=True)
def test_the_server_of_the_database_is_restarted(cluster, instances, tmp_path):
    """One task runs meanwhile, and has worked without a commit; one waits."""
    a, web = instances
    file = tmp_path / "after the restart"
    running = web.schedule("create_later", str(file))
    a.expect(f"{file} has begun")
    web.scheduler("pause", "default")
    waiting = web.schedule("create", "waits for the database", retries=20, backoff=0.1)
    cluster.storage.stop()
    file.touch()
    cluster.storage.start()
    cluster.storage.is_back(a, web)
    # Also for the one that runs: it may have to be tried again.
    web.scheduler("resume", "default")
    assert web.wait(running)["state"] == "succeeded"
    assert web.done(str(file)) == (1, 1)
    assert web.wait(waiting)["state"] == "succeeded"
    assert web.done("waits for the database") == (1, 1)


@only_on_zeo
def test_a_full_disk(cluster, instances, tmp_path):
    """What runs cannot commit, nor say that it has failed; it does so later."""
    a, web = instances
    file = tmp_path / "on a full disk"
    running = web.schedule("create_later", str(file))
    a.expect(f"{file} has begun")
    cluster.storage.fill_disk()
    with pytest.raises(requests.HTTPError, match="500"):
        web.schedule("create", "too much")
    a.expect("cannot be seen to, for now")
    file.touch()
    a.expect(f"task {running} failed")
    assert web.scheduler("record", running)["state"] == "running"
    cluster.storage.free_disk()
    record = web.wait(running)
    assert record["state"] == "failed"
    assert "File too large" in record["error"]["message"]
    assert web.done(str(file)) == (0, 0)
    assert web.wait(web.schedule("create", "with room again"))["state"] == "succeeded"
    assert web.done("with room again") == (1, 1)
    assert web.scheduler("records", text="too much") == []
