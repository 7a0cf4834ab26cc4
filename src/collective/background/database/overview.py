"""How the queues of a site and the instances are, for pages and REST.

Comes in: a PersistentTransactionalScheduler. Goes out: QueueStatus and InstanceStatus.
"""

from collective.background.database.counting import count_due
from collective.background.database.instances import instances_for
from collective.background.database.listing import running_by
from collective.background.database.relaying import cut_off_queues
from collective.background.database.relaying import sent_by_queue
from collective.background.database.shard import microseconds
from collective.background.executing.clock import clock_of
from collective.background.model.records import InstanceStatus
from collective.background.model.records import QueueStatus


def queues(scheduler):
    """See ``ITransactionalScheduler.queues``."""
    running = running_by(scheduler, "queue")
    now = microseconds(clock_of(scheduler._p_jar.db()).now())
    slots = scheduler.slots()
    due = count_due(scheduler.shards, slots, now)
    sent = sent_by_queue(scheduler)
    cut_off = cut_off_queues(instances_for(scheduler))
    return [
        QueueStatus(
            name=name,
            slots=number,
            running=running[name],
            waiting=max(0, due[name] - running[name]),
            paused=name in scheduler.paused,
            sent=sent[name],
            cut_off=name in cut_off,
        )
        for name, number in slots.items()
    ]


def instances(scheduler):
    """See ``ITransactionalScheduler.instances``."""
    running = running_by(scheduler, "instance")
    return [
        InstanceStatus(
            id=id,
            slots=dict(instance.slots),
            running=running[id],
            role=instance.role,
            relays=instance.relays,
            cut_off=instance.is_cut_off,
        )
        for id, instance in instances_for(scheduler).items()
        if instance.slots or instance.relays
    ]
