"""The worker without Plone of ``demo/ingest``, as it is installed and started."""

from brokers import Redis
from contextlib import closing
from helpers import needed
from instances import NAME
from instances import PASSWORD
from pathlib import Path
from processes import environ
from processes import Process
from processes import run
from processes import SCRIPTS

import base64
import pytest
import re
import shutil
import sys


pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
INGEST = ROOT / "demo" / "ingest"
PAGE = b"<html><head><title>No</title></head><h1>Cats</h1>sleep a lot</html>"


@pytest.fixture
def redis():
    with closing(Redis()) as redis:
        yield redis


@pytest.fixture
def python(tmp_path):
    """The Python of a virtual environment with what the worker needs."""
    path = f"{SCRIPTS}:/usr/local/bin:/usr/bin"
    uv = needed(shutil.which("uv", path=path) or shutil.which("uv"), "uv")
    run(uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "worker")
    python = tmp_path / "worker" / "bin" / "python"
    install = ("pip", "install", "--quiet", "--python", python)
    constraints = ("--constraint", ROOT / "constraints.txt")
    run(uv, *install, *constraints, "-r", "requirements.txt", cwd=INGEST)
    return python


@pytest.fixture
def worker(python, redis, plone):
    account = {"INGEST_USER": NAME, "INGEST_PASSWORD": PASSWORD}
    account["INGEST_SITE"] = plone.url
    worker = Process(
        "ingest",
        *(python, "-m", "celery", "-A", "ingest", "worker", "--loglevel", "INFO"),
        *("--queues", "ingest", "--concurrency", "1"),
        cwd=INGEST,
        env={**environ(), **account, "INGEST_BROKER": redis.url, "PYTHONPATH": ""},
    )
    worker.expect("ready.")
    yield worker
    worker.kill()


@pytest.fixture
def plone(serve, redis):
    """An instance with the example add-on, and its tasks in the database."""
    plone = serve(celery_broker=redis.url, celery_queues="")
    plone.get("probe-persist")
    accept = {"Accept": "application/json"}
    plone.request("POST", "@addons/countries_demo/install", headers=accept)
    return plone


def summarize(plone, name, content, content_type):
    """Add a File, and have it read; return the record of the task, and the file."""
    data = base64.b64encode(content).decode()
    file = {"data": data, "encoding": "base64", "filename": name}
    file["content-type"] = content_type
    made = plone.rest("POST", "", **{"@type": "File", "title": name, "file": file})
    page = plone.get("@@background-tasks-settings").text
    token = re.search(r'name="_authenticator" value="([0-9a-f]+)"', page)[1]
    path = made["@id"].rpartition("/")[2]
    plone.request("POST", f"{path}/@@summarize", data={"_authenticator": token})
    task = plone.rest("GET", "@tasks")["items"][0]
    plone.wait(task["id"])
    return plone.rest("GET", f"@tasks/{task['id']}"), plone.rest("GET", path)


def test_it_reads_files_and_writes_back_what_is_in_them(plone, worker, python):
    record, file = summarize(plone, "cats.html", PAGE, "text/html")
    assert record["state"] == "succeeded"
    assert record["title"] == "Summary of cats.html"
    assert record["progress"]["done"] == record["progress"]["total"] == 3
    assert record["log"] == ["cats.html has 4 words"]
    assert file["description"] == "Cats sleep a lot"

    record, file = summarize(plone, "cats.gif", b"GIF", "image/gif")
    assert record["state"] == "failed"
    assert record["error"]["public"] == "Files of the type image/gif cannot be read."
    assert file["description"] == ""

    found = "from importlib.util import find_spec as f; print(f('plone'), f('ZODB'))"
    assert run(python, "-c", found).stdout.strip() == "None None"
    log = "\n".join(worker.log)
    assert "Summary of cats.html" in log
    assert "token" not in log
