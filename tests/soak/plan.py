"""The plan: which tasks are scheduled at which moment, and what happens to them then.

Goes out: Stories, each for one request. Times are seconds.
"""

from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from instance_probe.soak import mark_of_item


KEYS = tuple(f"key {number}" for number in range(4))  # unique ones
LOCKS = ("erp", "mail server", "/a")
ALWAYS = 99  # how many attempts fail of a task that does not succeed
ITEMS = 6  # of a batch, two in a transaction
SENT = ("mark", "items", "arguments", "options", "tells", "follows")


@dataclass(kw_only=True)
class Job:
    """A task that is to be scheduled.

    - ``mark``: its title, and the name of what it leaves behind
    - ``items``: how many items a batch has; 0: it is none
    - ``arguments``: those of ``work()`` of the probe, by their names
    - ``options``: those of ``using()``
    - ``tells``: whether it has a callback; ``follows``: whether it waits for the
      success of the job before
    - ``id``: of the task, if the request was answered: then it is committed. With a
      unique key it may be another one
    - ``retries``: how often somebody has asked for that, perhaps with success
    - ``is_cancelled``: whether somebody has asked for that
    """

    mark: str
    items: int = 0
    arguments: dict = field(default_factory=dict)
    options: dict = field(default_factory=dict)
    tells: bool = False
    follows: bool = False
    id: str | None = None
    retries: int = 0
    is_cancelled: bool = False

    def marks(self):
        """Return the marks of what it leaves behind, in order."""
        items = range(self.items)
        return [mark_of_item(self.mark, item) for item in items] or [self.mark]

    @property
    def may_fail(self):
        return self.arguments.get("failures", 0) > 0

    @property
    def may_rerun(self):
        return self.options.get("rerun", False)

    @property
    def runs(self):
        """How often it may be begun, at the most, if it may not run again."""
        return 1 + self.options.get("retries", 0) + self.retries


@dataclass(kw_only=True)
class Story:
    """What one request schedules.

    ``at``: when, from the start; ``group``: the mark of the group that the jobs are,
    or None; ``then``: what is done to the first job, "cancel" or "retry", after
    ``pause`` seconds; "" is nothing.
    """

    at: float
    jobs: list
    group: str | None = None
    then: str = ""
    pause: float = 0.0

    def again(self, number):
        """Return the same with other marks. ``number``: of the attempt, from 2."""
        again = f" again {number}"
        jobs = [replace(job, mark=job.mark + again) for job in self.jobs]
        return replace(self, jobs=jobs, group=self.group and self.group + again)

    def sent(self):
        """Return what the instance has to know, as plain values."""
        jobs = [{name: asdict(job)[name] for name in SENT} for job in self.jobs]
        return {"jobs": jobs, "group": self.group}


def make_plan(random, tasks, seconds):
    """Return a list of Stories, the first one first.

    ``random``: a random.Random; ``tasks``: how many there are in all of them, at
    least; ``seconds``: until the last one.
    """
    weights = list(KINDS.values())
    stories = []
    number = 0
    while number < tasks:
        (make,) = random.choices(list(KINDS), weights)
        mark = f"{len(stories):04} {make.__name__}"
        story = make(random, mark, random.uniform(0, seconds))
        stories.append(story)
        number += len(story.jobs)
    return sorted(stories, key=lambda story: story.at)


def _job(random, mark, failures=0, items=0, tells=False, follows=False, **options):
    """Return a Job. Some take a while, and may have cancellation points then."""
    seconds = random.choice((0.0, 0.05, random.uniform(0.5, 2.0)))
    arguments = {"seconds": seconds / (items or 1), "failures": failures}
    arguments["looks"] = random.random() < 0.5
    return Job(
        mark=mark,
        items=items,
        arguments=arguments,
        options=options,
        tells=tells,
        follows=follows,
    )


# The kinds of stories. Their names are part of the marks.


def plain(random, mark, at):
    # Some are tried again when they are lost.
    then = random.choice(("", "", "retry"))
    return Story(at=at, jobs=[_job(random, mark)], then=then, pause=10.0)


def rerun(random, mark, at):
    return Story(at=at, jobs=[_job(random, mark, rerun=True)])


def retries(random, mark, at):
    return Story(at=at, jobs=[_job(random, mark, 1, retries=2, backoff=0.5)])


def failing(random, mark, at):
    return Story(at=at, jobs=[_job(random, mark, ALWAYS, retries=1, backoff=0.5)])


def retried(random, mark, at):
    return Story(at=at, jobs=[_job(random, mark, 1)], then="retry", pause=3.0)


def batch(random, mark, at):
    is_again = random.random() < 0.5
    return Story(at=at, jobs=[_job(random, mark, items=ITEMS, rerun=is_again)])


def group(random, mark, at):
    jobs = [_job(random, f"{mark} {n}", rerun=bool(n % 2)) for n in range(4)]
    return Story(at=at, jobs=jobs, group=mark)


def chain(random, mark, at):
    failures = random.choice((0, 0, 0, ALWAYS))
    first = _job(random, f"{mark} 0", failures)
    others = [_job(random, f"{mark} {n}", follows=True) for n in (1, 2)]
    return Story(at=at, jobs=[first, *others])


def unique(random, mark, at):
    return Story(at=at, jobs=[_job(random, mark, unique=random.choice(KEYS))])


def locked(random, mark, at):
    locks = random.sample(LOCKS, random.choice((1, 1, 2)))
    is_again = random.random() < 0.5
    return Story(at=at, jobs=[_job(random, mark, lock=locks, rerun=is_again)])


def told(random, mark, at):
    is_again = random.random() < 0.5
    return Story(at=at, jobs=[_job(random, mark, tells=True, rerun=is_again)])


def delayed(random, mark, at):
    return Story(at=at, jobs=[_job(random, mark, delay=random.uniform(1.0, 5.0))])


def cancelled(random, mark, at):
    job = _job(random, mark, delay=random.choice((0.0, 1.0)))
    job.arguments |= {"seconds": 2.0, "looks": True}
    pause = random.uniform(0.0, 2.0)
    return Story(at=at, jobs=[job], then="cancel", pause=pause)


# And how frequent they are.
KINDS = {
    plain: 16,
    rerun: 12,
    retries: 8,
    failing: 2,
    retried: 4,
    batch: 8,
    group: 4,
    chain: 4,
    unique: 8,
    locked: 8,
    told: 8,
    delayed: 5,
    cancelled: 6,
}
