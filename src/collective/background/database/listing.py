"""Lists and counts of tasks in the database, and the record of each.

The index knows a task by the state that it had before an instance has reserved it. So
who looks at what waits leaves out what is reserved, and looks for that in the Holdings.
What workers elsewhere have begun is in none of these, and runs in the index.
"""

from collections import Counter
from collective.background.database.counting import paths_of_users
from collective.background.database.handed_over import asked_to_stop
from collective.background.database.questions import stack_of_stored
from collective.background.database.shard import CANCEL
from collective.background.database.shard import FORGET
from collective.background.database.shard import number_of
from collective.background.database.wholes import group_of
from collective.background.database.wholes import members_of
from collective.background.database.wholes import wanted_of
from collective.background.exceptions import ResultGone
from collective.background.model import states
from collective.background.model.selection import Selection
from collective.background.scheduling.groups import KIND
from collective.background.scheduling.groups import record_of_whole
from collective.background.scheduling.results import result_of_whole
from collective.background.scheduling.results import unpack_here
from dataclasses import replace
from heapq import merge
from itertools import islice
from operator import itemgetter
from zope.component.hooks import getSite


def record_of(scheduler, stored):
    """Return the TaskRecord of a StoredTask of a scheduler."""
    report = began = requested = by = None
    if stored.is_reserved:
        holding = scheduler.holdings.get(stored.instance)
        _, began, report = _held_as(holding, stored)
        requested = scheduler.shards.requested(stored.id)
        by = scheduler.shards.requested_by(stored.id)
    return _at_its_site(
        stored.record(
            report, began=began, cancel_requested=requested is not None, by=by
        )
    )


def stack_of(scheduler, stored):
    """Return the Stack of a StoredTask of a scheduler that runs, or None."""
    _, _, report = _held_as(scheduler.holdings.get(stored.instance), stored)
    return stack_of_stored(record_of(scheduler, stored), report)


def record_of_group(scheduler, group):
    """Return the TaskRecord of a StoredGroup of a scheduler."""
    running = [
        record
        for stored in held(scheduler)
        if _is_within(scheduler, stored, group)
        and (record := record_of(scheduler, stored)).state == states.RUNNING
    ]
    is_unwanted = (
        wanted_of(scheduler, group) in (CANCEL, FORGET)
        or any(record.cancel_requested for record in running)
        or any(_is_within(scheduler, each, group) for each in asked_to_stop(scheduler))
    )
    record = record_of_whole(group, cancel_requested=is_unwanted)
    if running and record.state in states.UNFINISHED:
        started = record.started or min(each.started for each in running)
        record = replace(record, state=states.RUNNING, started=started, attempts=1)
    return _at_its_site(record)


def _is_within(scheduler, member, group):
    """Whether a member belongs to a StoredGroup, or to one within that."""
    while member is not None and member.group_id != group.id:
        member = group_of(scheduler, member)
    return member is not None


def _at_its_site(record):
    """Return a TaskRecord whose site may have been renamed, or copied, since then."""
    site = getSite()
    if site is not None and record.site_path is not None:
        path = "/".join(site.getPhysicalPath())
        if path != record.site_path:
            return replace(record, site_path=path)
    return record


def _held_as(holding, stored):
    """Return what a Holding says of a StoredTask."""
    nothing = None, None, None
    found = nothing if holding is None else holding.tasks.get(stored.id, nothing)
    return found if found[0] == stored.fence else nothing


def held(scheduler):
    """Return all StoredTasks that instances have reserved, as a list."""
    found = (
        scheduler.shards.find(id)
        for holding in scheduler.holdings.values()
        if holding is not None
        for id in holding.tasks
    )
    return [stored for stored in found if stored is not None and stored.is_reserved]


def running_by(scheduler, attribute):
    """Return how many tasks run, by an attribute of their records: a Counter.

    Without those that workers elsewhere have, which are in no slot.
    """
    records = (record_of(scheduler, stored) for stored in held(scheduler))
    return Counter(
        getattr(record, attribute)
        for record in records
        if record.state == states.RUNNING
    )


