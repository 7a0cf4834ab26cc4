"""The database is gone, or full, for a while: tasks end in clear states after that."""

import pytest
import requests


pytestmark = pytest.mark.slow


@pytest.fixture
def instances(cluster):
    return cluster.run(a={}, web={"role": "web"})


def done(instance, title):
    """How often a task has done its work: by its content, and by its mark."""
    return instance.titles().count(title), instance.marks().get(title, 0)


@pytest.mark.parametrize("shared_cluster", ["zeo", "postgresql"], indirect=True)
def test_the_server_of_the_database_is_restarted(cluster, instances, tmp_path):
    """One task runs meanwhile, and has worked without a commit; one waits."""
    a, web = instances
    file = tmp_path / "after the restart"
    running = web.schedule("create_later", str(file))
    a.expect(f"{file} has begun")
    web.scheduler("pause", "default")
    waiting = web.schedule("create", "waits for the database")
    cluster.storage.stop()
    file.touch()
    cluster.storage.start()
    cluster.storage.is_back(a, web)
    record = web.wait(running)
    assert record["state"] in ("succeeded", "failed")
    assert done(web, str(file)) == (
        (1, 1) if record["state"] == "succeeded" else (0, 0)
    )
    web.scheduler("resume", "default")
    assert web.wait(waiting)["state"] == "succeeded"
    assert done(web, "waits for the database") == (1, 1)


@pytest.mark.parametrize("shared_cluster", ["zeo"], indirect=True)
def test_a_full_disk(cluster, instances, tmp_path):
    """What runs cannot commit, nor say that it has failed; it does so later."""
    a, web = instances
    file = tmp_path / "on a full disk"
    running = web.schedule("create_later", str(file))
    a.expect(f"{file} has begun")
    cluster.storage.fill_disk()
    with pytest.raises(requests.HTTPError, match="500"):
        web.schedule("create", "too much")
    file.touch()
    a.expect("the outcome of a task cannot be written, for now")
    assert web.scheduler("record", running)["state"] == "running"
    cluster.storage.free_disk()
    record = web.wait(running)
    assert record["state"] == "failed"
    assert "File too large" in record["error"]["message"]
    assert done(web, str(file)) == (0, 0)
    assert web.wait(web.schedule("create", "with room again"))["state"] == "succeeded"
    assert done(web, "with room again") == (1, 1)
    assert web.scheduler("records", text="too much") == []
