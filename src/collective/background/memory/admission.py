"""How tasks come in: what is refused, and what their transaction makes of them.

In the thread and the transaction of who schedules them. ``lifecycle`` is the Lifecycle
of those that have come in.
"""

from collective.background.capture.callbacks import queues_of
from collective.background.capture.snapshot import find_database
from collective.background.memory.groups import GroupState
from collective.background.memory.room import entrant
from collective.background.memory.sequel import callbacks_of
from collective.background.model import states
from collective.background.running import outcome
from collective.background.running.current import running
from collective.background.scheduling import rules
from collective.background.scheduling.execution import Execution
from collective.background.scheduling.external import check_external
from collective.background.scheduling.joining import join_as_write
from collective.background.scheduling.room import is_bound
from collective.background.telling.events import TaskScheduled
from zope.event import notify


def schedule(lifecycle, call, options, group):
    """Let a call join the current transaction; see ``ITransactionalScheduler``."""
    check_external(call, options, lifecycle.settings, is_stored=False)
    task = _make_task(lifecycle, call, options, group)
    if (holder := _leave_it_to_holder(lifecycle, task)) is not None:
        return holder.id
    record = lifecycle.record(task)
    notify(TaskScheduled(record))
    task.is_bound = _is_bound(lifecycle, task)
    try:
        join_as_write(
            reserve=lambda: _reserve(lifecycle, task),
            finish=lambda: lifecycle.commit(task, record),
            forget=lambda: _forget(lifecycle, task),
            title=record.title,
        )
    except BaseException:
        task.close()
        raise
    with lifecycle.changed:
        lifecycle.store.keep(task)
    return task.id


def run_now(lifecycle, call, options, work, group):
    """Do a work in the current transaction; see ``ITransactionalScheduler``."""
    task = _make_task(lifecycle, call, options, group)
    if (holder := _leave_it_to_holder(lifecycle, task)) is not None:
        return holder.id
    notify(TaskScheduled(lifecycle.record(task)))
    try:
        task.started = task.created
        with lifecycle.changed:
            lifecycle.unfinished.set_running(task)
        with running(Execution(lifecycle, task)):
            ended = outcome.succeeded(outcome.pack_result(work()))
        task.keep_arguments()
        callbacks = callbacks_of(task, ended)
        join_as_write(
            reserve=lambda: None,
            finish=lambda: lifecycle.commit_ended(task, callbacks),
            forget=lambda: _forget(lifecycle, task),
        )
    except BaseException:
        _forget(lifecycle, task)  # its group knows it already
        raise
    with lifecycle.changed:
        lifecycle.store.keep(task)
        lifecycle.end(task, ended)
    return task.id


def add_group(lifecycle, group):
    """Let a group join the current transaction; see ``ITransactionalScheduler``."""
    if lifecycle.find_any(group.id) is not None:
        return
    for queue in queues_of(group.callbacks):
        rules.check_queue(queue, lifecycle.settings.queues)
    if group.parent is not None:
        add_group(lifecycle, group.parent)
    state = GroupState(
        group, rules.how_long_to_keep(lifecycle.settings), find_database()
    )
    join_as_write(
        reserve=lambda: None,
        finish=lambda: _commit_group(lifecycle, state),
        forget=lambda: _forget_group(lifecycle, state),
    )
    with lifecycle.changed:
        lifecycle.store.keep_group(state)


def check_room(lifecycle, task, bound):
    """Raise ShuttingDown or QueueFull if a task cannot wait.

    ``bound``: whether it may have no more than the share of its user.
    """
    check_place(lifecycle, entrant(task, bound))
    lifecycle.store.check_weight(task)


def check_place(lifecycle, entrant):
    """Raise ShuttingDown or QueueFull if an Entrant cannot wait, whatever it keeps."""
    rules.check_admission(lifecycle.is_stopping)
    lifecycle.unfinished.room.check(entrant, lifecycle.settings)


def _make_task(lifecycle, call, options, group):
    settings = lifecycle.settings
    rules.check_admission(lifecycle.is_stopping)
    if group is not None:
        add_group(lifecycle, group)
    return rules.capture_task(
        call,
        options,
        group,
        find_database(),
        settings,
        lifecycle.find_any,
        lambda name: rules.check_queue(name, settings.queues),
    )


def _is_bound(lifecycle, task):
    """Whether a task counts as one of a user who may have no more than a share.

    Who was so is it as long as he keeps something: that saves a quarter of the time.
    """
    asked = is_bound()
    if asked is False:
        return False
    with lifecycle.changed:
        is_known = lifecycle.store.is_known_as_bound(task)
    return is_known or bool(asked)


def _leave_it_to_holder(lifecycle, task):
    """Return the task that has the key of a new one, which is closed then; or None."""
    if task.unique_key is None:
        return None
    with lifecycle.changed:
        holder = lifecycle.store.find_holder(task)
    if holder is not None:
        task.close()
        rules.warn_of_own_key(holder, task.options.unique)
    return holder


def _reserve(lifecycle, task):
    """Make room for a task, or refuse the transaction."""
    with lifecycle.changed:
        if task.state != states.QUEUED:  # it was cancelled meanwhile
            return
        check_room(lifecycle, task, task.is_bound)
        if task.unique_key is not None:
            lifecycle.store.take_key(task)
        lifecycle.unfinished.take_room(task)


def _commit_group(lifecycle, group):
    with lifecycle.changed:
        lifecycle.store.commit_group(group)
        lifecycle.changed.notify_all()
    if not group.present:  # else its last member sees to its end
        lifecycle.sequel.end_group(group)
        lifecycle.forgetting.look()


def _forget_group(lifecycle, group):
    with lifecycle.changed:
        lifecycle.store.forget_group(group)


def _forget(lifecycle, task):
    with lifecycle.changed:
        lifecycle.unfinished.room.leave(task)
        lifecycle.store.forget(task)
