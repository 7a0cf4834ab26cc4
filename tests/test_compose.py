"""``deploy/``: what is there fits together, and its processes do, without Docker."""

from collective.background.model.loading import load_settings
from contextlib import ExitStack
from helpers import needed
from importlib.metadata import entry_points
from instances import NAME
from instances import PASSWORD
from instances import Site
from instances import START
from itertools import chain
from pathlib import Path
from processes import free_port
from processes import Process
from processes import run
from processes import SCRIPTS
from processes import who

import os
import pytest
import re
import shlex
import shutil
import yaml


DEPLOY = Path(__file__).parent.parent / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
PLONE = [name for name in SERVICES if SERVICES[name]["image"] == "our-plone"]
SECRET = re.compile(r"\$\{(\w+):\?[\w ]+\}")  # what who starts it has to set
FROM_ENVIRONMENT = re.compile(r"\$\((\w+)\)")  # in files of ZConfig
ADDRESS = re.compile(r"\b(zeo|redis|0\.0\.0\.0):(\d+)")
READY = {"zeo": "listening on", "redis": "Ready to accept", "web": "Serving on"}
READY["worker"] = "serves, in the role"


def environment(name):
    """Return the environment of a service, with secrets."""
    variables = SERVICES[name].get("environment", {})
    return {key: with_secrets(text) for key, text in variables.items()}


def with_secrets(text):
    """Return a text in which the variables of Compose have values."""
    return SECRET.sub(r"secret-of-\1", text)


class TestFiles:
    @pytest.mark.parametrize("name", SERVICES)
    def test_programs_are_those_of_the_images(self, name):
        program = shlex.split(SERVICES[name]["command"])[0]
        scripts = {script.name for script in entry_points(group="console_scripts")}
        known = scripts if name in PLONE else {"redis-server", "celery"}
        assert program in known

    @pytest.mark.parametrize("name", PLONE)
    def test_settings_can_be_read(self, name):
        variables = environment(name)
        broker = load_settings(variables).celery_broker
        assert broker == variables.get("BACKGROUND_CELERY_BROKER")

    @pytest.mark.parametrize("name", PLONE)
    def test_its_configuration_has_the_variables_that_it_needs(self, name):
        configuration = "zeo.conf" if name == "zeo" else "zope.conf"
        text = (DEPLOY / f"skeleton/etc/{configuration}.in").read_text()
        assert set(FROM_ENVIRONMENT.findall(text)) <= set(environment(name))

    def test_secrets_of_the_image_are_those_that_it_takes(self):
        lines = (DEPLOY / "Dockerfile").read_text()
        (taken,) = re.findall(r"--mount=type=secret,id=(\w+)", lines)
        assert list(COMPOSE["secrets"]) == [taken]
        for name in PLONE:
            made = SERVICES[name].get("build", {"secrets": [taken]})
            assert made["secrets"] == [taken]

    def test_names_of_services_and_volumes_are_known(self):
        for service in SERVICES.values():
            assert set(service.get("depends_on", ())) <= set(SERVICES)
            volumes = {text.split(":")[0] for text in service.get("volumes", ())}
            assert volumes <= set(COMPOSE["volumes"])

    def test_no_port_is_open_to_everybody(self):
        ports = [port for each in SERVICES.values() for port in each.get("ports", ())]
        assert ports
        assert all(port.startswith("127.0.0.1:") for port in ports)

    def test_it_is_killed_later_than_it_gives_up_waiting(self):
        for name in ("web", "worker"):
            grace = SERVICES[name]["stop_grace_period"]
            patience = environment(name)["BACKGROUND_DRAIN_TIMEOUT"]
            assert int(grace.removesuffix("s")) > int(patience)

    def test_what_is_copied_into_the_image_is_there(self):
        lines = (DEPLOY / "Dockerfile").read_text().splitlines()
        copies = [line.split()[1:-1] for line in lines if line.startswith("COPY")]
        assert copies
        for path in chain.from_iterable(copies):
            assert (DEPLOY.parent / path).exists()


class Composed:
    """The services as processes of this machine, in the folder of one instance.

    ``url``: of the first web instance; ``started``: the Processes by their services.
    """

    def __init__(self, folder, site_data):
        self._folder = folder
        make = ("-d", folder, "-s", DEPLOY / "skeleton", "-u", f"{NAME}:{PASSWORD}")
        run(SCRIPTS / "mkwsgiinstance", *make)
        shutil.copytree(site_data / "blobstorage", folder / "var/blobstorage")
        (folder / "var/cache").mkdir()
        (folder / "var/zeo").mkdir()
        shutil.copy(site_data / "Data.fs", folder / "var/zeo")
        self._ports = {port: str(free_port()) for port in ("8100", "6379", "8080")}
        self.url = f"http://localhost:{self._ports['8080']}/Plone"
        self.started = {}

    def start(self, name):
        """Start a service, and wait until it is ready."""
        program, *arguments = shlex.split(self._here(SERVICES[name]["command"]))
        if name == "redis":
            # Its log is read from there.
            program = needed(shutil.which(program), program)
            arguments += ["--logfile", "/dev/stderr"]
        else:
            program = SCRIPTS / program
        variables = {key: self._here(text) for key, text in environment(name).items()}
        self.started[name] = process = Process(
            name,
            *(program, *arguments),
            env={**os.environ, **variables},
            cwd=self._folder,
            process_group=0,
        )
        process.expect(READY[name], timeout=START)
        return process

    def _here(self, text):
        """Return a text with secrets, and with addresses of this machine."""
        text = ADDRESS.sub(r"127.0.0.1:\2", with_secrets(text))
        for port, free in self._ports.items():
            text = re.sub(rf"\b{port}\b", free, text)
        return text

    def stop(self):
        for name in reversed(self.started):
            self.started[name].stop()


@pytest.mark.slow
def test_its_processes_execute_a_task_on_celery(site_data, tmp_path):
    composed = Composed(tmp_path / "plone", site_data)
    with ExitStack() as stack:
        stack.callback(composed.stop)
        for name in ("zeo", "redis", "web", "worker"):
            composed.start(name)
        site = Site(composed.url)
        json = {"Accept": "application/json"}
        add_on = "@addons/collective.background.persistent"
        site.request("POST", f"{add_on}/install", headers=json)
        content = {"@type": "Document", "title": "By a worker"}
        headers = {**json, "Prefer": "respond-async"}
        answer = site.request("POST", "", json=content, headers=headers)
        assert answer.status_code == 202
        worker, web = composed.started["worker"], composed.started["web"]
        worker.expect(": running")
        who([worker, web], ": succeeded")
        (task,) = site.rest("GET", "@tasks")["items"]
        assert task["state"] == "succeeded"
        titles = [item["title"] for item in site.rest("GET", "")["items"]]
        assert "By a worker" in titles
