"""One run: a cluster, a plan, faults, and then the checks."""

from brokers import Redis
from clusters import Cluster
from collections import Counter
from instances import make_instance
from instances import make_site
from random import Random
from soak.checks import check
from soak.evidence import collect
from soak.evidence import TELL
from soak.evidence import UNFINISHED
from soak.faults import Faults
from soak.plan import Job
from soak.plan import KEYS
from soak.plan import make_plan
from soak.plan import Story
from soak.stories import Teller
from time import monotonic

import requests


LEASE = 5.0  # seconds
# Shorter than some tasks: what an orderly stop does with those is to be seen, too.
DRAIN_TIMEOUT = 1.0
KEEP = 7 * 24 * 60  # minutes
NAMES = ("a", "b", "c")  # of the instances that execute
SLOTS = "2"  # of each, if they are workers of Celery
PATIENCE = 30.0  # seconds without any change, after which nothing is waited for
LOOKS = 10  # times PATIENCE, at the most


def soak(storage, seconds, tasks, seed, folder, data=None, pool=None):
    """Return the violations that were found, as a list of texts; print what happens.

    ``storage``: the name of one; ``seconds``: how long faults happen; ``tasks``: how
    many are scheduled meanwhile; ``seed``: of what is random; ``folder``: an empty
    one, in which the logs are left in ``logs/``; ``data``: the folder ``var`` of an
    instance with a site; None: one is made; ``pool``: of workers of Celery, which
    execute then instead of instances.
    """
    begin = monotonic()

    def say(text):
        print(f"{monotonic() - begin:7.1f} s  {text}", flush=True)

    who = "threads" if pool is None else f"Celery ({pool})"
    print(f"soak test on {storage}, {who}: seed {seed}", flush=True)
    if data is None:
        say("making a site")
        make_instance(folder / "site")
        make_site(folder / "site")
        data = folder / "site" / "var"
    settings = {
        "lease": LEASE,
        "drain_timeout": DRAIN_TIMEOUT,
        "keep_count": 100 * tasks,
    }
    broker = None if pool is None else Redis()
    workers = {}
    if broker is not None:
        settings["celery_broker"] = broker.url
        workers = dict.fromkeys(NAMES, ("-c", SLOTS, "--pool", pool))
    cluster = Cluster(folder, data, storage, workers, **settings)
    try:
        run = Run(cluster, seed, folder / "outside", say, broker)
        evidence = run.gather(tasks, seconds)
    finally:
        cluster.close()
        if broker is not None:
            broker.close()
        _keep_logs(cluster, folder / "logs")
    violations = check(evidence, LEASE)
    _summarize(evidence, monotonic() - begin)
    for violation in violations:
        print(f"VIOLATION  {violation}", flush=True)
    return violations


class Run:
    """``folder``: for what tasks do outside of the database; ``say``: called with what
    happens, a text; ``broker``: a Redis, or None."""

    def __init__(self, cluster, seed, folder, say, broker):
        self._cluster = cluster
        self._seed = seed
        self._folder = folder
        self._say = say
        self._broker = broker

    def gather(self, tasks, seconds):
        """Schedule the tasks while faults happen; return the Evidence after that."""
        web = self._prepare()
        # A generator for each: how many faults there are does not change the plan.
        stories = make_plan(Random(self._seed), tasks, seconds)
        faults = Faults(
            *(self._cluster, NAMES, Random(self._seed), LEASE, self._say, self._broker)
        )
        with Teller(web, stories) as teller:
            faults.happen(seconds)
            self._say("no more faults")
            faults.recover()
            teller.finish()
            self._wait(web)
            retried = self._retry_lost_callbacks(web, teller)
            self._wait(web)
            last = [_last_story(key) for key in KEYS]
            for story in last:
                teller.schedule(story)
            self._wait(web)
        self._say("all is done")
        return collect(
            web,
            self._cluster.started,
            stories=stories,
            last=last,
            faults=faults.happened,
            folder=self._folder,
            retried=retried,
            failed_requests=len(teller.failed),
        )

    def _prepare(self):
        """Return the instance that schedules, once the others know the site."""
        self._say("starting instances")
        (web,) = self._cluster.run(web={"role": "web"})
        web.get("probe-persist")
        self._folder.mkdir()
        web.get("probe-soak-prepare", folder=self._folder)
        registry = {"collective.background.keep": KEEP}
        headers = {"Accept": "application/json"}
        web.request("PATCH", "@registry", json=registry, headers=headers)
        self._cluster.run(**{name: {} for name in NAMES})
        web.wait(web.schedule("answer", "they know the site"))
        return web

    def _wait(self, web):
        """Wait until all tasks have ended, or nothing changes any more."""
        before = None
        for _ in range(LOOKS):
            try:
                web.wait_all(PATIENCE)
                return
            except requests.HTTPError:
                left = web.scheduler("records", states=UNFINISHED, limit=None)
            now = {(record["id"], record["attempts"]) for record in left}
            self._say(f"{len(left)} tasks have not ended")
            if now == before:
                return
            before = now

    def _retry_lost_callbacks(self, web, teller):
        """Return how often each was tried again, by the id of its task."""
        retried = Counter()
        for record in web.scheduler("records", states=["lost"], limit=None):
            if record["callable"] == TELL:
                job = Job(mark=record["title"], id=record["id"])
                teller.retry(job)
                retried[job.id] = job.retries
        return retried


def _last_story(key):
    """Return one that is told when the key should be free."""
    return Story(at=0, jobs=[Job(mark=f"last with {key}", options={"unique": key})])


def _keep_logs(cluster, folder):
    folder.mkdir()
    for process in (*cluster.started, *cluster.storage.servers):
        path = folder / f"{process.name}-{process.pid}.log"
        path.write_text("\n".join(process.log))


def _summarize(evidence, seconds):
    tasks = evidence.all_tasks()
    attempts = sum(map(len, evidence.attempts.values()))
    print(f"{seconds:.0f} s")
    print("faults:", _counted(fault.kind for fault in evidence.faults))
    print("requests that have failed:", evidence.failed_requests)
    print("tasks:", _counted(task.state for task in tasks))
    print("that were scheduled, but nobody was told:", evidence.number_unknown())
    print("errors:", _counted(task.error for task in tasks if task.error))
    print("attempts, of tasks and items of batches:", attempts)
    per_second = f"{len(tasks) / seconds:.1f} tasks, {attempts / seconds:.1f} attempts"
    print("per second:", per_second, flush=True)


def _counted(names):
    counted = Counter(names).most_common()
    return ", ".join(f"{number} {name}" for name, number in counted) or "none"
