"""What is read of tasks and groups in memory; see ``ITransactionalScheduler``.

``lifecycle`` is the Lifecycle of the tasks; ``what`` a Task or a GroupState.
"""

from collective.background.scheduling.groups import KIND
from collective.background.scheduling.results import result_of_whole
from collective.background.scheduling.results import unpack_here


def members(lifecycle, id):
    """Return the TaskRecords of the tasks of a group, and of those in it: a list."""
    with lifecycle.changed:
        group = lifecycle.store.find_group(id)
        tasks = [] if group is None else _tasks(group)
        return [lifecycle.record(task) for task in tasks]


def users(lifecycle, id):
    """Return (user_id, user_path) of each user whose tasks a group has had: a set."""
    with lifecycle.changed:
        group = lifecycle.store.find_group(id)
        return set() if group is None else set(group.users)


def result_of(what):
    """Return (result, exception) of what has ended."""
    if what.kind != KIND:
        return unpack_here(what.result), unpack_here(what.exception)
    known = list(what.present.values())
    return result_of_whole(what.state, [(m.state, *result_of(m)) for m in known])


def _tasks(group):
    found = []
    for member in group.present.values():
        found += _tasks(member) if member.kind == KIND else [member]
    return found
