"""What is the same wherever tasks are kept: how they are made, and what is refused.

Comes in: calls, options, and what a scheduler knows. Goes out: Tasks, and errors in
the same words. Used by the schedulers, in memory and in the database.
"""

from collective.background.capture.call import VIEW
from collective.background.capture.callbacks import capture_callbacks
from collective.background.capture.callbacks import queues_of
from collective.background.capture.context import chosen_context
from collective.background.capture.snapshot import capture_snapshot
from collective.background.capture.snapshot import without_form
from collective.background.exceptions import BadOption
from collective.background.exceptions import IllegalTransition
from collective.background.exceptions import PredecessorFailed
from collective.background.exceptions import ShuttingDown
from collective.background.exceptions import TaskCancelled
from collective.background.exceptions import TaskNotFound
from collective.background.model import states
from collective.background.model.checks import check
from collective.background.model.checks import is_duration
from collective.background.model.messages import portable_line
from collective.background.model.numbers import LARGEST
from collective.background.model.options import Options
from collective.background.model.settings import seconds_to_keep
from collective.background.running.current import current_task
from collective.background.scheduling.task import Task
from dataclasses import replace

import logging


logger = logging.getLogger(__name__)


# Tasks.


def capture_task(call, options, group, database, settings, is_known, check_queue):
    """Return a Task of a Call in the present environment.

    ``database``: to open in its thread, or None; ``settings``: of the process;
    ``is_known(id)``: whether there is such a task; ``check_queue(name)`` raises
    BadOption if there is no such queue. Raises BadOption, and as ``schedule()``.
    """
    check_queue(options.queue)
    for id in options.after:
        _check_predecessor(id, group, is_known)
    if options.context is not None:
        call = replace(call, **chosen_context(options.context))
        options = replace(options, context=None)  # no content is shared with a thread
    callbacks = capture_callbacks(options)
    for queue in queues_of(callbacks):
        check_queue(queue)
    snapshot = capture_snapshot(options.user, with_form=call.kind != VIEW)
    keep = how_long_to_keep(settings)
    return Task(call, snapshot, database, options, keep, callbacks, group)


def how_long_to_keep(settings):
    """Return for how long tasks of this site are kept when they have ended (seconds).

    ``settings``: of the process, for sites that do not say.
    """
    keep = seconds_to_keep()
    return settings.keep if keep is None else keep


def _check_predecessor(id, group, is_known):
    """Raise BadOption if a task of a group, or of none, cannot start after another."""
    if not is_known(id):
        raise BadOption(
            f"after is {id!r}, but there is no such task or group (any more); pass "
            "what schedule() has returned, or the id of a group"
        )
    if group is not None and id in {each.id for each in group.line}:
        raise BadOption(
            f"after is {id!r}, but that is the group to which the task belongs, so it "
            "would wait for itself; schedule it after the with block"
        )


def make_callback(call, title, snapshot, database, task):
    """Return the Task of ``on_success``, ``on_failure`` or ``notify``.

    ``title``: of what has ended; ``snapshot``: the environment; ``task``: the one
    that has ended, with the attributes of a Task.
    """
    options = call.options or Options(queue=task.queue, priority=task.priority)
    if options.title is None:
        options = replace(options, title=f"{title}: {call.name}")
    callback = Task(call, without_form(snapshot), database, options, task.keep)
    # It is a matter of the add-on; its user did not ask for it.
    callback.dismissed = True
    return callback


# What is refused.


def check_queue(name, known):
    """Raise BadOption for a queue that is not among the ``known`` ones."""
    if name not in known:
        raise BadOption(
            f"there is no queue {name!r}; there are: "
            f"{', '.join(known)} (the setting 'queues' makes more)"
        )


def check_timeout(timeout):
    """Raise BadOption if nobody can wait for so many seconds."""
    check("timeout", timeout, is_duration, f"seconds, from 0 to {LARGEST:.0e}")


def warn_of_own_key(holder, unique):
    """Say so when a task has tried in vain to schedule itself again.

    ``holder``: the unfinished task with the same key ``unique``.
    """
    task = current_task()
    if task is not None and task.id == holder.id:
        logger.warning(
            "task %s has scheduled a task with its own unique key %r, which it has "
            "until it ends; so nothing was scheduled. Let on_success schedule what "
            "comes next, or raise Retry",
            *(holder.id, portable_line(unique)),
        )


def check_admission(is_stopping):
    """Raise ShuttingDown if the process is about to stop."""
    if is_stopping:
        raise ShuttingDown(
            "this process is about to stop and takes no more tasks; try again "
            "in a moment"
        )


def check_unique(id, unique, holder):
    """Raise IllegalTransition if a task cannot be tried again.

    ``holder``: the unfinished task with the same key ``unique``, or None.
    """
    if holder is not None:
        raise IllegalTransition(
            f"task {id} cannot be tried again: the task {holder.id} with the "
            f"same unique key {unique!r} is unfinished"
        )


def check_dismissal(task):
    """Raise IllegalTransition if a task has not ended."""
    if task.state not in states.FINISHED:
        raise IllegalTransition(
            f"task {task.id} is {task.state}; one that has ended can be dismissed"
        )


def check_retry(id, state, is_spent):
    """Raise IllegalTransition if a task cannot be tried again.

    ``is_spent``: whether nothing is left with which it could run.
    """
    if state in states.WAITING:
        raise IllegalTransition(
            f"task {id} is {state}: it waits already, and runs by itself"
        )
    states.check_transition(id, state, states.QUEUED)
    if is_spent:
        raise IllegalTransition(
            f"task {id} was lost with another process, and so were its arguments"
        )


def check_retries(id, first):
    """Raise IllegalTransition if no task of a group can be tried again.

    ``first``: the first one that can, or None.
    """
    if first is None:
        raise IllegalTransition(
            f"no task of the group {id} has failed, was cancelled or lost"
        )


def check_wanted(id, is_wanted):
    """Raise IllegalTransition for what is just being cancelled, or forgotten."""
    if not is_wanted:
        raise IllegalTransition(
            f"{id} cannot be tried again now: its group is just being cancelled, or "
            "forgotten; try again in a moment"
        )


def not_found(id):
    """Return the exception for a task that is not known."""
    return TaskNotFound(f"there is no task {id!r} (any more)")


# Why a task is cancelled.


def cancelled_while_waiting(attempts):
    """Somebody has cancelled a task that had begun so many times."""
    before = "its next attempt" if attempts else "it had begun"
    return TaskCancelled(f"the task was cancelled before {before}")


def predecessor_unknown(id):
    """The task was to start after one that is not there."""
    return PredecessorFailed(
        f"the task {id}, after which this one was to start, is not known (any more)"
    )


def in_vain(before, ending):
    """The task was to start after one that has ended without success.

    ``before``: that one or a group, or its record; ``ending``: see ``endings``.
    """
    # Who has cancelled one has cancelled what was to come after it.
    cls = TaskCancelled if ending == states.CANCELLED else PredecessorFailed
    # Not its title: it may be another user's.
    return cls(
        f"the task {before.id}, after which this one was to start, is {before.state}"
    )


def worst(hindrances):
    """Return the one of some reasons to be cancelled that is told; None of none."""
    return min(
        hindrances,
        key=lambda reason: not isinstance(reason, PredecessorFailed),
        default=None,
    )


def copied():
    """The task is in a copy of its site."""
    return TaskCancelled(
        "the task was copied together with its site; the original one is run there"
    )
