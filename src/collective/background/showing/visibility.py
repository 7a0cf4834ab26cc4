"""Who may see, and act on, which task; and what is done then.

A user has his own tasks; who has the permission "Manage background tasks" has
all of the site, but sees inside of those only whose user has no more rights than he,
see ``rights``. Another's task is not there at all. Used by everything that
shows tasks to people: tray, control panel, REST and views of add-ons; the
scheduler itself is for trusted code.
"""

from AccessControl import Unauthorized
from collective.background.api.scheduling import get_scheduler
from collective.background.capture.secrets import HIDDEN
from collective.background.capture.secrets import is_secret
from collective.background.capture.secrets import without_secrets
from collective.background.exceptions import IllegalTransition
from collective.background.exceptions import TaskNotFound
from collective.background.model import states
from collective.background.model.records import BatchResult
from collective.background.model.settings import background_settings
from collective.background.showing.presentation import public_error
from collective.background.showing.rights import belongs_to
from collective.background.showing.rights import may_manage
from collective.background.showing.rights import owner_filters
from collective.background.showing.rights import Trust
from dataclasses import replace


def may_have_tasks():
    """Whether the current user can see what he schedules. Not so for visitors."""
    return owner_filters(everybody=True) is not None


def visible_records(*, start=0, limit=50, everybody=False, **filters):
    """Return the TaskRecords that the current user may see, newest first.

    Those of his own, or, with ``everybody`` and the permission to manage tasks,
    all of the site. The other arguments are those of
    ``ITransactionalScheduler.records``.
    """
    owner = owner_filters(everybody)
    if owner is None:
        return []
    found = get_scheduler().records(start=start, limit=limit, **{**filters, **owner})
    return _shown(found)


def count_visible(*, everybody=False, **filters):
    """Return how many tasks ``visible_records`` can show."""
    owner = owner_filters(everybody)
    return 0 if owner is None else get_scheduler().count(**{**filters, **owner})


def find_visible(ids):
    """Return {id: TaskRecord} of those tasks that the current user may see."""
    owner = owner_filters(everybody=True)
    if owner is None:
        return {}
    scheduler = get_scheduler()
    known = [record for id in ids if (record := scheduler.record(id)) is not None]
    visible = [record for record in known if belongs_to(record, owner)]
    return {record.id: record for record in _shown(visible)}


def visible_record(id):
    """Return the record of one task. Raises TaskNotFound, also for another's."""
    record = find_visible([id]).get(id)
    if record is None:
        raise TaskNotFound(f"there is no task {id!r} (any more)")
    return record


def shown(record):
    """Return the record without what is not for the current user.

    Class, text and traceback of an exception, log, instance and trail are for managers.
    A manager who is not trusted with the task has neither these of it, but the instance
    and the trail without errors, nor that there is a result.
    """
    return _shown([record])[0]


def may_cancel():
    """Whether the current user may cancel and retry the tasks that he sees."""
    return background_settings().owners_may_cancel or may_manage()


def is_trusted(record):
    """Whether the current user may have the result of a task, and run it again.

    With the permission to manage tasks, its arguments and its log as well. ``record``:
    of a task that he may see. It is his own, he is a Manager, or the user as whom it
    runs has no right in the site that he has not.
    """
    return Trust().covers(record)


# What may be done to a task. All of it raises TaskNotFound, as visible_record()
# does, and returns the record.


def cancel_task(id):
    """Cancel a task. Raises Unauthorized; IllegalTransition if none is his own."""
    return _change(_changeable(id), get_scheduler().cancel)


def retry_task(id):
    """Queue a task again. Raises Unauthorized, and as the scheduler's ``retry``."""
    _check_trust(visible_record(id))
    return _change(_changeable(id), get_scheduler().retry, _can_be_retried)


def dismiss_task(id):
    """Do not show a task to its user any more. Raises IllegalTransition."""
    return _change(visible_record(id).id, get_scheduler().dismiss, _has_ended)


