"""Checks: what the evidence has to be like. Each yields the violations, as texts."""

from collections import defaultdict
from instance_probe.soak import mark_of_callback
from itertools import pairwise
from itertools import zip_longest
from operator import itemgetter
from soak.faults import FREEZE
from soak.faults import OUTAGE
from soak.faults import RESTART


ENDED = ("succeeded", "failed", "cancelled", "lost")
SLACK = 1.0  # seconds; the times of log lines have no fractions


def check(evidence, lease):
    """Return all violations, as a list of texts.

    ``lease``: seconds, a setting of the instances.
    """
    found = []
    for test in CHECKS:
        name = test.__name__.replace("_", " ")
        found += [f"{name}: {text}" for text in test(evidence, lease)]
    return found


def what_is_committed_is_there_once(evidence, lease):
    for story in evidence.stories:
        for job in story.jobs:
            found = evidence.tasks.get(job.mark, ())
            if job.id is not None and "unique" not in job.options and not found:
                yield f"{job.mark!r} was scheduled as {job.id}, which is not there"
            if job.id is None and not found and job.marks()[0] in evidence.effects:
                yield f"{job.mark!r} is not there, but the rest of its transaction is"
            if len(found) > 1:
                yield f"{job.mark!r} is there {len(found)} times"
    for task in evidence.all_tasks():
        missing = [mark for mark in task.job.marks() if mark not in evidence.effects]
        if missing:
            yield f"{task} is there, but not the rest of its transaction: {missing}"


def everything_ends(evidence, lease):
    for task in evidence.all_tasks():
        if task.state not in ENDED:
            yield f"{task} has not ended"
    for mark, record in evidence.groups.items():
        if record is None or record["state"] not in ENDED:
            state = "not there" if record is None else record["state"]
            yield f"the group {mark!r} has not ended, it is {state}"


def effects_are_those_of_success(evidence, lease):
    """Of batches, exactly the committed items."""
    for task in evidence.all_tasks():
        numbers = [evidence.effects.get(mark, (0, 0)) for mark in task.job.marks()]
        done = len(numbers) if task.has_succeeded else 0
        if task.job.items and not task.has_succeeded:
            done = task.record["progress"]["done"]
        expected = [[1, 1]] * done + [[0, 0]] * (len(numbers) - done)
        if numbers != expected:
            yield f"{task} has left {numbers} (things, count), and not {expected}"


def without_rerun_nothing_is_done_twice(evidence, lease):
    """One attempt for each run; those that a conflict has ended do not count."""
    for task in evidence.all_tasks():
        if task.job.may_rerun:
            continue
        for mark in task.job.marks():
            attempts = evidence.attempts.get(mark, [])
            counted = [
                attempt
                for attempt, after in zip_longest(attempts, attempts[1:])
                if not _is_repeated(attempt, after)
            ]
            if len(counted) > task.job.runs:
                number = f"{len(counted)} attempts at {mark!r}, not {task.job.runs}"
                yield f"{task}: {number}: {'; '.join(map(str, attempts))}"


def _is_repeated(attempt, after):
    """Whether a conflict has ended an attempt before the next one began."""
    is_over = after is not None and attempt.ended is not None
    return is_over and attempt.has_conflicted and attempt.ended < after.begun


def only_what_an_end_has_interrupted_is_lost(evidence, lease):
    for task in evidence.all_tasks():
        if task.state != "lost":
            continue
        if task.job.may_rerun:
            yield f"{task} may be run again"
        started, finished = task.moment("started"), task.moment("finished")
        if started is None:
            yield f"{task} had never begun"
        elif not _was_disturbed(evidence, task.pid, started - SLACK, finished):
            when = f"from {task.record['started']} to {task.record['finished']}"
            yield f"{task}: {task.record['instance']} was well {when}"


def _was_disturbed(evidence, pid, begin, end):
    """Whether an instance was killed, frozen or stopped between two time stamps."""
    return any(pid in f.pids and f.overlaps(begin, end) for f in evidence.faults)


def who_lives_is_not_declared_dead(evidence, lease):
    for at, pid, line in evidence.verdicts:
        if not _was_disturbed(evidence, pid, at - lease - SLACK, at + SLACK):
            yield line


