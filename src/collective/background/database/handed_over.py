"""Tasks that were handed over to workers elsewhere: no instance has them.

They are in no line. Lists find them in the index: among what waits, and once their
workers have begun them, among what runs. In the transaction of the caller.
"""

from collective.background.database.wholes import begin


def hand_over(scheduler, task):
    """A StoredTask that is reserved was sent to a worker elsewhere."""
    scheduler.shards.leave(task)
    task.go_elsewhere()
    scheduler.shards.wait(task)
    begin(scheduler, task)


def note_begin(scheduler, task):
    """A worker elsewhere has begun a StoredTask, now or before; lists are to know.

    Not as long as an instance has it, which hands it over in a moment.
    """
    if not task.is_elsewhere:
        return
    if task.started is None:
        shard = scheduler.shards.of(task.id)
        shard.unindex(task)
        task.go_elsewhere()
        shard.index(task)
    begin(scheduler, task)


def handed_over(scheduler, after=""):
    """Return an iterable of StoredTasks that workers elsewhere have, or will have.

    In the order of their ids, from the first one on that is greater than ``after``.
    """
    trees = [shard.elsewhere for shard in scheduler.shards if shard.elsewhere]
    return (task for tree in trees for task in tree.values(after, excludemin=True))


def asked_to_stop(scheduler):
    """Yield those of them of which somebody wants that. No other one is loaded."""
    for shard in scheduler.shards:
        if shard.elsewhere:
            for id in shard.requests:
                if id and id in shard.elsewhere:
                    yield shard.elsewhere[id]


def count_handed_over(scheduler):
    """Return how many these are; nothing is loaded for it."""
    return sum(
        shard.number_elsewhere()
        for shard in scheduler.shards
        if shard.number_elsewhere is not None
    )
