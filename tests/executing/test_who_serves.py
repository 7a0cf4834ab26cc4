"""Which processes do what others have scheduled: real ones, on a site whose tasks wait.

A process that does not serve starts none of the threads that this takes; whether it
does is seen in its log (see ``tell_of_threads`` of the probe), so that nothing has to
be waited for.
"""

from helpers import needed
from instances import background
from instances import Instance
from instances import PROBE
from instances import zope_conf
from processes import run
from processes import SCRIPTS
from servers import ForkedWaitress
from servers import Gunicorn
from servers import PreloadingGunicorn
from servers import Waitress

import json
import pytest
import shutil
import sys


pytestmark = pytest.mark.slow

NEVER = 3600  # seconds; who waits for that does not end in time
WAITING = [f"waiting {n}" for n in "123"]
MEDDLE = PROBE / "scripts" / "meddle.py"
SERVES = "serves, in the role"

# What `bin/instance` of plone.recipe.zope2instance 9.1 calls, but for what adds the
# packages of a buildout. After it come the lines of its commands.
START = (
    "from Zope2.Startup.run import configure_wsgi; "
    "configure_wsgi(r'{zope_conf}'); "
    "import Zope2; app=Zope2.app(); "
    "from Testing.makerequest import makerequest; "
    "app = makerequest(app); "
    "app.REQUEST['PARENTS'] = [app]; "
    "from zope.globalrequest import setRequest ;"
    "setRequest(app.REQUEST); "
    "from AccessControl.SpecialUsers import system as user; "
    "from AccessControl.SecurityManagement import newSecurityManager; "
    "newSecurityManager(None, user); "
)
RUN = (
    "import sys; sys.argv.pop(); sys.argv.append({script!r}); "
    "f = open({script!r}); src = f.read(); f.close(); "
    "code = compile(src, filename={script!r}, mode='exec'); exec(code)"
)
EXECUTE = f"exec(open({str(MEDDLE)!r}).read())\n"  # for a prompt


def zconsole_run(folder):
    return [SCRIPTS / "zconsole", "run", zope_conf(folder), MEDDLE], None


def zconsole_debug(folder):
    return [SCRIPTS / "zconsole", "debug", zope_conf(folder)], EXECUTE


def instance_run(folder):
    start = START.format(zope_conf=zope_conf(folder))
    return [sys.executable, "-c", start + RUN.format(script=str(MEDDLE))], None


def instance_debug(folder):
    start = START.format(zope_conf=zope_conf(folder))
    return [sys.executable, "-i", "-c", start], EXECUTE


@pytest.fixture(scope="module")
def saved(instance, tmp_path_factory):
    """The data of an instance with tasks in the database that a web instance has left.

    All processes of this module find there a recurring task that is due, and tell of
    the threads that they start.
    """
    server = Instance(instance, role="web").serves()
    server.get("probe-persist")
    for mark in WAITING:
        server.schedule("write", mark)
    server.stop()
    saved = tmp_path_factory.mktemp("saved") / "var"
    shutil.copytree(instance / "var", saved)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROBE_HEART", "beats")
        patch.setenv("PROBE_THREADS", "told")
        yield saved


@pytest.fixture
def folder(instance, saved):
    """The folder of the instance, with the data as they were."""
    shutil.rmtree(instance / "var")
    shutil.copytree(saved, instance / "var")
    return instance


def starts_threads(log):
    """Whether a process has started any thread of the package."""
    return "the thread background-" in log


def run_quietly(*command, **options):
    """Run a program that is to end promptly, without a word and without threads."""
    settings = {"role": "worker", "drain_timeout": NEVER, **options.pop("settings", {})}
    done = run(*command, settings=settings, **options)
    assert not starts_threads(done.stderr), done.stderr
    assert SERVES not in done.stderr
    assert "are lost" not in done.stderr
    return done


class TestOthers:
    """They neither serve nor tick, whatever they do themselves."""

    @pytest.mark.parametrize(
        ("program", "role"),
        [
            (zconsole_run, "all"),
            (zconsole_run, "worker"),
            (zconsole_debug, "worker"),
            (instance_run, "worker"),
            (instance_debug, "worker"),
        ],
    )
    def test_a_script_that_schedules_leaves_all_to_others(self, folder, program, role):
        command, lines = program(folder)
        done = run_quietly(*command, input=lines, settings={"role": role})
        # In a console there is the prompt around it.
        [answer] = [line for line in done.stdout.splitlines() if '"queued"' in line]
        states, marks = json.loads(answer)
        assert states == ["queued"] * (len(WAITING) + 1)
        assert marks == {}

    @pytest.mark.parametrize("role", ["all", "worker"])
    def test_export_and_import(self, folder, tmp_path, role):
        exporter = needed(
            shutil.which("plone-exporter", path=SCRIPTS), "plone.exportimport"
        )
        data = folder / "var" / "Data.fs"
        before = data.stat().st_size
        site = (zope_conf(folder), "Plone", tmp_path)
        run_quietly(exporter, *site, settings={"role": role})
        assert data.stat().st_size == before
        run_quietly(SCRIPTS / "plone-importer", *site, settings={"role": role})

    def test_commands(self, folder):
        done = run_quietly(*background(folder), "list", "--ids")
        first, *_ = done.stdout.splitlines()
        done = run_quietly(*background(folder), "cancel", first, "--json")
        assert [task["state"] for task in json.loads(done.stdout)] == ["cancelled"]


def serving_instance(server):
    """Wait until a server serves tasks; return the host, pid and token of its id."""
    line = server.expect(SERVES)
    instance = line.partition("instance ")[2].split()[0]
    host, pid, token = instance.split(":")
    return host, int(pid), token


def does_what_waits(server):
    """Wait until a server has done all tasks, and ticks."""
    server.wait_all()
    assert server.marks() == dict.fromkeys(WAITING, 1)
    server.expect("'heart' of admin in queue default: succeeded")


class TestServers:
    def test_zopes_own_serves_as_soon_as_it_has_started(self, folder, serve):
        server = serve()
        assert any(SERVES in line for line in server.log)
        does_what_waits(server)

    def test_and_does_what_scripts_have_scheduled(self, folder, serve):
        command, _ = zconsole_run(folder)
        run(*command)
        server = serve()
        server.wait_all()
        assert server.marks() == dict.fromkeys([*WAITING, "by a script"], 1)

    @pytest.mark.parametrize(
        "kind", [Waitress, ForkedWaitress, Gunicorn, PreloadingGunicorn]
    )
    def test_others_serve_from_the_first_request_on(self, folder, serve, kind):
        server = serve(kind=kind)
        assert not any(SERVES in line for line in server.log)
        assert not starts_threads("\n".join(server.log))
        server.get("probe-marks")
        _, pid, _ = serving_instance(server)
        assert (pid == server.pid) == (kind is Waitress)
        does_what_waits(server)
        server.stop(kind.end)
        assert not any("Traceback" in line for line in server.log)

    def test_a_child_is_another_instance_than_its_parent(self, folder, serve):
        server = serve(kind=ForkedWaitress)
        [parent] = [line for line in server.log if "the parent is" in line]
        *_, parent_pid, parent_token = parent.split(":")
        server.get("probe-marks")
        _, pid, token = serving_instance(server)
        assert pid != server.pid == int(parent_pid)
        assert token != parent_token
