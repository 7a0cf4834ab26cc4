"""Zope instances with a Plone site, as processes of their own.

``make_instance()`` makes the folder of one, ``make_site()`` a site in it,
and ``Instance`` is the process that serves it; ``Site`` is a site that it serves.
Called by tests and benchmarks.
"""

from processes import END
from processes import environ
from processes import free_port
from processes import Leader
from processes import Process
from processes import run
from processes import SCRIPTS
from processes import TESTS

import json
import re
import requests
import shutil
import subprocess


SKELETON = TESTS.parent / "demo" / "skeleton"
PROBE = TESTS / "instance_probe"
START = 180  # seconds in which an instance must answer
NAME, PASSWORD = ADMIN = ("admin", "admin")

# The part of the skeleton's zope.conf that names the database.
DATABASE = re.compile(r"^<zodb_db main>.*?^</zodb_db>", re.DOTALL | re.MULTILINE)


def make_instance(folder, storage=None):
    """Make the folder of an instance that has the tests' own add-on.

    ``storage``: the text that describes it in ``zope.conf``; None: a FileStorage
    inside the folder.
    """
    make = ("-d", folder, "-s", SKELETON, "-u", f"{NAME}:{PASSWORD}")
    run(SCRIPTS / "mkwsgiinstance", *make)
    shutil.copy(PROBE / "site.zcml", folder / "etc")
    if storage is not None:
        database = f"<zodb_db main>\nmount-point /\n{storage}\n</zodb_db>"
        configuration = zope_conf(folder)
        text = configuration.read_text()
        configuration.write_text(DATABASE.sub(lambda _: database, text))


def make_site(folder):
    """Create a Plone site with the add-on in an instance."""
    run_script(folder, PROBE / "scripts" / "create_site.py")


def run_script(folder, script):
    """Run a Python script in an instance."""
    run(SCRIPTS / "zconsole", "run", zope_conf(folder), script)


def zope_conf(folder):
    """Return the path of the configuration of an instance."""
    return folder / "etc" / "zope.conf"


class Site:
    """What is asked over HTTP; ``url``: of the site, of one instance."""

    def __init__(self, url):
        self.url = url

    def request(self, method, path, **options):
        """Return the answer to a request of the administrator.

        ``path``: below the site; ``options``: those of ``requests.request``.
        Raises requests.RequestException if there is none, or a bad one.
        """
        options = {"auth": ADMIN, "timeout": END, **options}
        answer = requests.request(method, f"{self.url}/{path}", **options)
        if not answer.ok:
            text = f"{method} {path}: {answer.status_code} {answer.text}"
            raise requests.HTTPError(text, response=answer)
        return answer

    def get(self, view, **form):
        """Return what a view answers to the administrator."""
        return self.request("GET", view, params=form)

    def rest(self, method, path, **body):
        """Return what plone.restapi answers to the administrator, as JSON has it."""
        headers = {"Accept": "application/json"}
        return self.request(method, path, json=body, headers=headers).json()

    # The views of the tests' own add-on.

    def schedule(self, task, mark, **options):
        """Schedule a task of the probe; return its id.

        ``mark``: its title, and what it leaves behind; ``options``: those of
        ``using()``.
        """
        options = json.dumps(options)
        return self.get("probe-start", task=task, mark=mark, options=options).text

    def schedule_many(self, task, marks, **options):
        """Do the same for each mark; return how often that has conflicted.

        The contexts are the folders of the site by turns.
        """
        form = {"task": task, "marks": json.dumps(marks)}
        form["options"] = json.dumps(options)
        return int(self.request("POST", "probe-start-many", data=form).text)

    def schedule_batch(self, mark, items, task="write_item", **options):
        """Schedule a batch with so many items, two a transaction; return its id."""
        form = {"task": task, "mark": mark, "items": items}
        return self.get("probe-start-batch", options=json.dumps(options), **form).text

    def scheduler(self, method, *arguments, **options):
        """Call a method of the scheduler; return its result, as JSON has it."""
        call = {"method": method, "arguments": arguments, "options": options}
        # For those that wait: they get as much time as they want.
        timeout = END + (arguments[-1] if method in ("wait", "wait_all") else 0)
        form = {"call": json.dumps(call)}
        answer = self.request("GET", "probe-scheduler", params=form, timeout=timeout)
        return answer.json()

    def wait(self, id):
        """Wait until a task has ended; return its record."""
        return self.scheduler("wait", id, END)

    def wait_all(self, timeout=END):
        """Wait until no task of the site waits or runs. ``timeout``: seconds."""
        self.scheduler("wait_all", timeout)

    def marks(self):
        """Return what tasks have left behind: how often by mark."""
        return self.get("probe-marks").json()

    def titles(self):
        """Return the titles of all content but folders, as a list."""
        return self.get("probe-titles").json()

    def done(self, title):
        """Return how often a task has done its work: by its content, and by its mark.

        ``title``: of the task, and so its mark.
        """
        return self.titles().count(title), self.marks().get(title, 0)


