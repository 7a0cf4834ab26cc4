"""Tasks that were handed over to workers elsewhere: no instance has them.

They are among what waits, and in no line. In the transaction of the caller.
"""


def hand_over(scheduler, task):
    """A StoredTask that is reserved was sent to a worker elsewhere."""
    scheduler.shards.leave(task)
    task.go_elsewhere()
    scheduler.shards.wait(task)


def handed_over(scheduler):
    """Yield all StoredTasks that workers elsewhere have, or will have."""
    for shard in scheduler.shards:
        yield from filter(None, (shard.elsewhere or {}).values())


def count_handed_over(scheduler):
    """Return how many these are; nothing is loaded for it."""
    return sum(
        shard.number_elsewhere()
        for shard in scheduler.shards
        if shard.number_elsewhere is not None
    )
