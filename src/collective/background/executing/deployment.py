"""Deployments: which sites this process works for.

A copy of a database has all tasks of the original, which are not to be done twice. So
a site may have the name of the deployment that it belongs to, in an annotation; a
process whose setting ``deployment`` is another name, or none, leaves alone all that
waits there.
"""

from threading import Lock
from zope.annotation.interfaces import IAnnotations

import logging
import os


logger = logging.getLogger(__name__)

KEY = "collective.background.deployment"
VERSION = 1

_lock = Lock()
_foreign = {}  # the deployments of sites that this process leaves alone, by their paths


def deployment_of(site):
    """Return the name of the deployment that a site belongs to, or None."""
    found = IAnnotations(site).get(KEY)
    return None if found is None else found["name"]


def assign(site, name):
    """Let a site belong to a deployment from now on, in the current transaction."""
    IAnnotations(site)[KEY] = {"version": VERSION, "name": name}


def unassign(site):
    """Let a site belong to none; called when the add-on is uninstalled."""
    IAnnotations(site).pop(KEY, None)


def works_for(site, path, deployment):
    """Whether a process with this ``deployment``, or None, works for a site.

    ``path``: of the site. When it does not, or does again, the log has a line.
    """
    name = deployment_of(site)
    is_foreign = name not in (None, deployment)
    with _lock:
        before = _foreign.pop(path, None)
        if is_foreign:
            _foreign[path] = name
    if is_foreign and name != before:
        logger.warning(
            "nothing runs here for %s, as it belongs to the deployment %r and this "
            "process to %s: what is scheduled there waits. If this is a copy that is "
            "to go on by itself, adopt it, in Site Setup, Background tasks; if not, "
            "correct the setting 'deployment'",
            *(path, name, "none" if deployment is None else repr(deployment)),
        )
    elif before is not None and not is_foreign:
        logger.info("tasks of %s run here from now on", path)
    return not is_foreign


def foreign_sites():
    """Return {path: deployment} of the sites that this process leaves alone.

    As it has seen them last; it does not look at the database.
    """
    with _lock:
        return dict(_foreign)


def _begin_anew():
    """In the child of a fork, another thread may have had the lock."""
    global _lock
    _lock = Lock()


os.register_at_fork(after_in_child=_begin_anew)