class Instance(Site, Process):
    """Zope, serving the folder of an instance on a free port of this machine.

    It does so as soon as ``serves()``. ``variables``: further ones of its environment,
    by their names; ``settings``: those of the package.
    """

    ready = "Serving on"  # what it logs

    def __init__(self, folder, variables=None, **settings):
        port = free_port()
        Site.__init__(self, f"http://localhost:{port}/Plone")
        self.settings = settings
        self._serves = False
        Process.__init__(
            self,
            folder.name,
            *self.command(folder, port),
            env={**environ(**settings), **(variables or {})},
            stdout=subprocess.DEVNULL,  # only says that it begins and ends
        )

    def command(self, folder, port):
        """Return the program that serves the folder, and its arguments."""
        return SCRIPTS / "runwsgi", folder / "etc" / "zope.ini", f"http_port={port}"

    def serves(self):
        """Wait until it answers requests, and return it."""
        if not self._serves:
            self.expect(self.ready, timeout=START)
            self._serves = True
        return self

    def site(self, id):
        """Return another Site beside the usual one."""
        return Site(f"{self.url.rpartition('/')[0]}/{id}")

    def begin(self, task, mark, **options):
        """Schedule a task, and wait until it has begun here; return its id."""
        id = self.schedule(task, mark, **options)
        self.expect(f"{mark} has begun")
        return id

    def lacks(self, task):
        """Let the process have an older version of the probe, without a task."""
        self.is_tampered = True
        self.get("probe-forget", task=task)

    def die_at(self, point):
        """Let the process be killed as soon as it reaches a point of ``faults.py``."""
        self.is_tampered = True
        self.get("probe-fault", point=point)


class Worker(Process):
    """``background worker`` in the folder of an instance, which others may serve.

    ``options``: of the command; ``settings``: those of the package.
    """

    ready = "serves, in the role 'worker'"

    def __init__(self, folder, *options, **settings):
        command = (*background(folder), "worker", *options)
        super().__init__(f"worker of {folder.name}", *command, env=environ(**settings))

    def serves(self):
        """Wait until it executes tasks, and return it."""
        self.expect(self.ready, timeout=START)
        return self


def background(folder):
    """Return the beginning of a command ``background`` in the folder of an instance."""
    return SCRIPTS / "background", "--config", zope_conf(folder)


class CeleryWorker(Leader):
    """``background celery-worker`` in the folder of an instance, which may be served.

    ``options``: of the command; ``variables`` and ``settings``: as of an Instance.
    """

    ready = "serves, in the role 'celery'"  # one of its children, at least

    def __init__(self, folder, *options, variables=None, **settings):
        self.settings = settings
        self._serves = False
        command = (SCRIPTS / "background", "celery-worker", *options, zope_conf(folder))
        super().__init__(
            f"Celery worker of {folder.name}",
            *command,
            env={**environ(**settings), **(variables or {})},
            cwd=folder,
        )

    def serves(self):
        """Wait until it executes tasks, and return it."""
        if not self._serves:
            self.expect(self.ready, timeout=START)
            self._serves = True
        return self