def only_what_somebody_has_cancelled_is_cancelled(evidence, lease):
    for task in evidence.all_tasks():
        if task.state == "cancelled" and not (
            task.job.is_cancelled or task.job.follows
        ):
            yield f"{task}: {task.record['error']['message']}"


def only_the_database_lets_others_fail(evidence, lease):
    """Frozen instances, too: they may keep the others from committing."""
    faults = [f for f in evidence.faults if f.kind in (FREEZE, RESTART, OUTAGE)]
    for task in evidence.all_tasks():
        if task.state != "failed" or task.job.may_fail:
            continue
        began, ended = task.moment("started"), task.moment("finished")
        if began is None or not any(f.overlaps(began - lease, ended) for f in faults):
            error = task.record["error"]
            yield f"{task}: {error['type']}: {error['message']}"


def who_waits_for_another_task_follows_it(evidence, lease):
    for story in evidence.stories:
        for before, after in pairwise(story.jobs):
            first, second = evidence.task(before), evidence.task(after)
            if not after.follows or first is None or second is None:
                continue
            has_begun = second.record["attempts"] > 0
            is_in_vain = second.state == "cancelled" and not has_begun
            if not (has_begun if first.has_succeeded else is_in_vain):
                yield f"{second}, after {first}"


def callbacks_are_called_once(evidence, lease):
    """Those that were lost have been tried again, see ``run.py``."""
    expected = {
        mark_of_callback(task.job.mark)
        for task in evidence.all_tasks()
        if task.job.tells and task.has_succeeded
    } | {
        mark_of_callback(mark)
        for mark, record in evidence.groups.items()
        if record is not None and record["state"] == "succeeded"
    }
    for mark in sorted(expected | set(evidence.callbacks)):
        found = evidence.callbacks.get(mark, [])
        number = 1 if mark in expected else 0
        if len(found) != number:
            yield f"{mark!r}: {number} callbacks were expected, there are {len(found)}"
        if any(not task.has_succeeded for task in found):
            yield f"{mark!r}: {', '.join(map(str, found))}"


def of_a_unique_key_one_is_unfinished(evidence, lease):
    by_key = defaultdict(list)
    for task in evidence.all_tasks():
        key = task.job.options.get("unique")
        if key is not None and task.state in ENDED:
            by_key[key].append(task)
    for key, tasks in by_key.items():
        tasks.sort(key=lambda task: task.moment("created"))
        for first, second in pairwise(tasks):
            if second.moment("created") < first.moment("finished"):
                yield f"{key!r}: {second} was scheduled while {first} was unfinished"


def ended_tasks_hold_no_unique_key(evidence, lease):
    for story in evidence.last:
        for job in story.jobs:
            if evidence.task(job) is None:
                yield f"{job.options['unique']!r} is held by {job.id}"


def of_a_lock_one_runs_at_a_time(evidence, lease):
    """What was taken over may go on for a while, but does not commit."""
    by_lock = defaultdict(list)
    for task in evidence.all_tasks():
        for lock in task.job.options.get("lock", ()):
            by_lock[lock] += [
                (attempt.begun, attempt.ended, task)
                for attempt in evidence.attempts.get(task.job.mark, ())
                if attempt.outcome == "committed"
            ]
    for lock, runs in by_lock.items():
        runs.sort(key=itemgetter(0))
        for (_, ended, first), (begun, _, second) in pairwise(runs):
            if begun < ended:
                yield f"{lock!r}: {second} had begun before {first} had ended"


def instances_do_not_end_by_themselves(evidence, lease):
    yield from evidence.crashes


CHECKS = (
    what_is_committed_is_there_once,
    everything_ends,
    effects_are_those_of_success,
    without_rerun_nothing_is_done_twice,
    only_what_an_end_has_interrupted_is_lost,
    who_lives_is_not_declared_dead,
    only_what_somebody_has_cancelled_is_cancelled,
    only_the_database_lets_others_fail,
    who_waits_for_another_task_follows_it,
    callbacks_are_called_once,
    of_a_unique_key_one_is_unfinished,
    ended_tasks_hold_no_unique_key,
    of_a_lock_one_runs_at_a_time,
    instances_do_not_end_by_themselves,
)
