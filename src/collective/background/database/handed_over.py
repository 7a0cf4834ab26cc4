"""Tasks that were handed over to workers elsewhere: no instance has them.

They are among what waits, and in no line. In the transaction of the caller.
"""

from collective.background.database.shard import number_of
from collective.background.model.states import WAITING


def hand_over(scheduler, task):
    """A StoredTask that is reserved was sent to a worker elsewhere."""
    scheduler.shards.leave(task)
    task.go_elsewhere()
    scheduler.shards.wait(task)


def handed_over(scheduler, users=None):
    """Return an iterable of StoredTasks that workers elsewhere have, or will have.

    ``users``: (path, id) of each whose tasks are wanted; None: of all. Those of others
    are not loaded.
    """
    trees = [shard.elsewhere for shard in scheduler.shards if shard.elsewhere]
    if users is None or count_handed_over(scheduler) == 0:
        return (task for tree in trees for task in tree.values() if task is not None)
    # The index has them among what waits.
    theirs = list(scheduler.shards.newest(WAITING, users))
    numbers = {-number_of(id) for tree in trees for id in tree} if theirs else ()
    return (task for number, task in theirs if number in numbers)


def count_handed_over(scheduler):
    """Return how many these are; nothing is loaded for it."""
    return sum(
        shard.number_elsewhere()
        for shard in scheduler.shards
        if shard.number_elsewhere is not None
    )
