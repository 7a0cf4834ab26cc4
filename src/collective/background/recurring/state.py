"""The state of the recurring tasks of a site, in an annotation of the site."""

from BTrees.OOBTree import OOBTree
from persistent import Persistent
from zope.annotation.interfaces import IAnnotations


VERSION = 1
KEY = "collective.background.recurring"


class State(Persistent):
    """Of one recurring task in one site.

    - ``enabled``: whether it is switched on
    - ``done``: all ticks up to this moment are done with (aware, UTC)
    - ``last``: when it was started the last time, or None
    - ``task_id``: what was started then, or None
    - ``told``: the id of the task of which it was logged that it has not ended, when
      the next tick came; or None

    Whoever starts the task writes it in the same transaction. So two that want
    to start it for the same tick conflict, and only one of them commits.
    """

    enabled = True
    last = None
    task_id = None
    told = None

    def __init__(self, now):
        self.version = VERSION
        self.done = now

    def started(self, task_id, now):
        self.task_id = task_id
        self.last = now


def find_state(site, name):
    """Return the State of a task, or None while nobody has needed it."""
    return IAnnotations(site).get(KEY, {}).get(name)


def get_state(site, name, now):
    """Return the State of a task; it is made when it is not there yet.

    A new one has no ticks to make up for: its time begins ``now``.
    """
    states = get_states(site)
    if name not in states:
        states[name] = State(now)
    return states[name]


def get_states(site):
    """Return all of them by their names; the tree is made when it is not there yet."""
    return IAnnotations(site).setdefault(KEY, OOBTree())


def remove_states(site):
    """Forget all of them; called when the add-on is uninstalled."""
    IAnnotations(site).pop(KEY, None)
