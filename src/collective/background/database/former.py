"""Schedulers in databases that were made before the first release.

Their formats are not read: such a scheduler begins anew, and how many of its tasks had
not ended is all that is known of it. Their states have no version, and refer to classes
that do not exist any more.
"""

import logging


logger = logging.getLogger(__name__)

KEPT = ("__name__", "__parent__", "paused", "retired")


def is_former(state):
    """Whether the state of a scheduler is of that time."""
    return "version" not in state


def what_stays(state):
    """Return what a scheduler keeps of such a state: that is no matter of tasks."""
    return {name: state[name] for name in KEPT if name in state}


def tell(state):
    """Log what is gone."""
    try:
        shards = _state_of(state["shards"])["_shards"]
        number = sum(_unfinished(_state_of(shard)) for shard in shards)
    except (AttributeError, KeyError, TypeError) as error:
        logger.warning("tasks of a format before the first release: %r", error)
        number = "an unknown number of"
    if number:
        logger.warning(
            "%s unfinished tasks of a format before the first release are gone; "
            "schedule them again",
            number,
        )


def _state_of(obj):
    """Return the attributes of a persistent object, though its class is gone."""
    obj._p_activate()
    return getattr(obj, "__Broken_state__", None) or vars(obj)


def _unfinished(shard):
    if "tasks" in shard:
        return _count(shard["tasks"]) - _count(shard["expiring"])
    return _count(shard["waiting"])


def _count(tree):
    """Return how many tasks are in a tree; it has items of its own, too."""
    return sum(1 for value in tree.values() if value is not None)
