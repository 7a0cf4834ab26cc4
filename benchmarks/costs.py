"""What a task costs, from counters: they tell more than times on a busy machine."""

from collections import Counter
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import fields
from statistics import median


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Of a task, on an average.

    ``cpu``, ``server``: milliseconds of a processor, of all workers together and of the
    server of the database; the others are counted in the workers: ``commits`` that
    write something, ``loads`` and ``stores`` of objects, ``conflicts``.
    """

    cpu: float
    server: float
    commits: float
    loads: float
    stores: float
    conflicts: float

    def __str__(self):
        return (
            f"a task: {self.cpu:.2f} ms of CPU in workers, {self.server:.2f} in the "
            f"server; {self.commits:.2f} commits, {self.loads:.2f} loads, "
            f"{self.stores:.2f} stores, {self.conflicts:.3f} conflicts"
        )


class Meter:
    """Counts from its creation on.

    ``workers``: Instances; ``servers``: the Processes of the database.
    """

    def __init__(self, workers, servers):
        self._workers, self._servers = workers, servers
        self._before = self._now()

    def costs(self, tasks):
        """Return the Costs, if there were so many tasks since then."""
        spent = self._now()
        spent.subtract(self._before)
        return Costs(**{name: number / tasks for name, number in spent.items()})

    def _now(self):
        now = Counter(
            cpu=_milliseconds(self._workers), server=_milliseconds(self._servers)
        )
        for worker in self._workers:
            now.update(worker.get("probe-costs").json())
        return now


def median_of(costs):
    """Return the Costs of which each number is the median."""
    rows = list(map(asdict, costs))
    return Costs(
        **{each.name: median(row[each.name] for row in rows) for each in fields(Costs)}
    )


def _milliseconds(processes):
    return sum(process.seconds_computed() for process in processes) * 1000
