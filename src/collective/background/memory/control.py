"""What somebody wants of a task, or of all tasks of a group.

It takes effect at once, whatever becomes of the transaction; see
``ITransactionalScheduler``. ``lifecycle`` is the Lifecycle of the tasks, ``id`` that of
a task or a group.
"""

from collective.background.memory.admission import check_room
from collective.background.model import states
from collective.background.scheduling import rules
from collective.background.scheduling.room import is_bound
from collective.background.telling.events import announce


def cancel(lifecycle, id):
    """Cancel what waits, and ask what runs to stop; return the TaskRecord."""
    members = _members(lifecycle, id)
    if not members:
        return lifecycle.cancel(lifecycle.get(id))
    for member in members:
        cancel(lifecycle, member)
    return lifecycle.find_record(id)


def remove(lifecycle, id):
    """Forget tasks, as soon as they have ended; nothing if they are not known."""
    for member in _members(lifecycle, id):
        remove(lifecycle, member)
    task = lifecycle.find(id)
    if task is None:
        return
    task.forget = True
    lifecycle.cancel(task)
    with lifecycle.changed:
        if task.state in states.FINISHED:
            lifecycle.store.forget(task)


def retry(lifecycle, id):
    """Queue again what has ended without success; return the TaskRecord.

    Raises IllegalTransition when nothing has, or when an unfinished task has the unique
    key; QueueFull; ShuttingDown.
    """
    members = _members(lifecycle, id)
    if not members:
        return _retry(lifecycle, lifecycle.get(id))
    ended = [
        member
        for member in members
        if states.can_be_retried(lifecycle.find_record(member).state)
    ]
    rules.check_retries(id, ended)
    for member in ended:
        retry(lifecycle, member)
    return lifecycle.find_record(id)


def dismiss(lifecycle, id):
    """Let a user see no more of what has ended; return the TaskRecord."""
    members = _members(lifecycle, id)
    for member in members:
        dismiss(lifecycle, member)
    if not members:
        task = lifecycle.get(id)
        with lifecycle.changed:
            rules.check_dismissal(task)
            task.dismissed = True
    return lifecycle.find_record(id)


def _members(lifecycle, id):
    with lifecycle.changed:
        return lifecycle.store.members(id)


def _retry(lifecycle, task):
    store = lifecycle.store
    bound = is_bound()
    with lifecycle.changed:
        states.check_transition(task.id, task.state, states.QUEUED)
        check_room(lifecycle, task, bound)
        if task.unique_key is not None:
            rules.check_unique(task.id, task.options.unique, store.find_holder(task))
            store.take_key(task)
        store.set_state(task, states.QUEUED)
        task.reset()
        store.reopen(task)
        record = lifecycle.record(task)
    announce(record)
    if task.committed:
        lifecycle.hand_over(task)
    return record
