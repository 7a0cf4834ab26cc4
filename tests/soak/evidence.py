"""Evidence: what is found after the faults, in the database and outside of it.

Comes in: an instance that is asked, files, logs. Goes out: plain values for checks.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from instance_probe.soak import LINES
from instance_probe.soak import mark_of_callback
from instance_probe.soak import tell
from soak.faults import DEADLY
from soak.plan import Job

import json
import re


UNFINISHED = ("queued", "running", "retrying")
TELL = f"{tell.__module__}.{tell.__qualname__}"
# Of another instance, whose id is "host:pid:token". The one place that knows how the
# package says so.
SILENT = re.compile(r"^(\S+ \S+) .*\b[^\s:]+:(\d+):\S+ was silent for ")


@dataclass(kw_only=True)
class Attempt:
    """What became of an attempt, as its process has told; see the probe's Attempt.

    ``begun``, ``ended``: numbers of lines, None if it has not ended; ``error``: the
    name of the exception that its code has raised, or None; ``outcome``: "committed",
    "undone" or None.
    """

    pid: int
    begun: int
    ended: int | None = None
    error: str | None = None
    is_transient: bool = False
    outcome: str | None = None

    def __str__(self):
        how = f"raised {self.error}, " if self.error else ""
        return f"in process {self.pid}: {how}{self.outcome or 'no end'}"

    @property
    def has_conflicted(self):
        """Whether it is to be repeated, without being counted."""
        is_innocent = self.error is None or self.is_transient
        return self.outcome == "undone" and is_innocent


@dataclass(kw_only=True)
class Task:
    """A task that is known to be committed: its Job, and its record as JSON has it."""

    job: Job
    record: dict

    def __str__(self):
        return f"{self.job.mark!r} ({self.record['id']}, {self.state})"

    @property
    def state(self):
        return self.record["state"]

    @property
    def has_succeeded(self):
        return self.state == "succeeded"

    @property
    def error(self):
        """The dotted name of the exception with which it has ended, or None."""
        error = self.record["error"]
        return error and error["type"]

    def moment(self, name):
        """Return a time stamp of the record; None: it has not come to that."""
        text = self.record[name]
        return None if text is None else datetime.fromisoformat(text).timestamp()

    @property
    def pid(self):
        """The process that it was in at last, or None."""
        parts = self.record["instance"].split(":")
        return int(parts[1]) if len(parts) == 3 else None


@dataclass(kw_only=True)
class Evidence:
    """What was found.

    - ``stories``: those that were told, but for the ``last``, which were told when
      all had ended, one for each unique key
    - ``faults``: those that have happened
    - ``tasks``: Tasks that were scheduled, by their marks; ``callbacks``: those of
      callbacks. Each is a list: there should be one at the most
    - ``groups``: the records of groups, by their marks
    - ``effects``: by mark, how many things there are, and how often was counted
    - ``attempts``: lists of Attempts, by mark
    - ``verdicts``: (time stamp, pid of the silent instance, line of the log)
    - ``crashes``: names and pids of instances that have ended by themselves
    - ``failed_requests``: how many there were
    """

    stories: list
    last: list
    faults: list
    tasks: dict
    callbacks: dict
    groups: dict
    effects: dict
    attempts: dict
    verdicts: list
    crashes: list
    failed_requests: int

    def all_tasks(self):
        """Return all Tasks, those of callbacks as well."""
        found = [*self.tasks.values(), *self.callbacks.values()]
        return [task for several in found for task in several]

    def number_unknown(self):
        """Return of how many tasks the requests have failed, though not in vain."""
        found = (task for several in self.tasks.values() for task in several)
        return sum(task.job.id is None for task in found)

    def task(self, job):
        """Return the Task of a job, or None."""
        return next(iter(self.tasks.get(job.mark, ())), None)


def collect(instance, started, *, folder, retried, **known):
    """Return the Evidence.

    ``instance``: the one that is asked; ``started``: all Instances that there were;
    ``folder``: that of the file with lines; ``retried``: how often callbacks were
    tried again, by the ids of their tasks; ``known``: attributes of the Evidence.
    """
    stories = [*known["stories"], *known["last"]]
    jobs = {job.mark: job for story in stories for job in story.jobs}
    tasks, callbacks = defaultdict(list), defaultdict(list)
    for record in instance.scheduler("records", limit=None):
        title = record["title"]
        if title in jobs:
            tasks[title].append(Task(job=jobs[title], record=record))
        elif record["callable"] == TELL:
            mark = mark_of_callback(title.removesuffix(f": {TELL}"))
            job = Job(mark=mark, retries=retried[record["id"]])
            callbacks[mark].append(Task(job=job, record=record))
    return Evidence(
        tasks=tasks,
        callbacks=callbacks,
        groups=_groups(instance, stories, tasks),
        effects=instance.get("probe-soak-effects").json(),
        attempts=_attempts(folder / LINES),
        verdicts=[verdict for each in started for verdict in _verdicts(each.log)],
        crashes=_crashes(started, known["faults"]),
        **known,
    )


def _groups(instance, stories, tasks):
    ids = {
        story.group: task.record["group_id"]
        for story in stories
        if story.group is not None
        for job in story.jobs
        for task in tasks.get(job.mark, ())
    }
    return {mark: instance.scheduler("record", id) for mark, id in ids.items()}


def _attempts(path):
    by_token = {}
    by_mark = defaultdict(list)
    for number, text in enumerate(path.read_text().splitlines()):
        line = json.loads(text)
        event = line["event"]
        if event == "begun":
            attempt = Attempt(pid=line["pid"], begun=number)
            by_token[line["attempt"]] = attempt
            by_mark[line["mark"]].append(attempt)
        elif event == "raised":
            attempt = by_token[line["attempt"]]
            attempt.error = line["error"]
            attempt.is_transient = line["is_transient"]
        else:
            attempt = by_token[line["attempt"]]
            attempt.outcome, attempt.ended = event, number
    return by_mark


def _verdicts(log):
    for line in log:
        found = SILENT.match(line)
        if found is not None:
            at, pid = found.groups()
            yield datetime.fromisoformat(at).timestamp(), int(pid), line


def _crashes(started, faults):
    deadly = [fault.pids for fault in faults if fault.kind in DEADLY]
    ended_by_us = frozenset().union(*deadly)
    return [
        f"{instance.name} (process {instance.pid})"
        for instance in started
        if not instance.is_running and instance.pid not in ended_by_us
    ]
