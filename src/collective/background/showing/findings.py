"""Findings: what is wrong with an installation, and what to do about it.

For who operates it, in English, as the log is. Comes in: the database, and what was
observed of its instances. Goes out: Findings. They look at nothing that others write at
every moment, and write nothing.
"""

from collections import Counter
from collective.background.capture.call import BATCH
from collective.background.capture.call import CALL
from collective.background.database.sites import local_scheduler
from collective.background.database.status import VERSION
from collective.background.deployment import deployment_of
from collective.background.deployment import is_foreign
from collective.background.deployment import own_deployment
from collective.background.executing.clock import TOLERABLE
from collective.background.zopecompat import is_on_sqlite
from dataclasses import dataclass
from itertools import islice
from pkgutil import resolve_name

import logging


logger = logging.getLogger(__name__)

SERVER_THREADS = 4  # of Zope's own server, if nothing else is said
OWN_THREADS = 2  # the watch and the ticker
LOOKED_AT = 1000  # tasks of a site that wait


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What is wrong, and the ``remedy``, as texts; ``site``: a path, or ""."""

    name: str
    text: str
    remedy: str
    site: str = ""


def of_process(database, settings):
    """Yield Findings of the configuration that this process has.

    ``database``: Zope's, a ZODB.DB; ``settings``: Settings.
    """
    slots = sum(settings.queues.values())
    others = OWN_THREADS if settings.role == "worker" else SERVER_THREADS
    size = database.getPoolSize()
    if size < slots + others:
        yield Finding(
            name="pool-size",
            text=f"the database has a pool-size of {size}, but there are {slots} slots "
            f"and about {others} other threads that need connections",
            remedy=f"set pool-size in the section <zodb_db> of zope.conf to at least "
            f"{slots + others}, or lower 'concurrency' or 'queues'",
        )
    if is_on_sqlite(database):
        yield Finding(
            name="storage",
            text="RelStorage on SQLite loses data as soon as two threads write",
            remedy="use ZEO, or RelStorage on PostgreSQL; docs/persistent.rst has the "
            "measurement, and a correction",
        )


def no_site():
    """Return the Finding for a database in which no site has the add-on."""
    return Finding(
        name="site",
        text="no site of this database has the add-on",
        remedy="install 'Background tasks' in Site Setup, Add-ons",
    )


def of_instances(observed, settings, works=True):
    """Yield Findings of the instances, and of clocks.

    ``observed``: an Observed; ``works``: whether this process works for any site. If
    not, nobody here takes anything over, and who is silent is an original's instance.
    """
    for id in sorted(observed.silent) if works else ():
        lease = max(settings.lease, observed.leases.get(id, 0.0))
        yield Finding(
            name="stale",
            text=f"the instance {id} is silent",
            remedy="if it has ended, any other instance takes its tasks over after the "
            f"lease ({lease:g} s), in a copy as long after it was adopted: "
            "start one if there is none; if its process is there, see its log",
        )
    yield from _of_leases(observed)
    yield from _of_celery(observed)
    offset = observed.offset
    if offset is not None and abs(offset) > TOLERABLE:
        yield Finding(
            name="clock",
            text=f"the clock of this machine is {abs(offset):.0f} seconds "
            f"{'behind' if offset > 0 else 'ahead of'} that of the database's server",
            remedy="set both right, best with NTP",
        )


def _of_leases(observed):
    """Those that are alive; who is silent may be of the original of a copy."""
    known = observed.leases
    alive = sorted((known[id], id) for id in observed.beating if id in known)
    if len({lease for lease, _ in alive}) > 1:
        yield Finding(
            name="lease",
            text="instances have different leases: "
            + ", ".join(f"{id} has {lease:g} s" for lease, id in alive),
            remedy="give all of them the same setting 'lease'; until then each counts "
            "as dead after the longer one of its own and of who watches it",
        )


def _of_celery(observed):
    for id in sorted(observed.cut_off):
        yield Finding(
            name="broker",
            text=f"the instance {id} cannot reach the broker of Celery",
            remedy="start the broker, or correct the setting 'celery_broker'; the log "
            "of the instance says more. Until then the tasks wait, and none is lost",
        )
    for queue in sorted(observed.relayed - observed.slots.keys()):
        yield Finding(
            name="workers",
            text=f"tasks of the queue {queue} go to workers of Celery, but none has it",
            remedy="start background celery-worker, or take the queue out of the "
            "setting 'celery_queues'",
        )


def of_site(site, observed):
    """Yield Findings of a site. ``site``: in its own environment."""
    path = "/".join(site.getPhysicalPath())
    for name, text, remedy in _of_site(site, observed):
        yield Finding(name=name, text=text, remedy=remedy, site=path)


def _of_site(site, observed):
    name, own = deployment_of(site), own_deployment()
    if is_foreign(site):
        yield (
            "foreign",
            f"the site belongs to the deployment {name!r} and this process to "
            f"{'none' if own is None else repr(own)}: nothing of it runs here",
            "if this is a copy that is to go on by itself: background adopt, or "
            "background adopt --discard; if not, correct the setting 'deployment'",
        )
        return  # what waits there is to wait
    if name is None:
        yield (
            "deployment",
            "the site belongs to no deployment: a copy of the database would do all of "
            "its tasks once more",
            "call background adopt"
            if own
            else "give every instance the setting 'deployment', then call background "
            "adopt",
        )
    scheduler = local_scheduler(site)
    if scheduler is not None:
        yield from _of_tasks(scheduler, observed)


def _of_tasks(scheduler, observed):
    slots = observed.slots
    if not slots and not observed.relayed:
        yield (
            "executing",
            "no process executes tasks: all of them wait",
            "start background worker, or an instance whose role is not web; those that "
            "run find a new site within a minute",
        )
    waiting = list(islice(scheduler.shards.waiting(), LOOKED_AT))
    known = slots.keys() | observed.relayed  # for these there are other Findings
    homeless = Counter(task.queue for task in waiting if task.queue not in known)
    for queue, number in sorted(homeless.items()) if known else ():
        yield (
            "queue",
            f"{_tasks(number)} in the queue {queue}, which no instance has",
            "start background worker, or an instance whose role is not web, with the "
            f"setting queues {queue}=1; or cancel them",
        )
    newer = sum(task.version > VERSION for task in waiting)
    if newer:
        yield (
            "version",
            f"{_tasks(newer)} that a later release has scheduled",
            "update this installation; instances of that release do them meanwhile",
        )
    for name, number in sorted(_missing(waiting).items()):
        yield (
            "code",
            f"{_tasks(number)} whose function {name} cannot be imported here",
            "install the add-on that has it, or cancel them",
        )


def _tasks(number):
    return "1 task waits" if number == 1 else f"{number} tasks wait"


def _missing(tasks):
    """Count tasks by the functions of theirs that cannot be imported."""
    functions = Counter(
        task.callable
        for task in tasks
        if task.kind in (CALL, BATCH) and task.version <= VERSION
    )
    return {name: n for name, n in functions.items() if not _can_be_imported(name)}


def _can_be_imported(name):
    try:
        resolve_name(name)
    except (ImportError, AttributeError):
        return False
    except Exception:  # whatever importing it does
        logger.exception("importing %s has failed", name)
        return False
    return True
