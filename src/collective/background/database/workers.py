"""The workers of this process: one for each persistent scheduler that it knows.

A scheduler's worker is made when the process first meets it: in a request, or when
the process looks for the sites there are, which it does when it starts and once a
minute from then on.
"""

from collective.background.capture.snapshot import find_database
from collective.background.database.worker import Worker
from collective.background.environment.sites import find_sites
from collective.background.environment.sites import system_environment
from collective.background.executing.deadline import Deadline
from collective.background.executing.executor import process_executor
from collective.background.interfaces import ITransactionalScheduler
from persistent import Persistent
from zope.component import getGlobalSiteManager

import logging
import threading
import transaction


logger = logging.getLogger(__name__)

LOOK = 60.0  # seconds between two looks for sites

_workers = {}
# A signal may come while its own thread has it.
_lock = threading.RLock()
_ending = threading.Event()


def process_scheduler():
    """Return the global scheduler, which has the settings and the id of the process."""
    return getGlobalSiteManager().getUtility(ITransactionalScheduler)


def process_settings():
    """Return the Settings of the process."""
    return process_scheduler().settings


def worker_of(scheduler, database=None):
    """Return the Worker for a scheduler; it is started if there is none.

    ``database``: of Zope; None: that of the current request or site.
    """
    home = scheduler._p_jar.db()
    key = id(home), scheduler._p_oid
    with _lock:
        worker = _workers.get(key)
        if worker is None or worker.is_retired:
            process = process_scheduler()
            worker = _workers[key] = Worker(
                database or find_database(),
                (home, scheduler._p_oid),
                process.instance,
                process.settings,
            )
            if _ending.is_set():
                worker.stop()
            else:
                worker.start()
    return worker


def stop_workers(timeout=None):
    """Drain all of them, and forget them: the next one who needs one makes it anew.

    ``timeout``: seconds for all together, instead of the setting.
    """
    with _lock:
        workers = list(_workers.values())
        _workers.clear()
    if not workers:
        return
    if timeout is None:
        timeout = process_settings().drain_timeout
    deadline = Deadline(timeout)
    for worker in workers:
        worker.stop()
    for worker in workers:
        worker.drain(deadline)


def end():
    """Called when the process ends: as above, and no worker begins any more."""
    _ending.set()
    stop_workers()


def install(event):
    """Called when this process begins to serve."""
    process_executor().before_drain(end)
    discovery = Discovery(event.database)
    discovery.start()
    process_executor().before_drain(discovery.stop)


class Discovery:
    """Looks for the sites of a database that have a persistent scheduler."""

    def __init__(self, database):
        self._database = database
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="background-discovery", daemon=True
        )

    def start(self):
        self._thread.start()

    def stop(self):
        self._stopping.set()

    def _run(self):
        while not self._stopping.is_set():
            try:
                self.look()
            except Exception:
                logger.exception("looking for sites with tasks failed")
            self._stopping.wait(LOOK)

    def look(self):
        """See that each of them has its worker."""
        with system_environment(self._database) as env, transaction.manager:
            for site in find_sites(env.app):
                scheduler = local_scheduler(site)
                if scheduler is not None and not self._stopping.is_set():
                    worker_of(scheduler, self._database)


def local_scheduler(site):
    """Return the persistent scheduler of a site, or None."""
    found = site.getSiteManager().queryUtility(ITransactionalScheduler)
    return found if isinstance(found, Persistent) else None
