"""What somebody wants of a task, or of all tasks of a group.

It takes effect at once, whatever becomes of the transaction; see
``ITransactionalScheduler``. ``lifecycle`` is the Lifecycle of the tasks, ``id`` that of
a task or a group.
"""

from collective.background.memory.admission import check_room
from collective.background.model import states
from collective.background.model.trail import CANCEL
from collective.background.model.trail import note_intervention
from collective.background.model.trail import RETRY
from collective.background.scheduling import rules
from collective.background.scheduling.actors import intervention
from collective.background.scheduling.groups import KIND
from collective.background.scheduling.room import is_bound
from collective.background.telling.events import announce


def cancel(lifecycle, id, by):
    """Cancel what waits, and ask what runs to stop; return the TaskRecord.

    ``by``: an Intervention.
    """
    group = _group(lifecycle, id)
    if group is None:
        return lifecycle.cancel(lifecycle.get(id), by)
    for member in _members(lifecycle, group):
        cancel(lifecycle, member.id, by)
    return lifecycle.find_record(id)


def remove(lifecycle, id):
    """Forget tasks, as soon as they have ended; nothing if they are not known."""
    group = _group(lifecycle, id)
    if group is not None:
        _remove_group(lifecycle, group)
    task = lifecycle.find(id)
    if task is None:
        return
    task.forget = True
    lifecycle.cancel(task, intervention(CANCEL))
    with lifecycle.changed:
        if task.state in states.FINISHED:
            lifecycle.store.forget(task)


def retry(lifecycle, id):
    """Queue again what has ended without success; return the TaskRecord.

    Raises IllegalTransition when nothing has, or when an unfinished task has the unique
    key; QueueFull; ShuttingDown.
    """
    group = _group(lifecycle, id)
    if group is None:
        tasks = [lifecycle.get(id)]
    else:
        tasks = _to_be_retried(lifecycle, group)
        rules.check_retries(id, next(iter(tasks), None))
    by = intervention(RETRY)
    bound = is_bound()  # once: it costs more than the rest, and goes for all of them
    queued = []
    try:
        for task in tasks:
            queued.append((task, _queue_again(lifecycle, task, bound, by)))
    finally:
        # All are queued before one is looked at that is to start after another.
        for task, record in queued:
            announce(record)
            if task.committed:
                lifecycle.hand_over(task)
    return lifecycle.find_record(id)


def dismiss(lifecycle, id):
    """Let a user see no more of what has ended; return the TaskRecord."""
    what = lifecycle.find_any(id)
    if what is None:
        raise rules.not_found(id)
    rules.check_dismissal(what)
    _dismiss(lifecycle, what)
    return lifecycle.find_record(id)


def silence(lifecycle, user_id, user_path):
    """Let nobody hear of the end of the groups of a user."""
    with lifecycle.changed:
        for group in lifecycle.store.groups():
            if (group.user_id, group.user_path) == (user_id, user_path):
                group.is_silent = True


def _group(lifecycle, id):
    with lifecycle.changed:
        return lifecycle.store.find_group(id)


def _members(lifecycle, group):
    """Return the members of a GroupState that are known, as a list."""
    with lifecycle.changed:
        return list(group.present.values())


def _remove_group(lifecycle, group):
    group.is_silent = True  # who removes it need not hear of its end
    for member in _members(lifecycle, group):
        remove(lifecycle, member.id)
    with lifecycle.changed:
        if not group.present:
            lifecycle.store.forget_group(group)


def _to_be_retried(lifecycle, group):
    """Return the tasks of a group, and of those in it, that may be queued again."""
    tasks = []
    for member in _members(lifecycle, group):
        if member.kind == KIND:
            tasks += _to_be_retried(lifecycle, member)
        elif not member.is_spent and states.can_be_retried(member.state):
            tasks.append(member)
    return tasks


def _queue_again(lifecycle, task, bound, by):
    """Return the TaskRecord of a task that waits again; see ``check_room``.

    ``by``: an Intervention.
    """
    store = lifecycle.store
    with lifecycle.changed:
        if store.find(task.id) is None:  # it is forgotten since it was looked up
            raise rules.not_found(task.id)
        rules.check_retry(task.id, task.state, task.is_spent)
        check_room(lifecycle, task, bound)
        if task.unique_key is not None:
            rules.check_unique(task.id, task.options.unique, store.find_holder(task))
            store.take_key(task)
        store.set_state(task, states.QUEUED)
        task.reset()
        note_intervention(task, by)
        store.reopen(task)
        if task.committed:
            lifecycle.unfinished.take_room(task)
        return lifecycle.record(task)


def _dismiss(lifecycle, what):
    """``what``: a Task or a GroupState that has ended."""
    with lifecycle.changed:
        what.dismissed = True
    for member in _members(lifecycle, what) if what.kind == KIND else ():
        _dismiss(lifecycle, member)