def records(scheduler, start, limit, filters):
    """See ``ITransactionalScheduler.records``."""
    stop = None if limit is None else start + limit
    selection = Selection(**filters)
    found = selection.pick(_matching(scheduler, selection))
    return [record_of(scheduler, stored) for stored in islice(found, start, stop)]


def count(scheduler, filters):
    """See ``ITransactionalScheduler.count``."""
    selection = Selection(**filters)
    if not selection.is_coarse or not _is_indexed(selection):
        return sum(1 for _ in selection.pick(_matching(scheduler, selection)))
    users = _users_of(scheduler, selection)
    queue = selection.queue
    number = scheduler.shards.count(selection.states, users, queue)
    for stored in held(scheduler):
        if _may_be(stored, selection):
            number += record_of(scheduler, stored).state in selection.states
            number -= stored.state in selection.states
    return selection.limited(number)


def _users_of(scheduler, selection):
    """Return (path, id) of each user whose tasks may be wanted; None: of all."""
    path, id = selection.user_path, selection.user_id
    if id is None:
        return None
    paths = paths_of_users(scheduler.shards) if path is None else [path]
    return [(path, id) for path in paths]


def _is_indexed(selection):
    """Whether the index alone tells which tasks are wanted."""
    return selection.user_path is None or selection.user_id is not None


def _matching(scheduler, selection):
    """Return an iterable of StoredTasks that may be wanted, the newest first."""
    if selection.group_id is not None:
        return _of_group(scheduler, selection)
    users = _users_of(scheduler, selection)
    reserved = held(scheduler)
    numbers = {-number_of(stored.id) for stored in reserved}
    found = (
        pair
        for pair in scheduler.shards.newest(selection.states, users, selection.queue)
        if pair[0] not in numbers
    )
    really = sorted(
        (
            (-stored.number, stored)
            for stored in reserved
            if _may_be(stored, selection)
            and record_of(scheduler, stored).state in selection.states
        ),
        key=itemgetter(0),
    )
    tasks = (task for _, task in merge(found, really, key=itemgetter(0)))
    if _is_indexed(selection):
        return tasks
    return (task for task in tasks if _may_be(task, selection))


def _of_group(scheduler, selection):
    group = scheduler.groups.get(selection.group_id or "")
    ids = [] if group is None else group.ids()
    found = [stored for stored in map(scheduler.shards.find, ids) if stored]
    found.sort(key=lambda stored: -stored.number)
    return [
        stored
        for stored in found
        if record_of(scheduler, stored).state in selection.states
        and _may_be(stored, selection)
    ]


def _may_be(task, selection):
    return (
        selection.user_path in (None, task.user_path)
        and selection.user_id in (None, task.user_id)
        and selection.queue in (None, task.queue)
    )


def members(scheduler, id):
    """Return the TaskRecords of the tasks of a group, and of those in it: a list."""
    found = []
    group = scheduler.groups.get(id or "")
    for member in [] if group is None else members_of(scheduler, group):
        if member.kind == KIND:
            found += members(scheduler, member.id)
        else:
            found.append(record_of(scheduler, member))
    return found


def result_of(scheduler, what):
    """Return (result, exception) of a StoredTask or a StoredGroup that has ended."""
    if what.kind == KIND:
        known = members_of(scheduler, what)
        return result_of_whole(
            what.state, [(m.state, *result_of(scheduler, m)) for m in known]
        )
    return _result_of_task(what)


def _result_of_task(stored):
    left = stored.result if stored.is_done else stored.ending
    if left is not None:
        pair = unpack_here(left.result), unpack_here(left.exception)
        left._p_deactivate()  # it may be large; who asks again is rare
        return pair
    if stored.is_done:
        return None, ResultGone(
            f"what the task {stored.id} did was undone, and so its result is gone"
        )
    return None, None