def forget_task(id):
    """Remove a task that has ended. Raises IllegalTransition."""
    record = visible_record(id)
    if record.state not in states.FINISHED:
        raise IllegalTransition(
            f"task {id} is {record.state}; only one that has ended can be forgotten"
        )
    for each in _parts_to_change(id):
        get_scheduler().remove(each)
    return record


def task_arguments(id):
    """Return (name, text) of each argument, for managers. Raises Unauthorized.

    What the site wants to be secret, is; what always is, was never in them.
    """
    record = visible_record(id)
    if not may_manage():
        raise Unauthorized("only managers of background tasks see their arguments")
    _check_trust(record)
    found = get_scheduler().arguments(id) or ()  # a group has none
    further = background_settings().redacted_names
    if not further:
        return found
    return tuple(
        (name, HIDDEN if is_secret(name, further) else without_secrets(text, further))
        for name, text in found
    )


def task_result(id):
    """Return what a task has returned, or None while there is nothing.

    Unlike ``get_result()`` of the scheduler it can be had again. What has happened to
    the items of a batch is told as ``shown()`` does. Raises Unauthorized.
    """
    _check_trust(visible_record(id))
    if _parts(id) != [id]:
        return None  # there are results of others among those of the group
    result = get_scheduler().peek_result(id)
    if isinstance(result, BatchResult) and not may_manage():
        failures = (
            replace(failure, error=public_error(failure.error))
            for failure in result.failures
        )
        return replace(result, failures=tuple(failures))
    return result


def _change(id, change, is_possible=lambda record: True):
    """Do something to a task, or to those of a group that the current user may see.

    ``change(id)``: raises IllegalTransition if it is not possible for the whole.
    """
    parts = _parts_to_change(id, is_possible)
    if parts == [id]:
        return shown(change(id))
    for each in parts:
        change(each)
    return visible_record(id)


def _parts_to_change(id, is_possible=lambda record: True):
    """Return them as ``_parts()`` does. Raises IllegalTransition if there are none."""
    parts = _parts(id, is_possible)
    if not parts:
        raise IllegalTransition(f"none of your tasks of the group {id} is such a one")
    return parts


def _parts(id, is_wanted=lambda record: True):
    """Return ids of what a user does something to, who does it to what has this id.

    That is all of it, or of a group those of the wanted tasks that he may see.
    """
    owner = owner_filters(everybody=True)
    scheduler = get_scheduler()
    users = scheduler.users(id)
    if "user_id" not in owner or users <= {(owner["user_id"], owner["user_path"])}:
        return [id]
    own = (member for member in scheduler.members(id) if belongs_to(member, owner))
    return [member.id for member in own if is_wanted(member)]


def _can_be_retried(record):
    return record.can_be_retried


def _has_ended(record):
    return record.state in states.FINISHED


def _changeable(id):
    """Return the id of a task that the user sees, if he may change it."""
    visible_record(id)
    if not may_cancel():
        raise Unauthorized("only managers of background tasks may do this here")
    return id


def _check_trust(record):
    if not is_trusted(record):
        raise Unauthorized(
            f"the user of task {record.id} has more rights than you; only Managers see "
            "what is inside of it, or run it again"
        )


def _shown(records):
    # Permissions are looked up once: that takes longer than all the rest.
    if not may_manage():
        return [_without_operation(_without_inside(record)) for record in records]
    trust = Trust()
    return [
        record
        if trust.covers(record)
        else replace(_without_inside(record), has_result=False)
        for record in records
    ]


def _without_operation(record):
    return replace(record, instance="", began=None, timeline=(), interventions=())


def _without_inside(record):
    if not (record.error or record.log or record.timeline):
        return record
    error = record.error and public_error(record.error)
    timeline = tuple(
        replace(attempt, error=attempt.error and public_error(attempt.error))
        for attempt in record.timeline
    )
    return replace(record, error=error, log=(), timeline=timeline)
