"""A copy of the database, made while production runs, in which nothing happens.

Two sites are in it: one has its tasks in the database, one in memory.
"""

from bs4 import BeautifulSoup
from choosing import LEASE
from clusters import Cluster
from processes import run
from processes import SCRIPTS

import pytest
import shutil


pytestmark = pytest.mark.slow

CONVERSION = """
<filestorage source>
  path {source}/Data.fs
  blob-dir {source}/blobstorage
</filestorage>
<filestorage destination>
  path {destination}/Data.fs
  blob-dir {destination}/blobstorage
</filestorage>
"""
QUEUED = ("'heart'", "default: queued")


def press(site, button):
    """Press a button of the notice in the control panel of a Site."""
    page = site.get("@@background-tasks-settings").text
    form = BeautifulSoup(page, "lxml").select_one("#background-tasks-deployment")
    token = form.select_one("[name=_authenticator]")["value"]
    data = {button: "1", "_authenticator": token}
    site.request("POST", "@@background-tasks-deployment", data=data)


def state_of(site, id):
    return site.scheduler("record", id)["state"]


def converted(source, folder):
    """Return the folder of a copy that ``zodbconvert`` makes of a folder ``var``."""
    configuration, destination = folder / "zodbconvert.conf", folder / "converted"
    destination.mkdir()
    text = CONVERSION.format(source=source, destination=destination)
    configuration.write_text(text)
    run(SCRIPTS / "zodbconvert", configuration)
    return destination


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Return a function that starts a deployment on the data in a folder ``var``.

    It returns the folder of its database, and an instance.
    """
    monkeypatch.setenv("PROBE_HEART", "beats")
    clusters = []

    def start(name, data):
        folder = tmp_path / name
        folder.mkdir()
        cluster = Cluster(folder, data, "zeo", lease=LEASE, deployment=name)
        clusters.append(cluster)
        return cluster, cluster.run(a={})[0]

    yield start
    for cluster in clusters:
        cluster.close()


def test_nothing_happens_in_it_until_it_is_adopted(start, site_data, tmp_path, until):
    _, production = start("production", site_data)
    production.get("probe-add-site", id="Second")
    stored = production.site("Second")
    for site in (production, stored):
        press(site, "adopt")
    file = tmp_path / "file"
    running = stored.schedule("create_later", str(file), rerun=True)
    production.expect(f"{file} has begun")
    # As it may run again, that is told a moment later.
    until(lambda: state_of(stored, running) == "running")
    waiting = stored.schedule("write", "waiting", delay=LEASE)
    production.expect(*QUEUED)

    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(tmp_path / "production/var/Data.fs", copy)
    shutil.copytree(tmp_path / "production/var/blobstorage", copy / "blobstorage")
    cluster, memory = start("staging", converted(copy, tmp_path))
    staging = memory.site("Second")
    for path in ("/Plone", "/Second"):
        cluster.who(f"nothing runs here for {path}")
    before = cluster.storage.transactions()

    stored.wait(waiting)
    assert cluster.storage.transactions() == before
    assert state_of(staging, waiting) == "queued"
    assert state_of(staging, running) == "running"
    new = staging.schedule("write", "new")
    in_memory = memory.schedule("write", "new")
    assert state_of(staging, new) == "queued"
    assert not memory.lines_with(*QUEUED)

    press(staging, "adopt")
    for id in (new, waiting):
        assert staging.wait(id)["state"] == "succeeded"
    file.touch()
    assert staging.wait(running)["state"] == "succeeded"

    assert state_of(memory, in_memory) == "queued"
    press(memory, "discard")
    assert state_of(memory, in_memory) == "cancelled"
    assert memory.wait(memory.schedule("write", "newer"))["state"] == "succeeded"
    assert memory.scheduler("count", text="heart") == 0
