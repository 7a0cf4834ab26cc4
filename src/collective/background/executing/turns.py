"""Turns: which jobs of all queues of a process may start now.

Plain data, changed under the dispatcher's lock only.
"""

from collective.background.executing.queues import Queue


class Queues(dict):
    """The queues of a process by their names.

    ``slots``: the number of slots by the name of the queue; ``locks``: the Locks, which
    all of them share.
    """

    def __init__(self, slots, locks):
        self.locks = locks
        super().__init__(
            {name: Queue(name, number, locks) for name, number in slots.items()}
        )

    def can_start(self):
        """Whether a job waits somewhere that may start now."""
        return any(queue.can_start() for queue in self.values())

    def start(self):
        """Yield (queue, job) of what may start, while slots are free."""
        for queue in self.values():
            while (job := queue.pop()) is not None:
                yield queue, job

    def take_all(self):
        """Take out what could start one after the other, as nothing can; return a list.

        Jobs that have to wait for others of these are among them.
        """
        jobs = []
        while self.can_start():  # a job that ends may let another queue go on
            for queue, job in self.start():
                queue.end(job)
                jobs.append(job)
        return jobs

    def stop(self, source):
        """Start nothing more of a source; return the jobs of it that have waited."""
        return [job for queue in self.values() for job in queue.stop(source)]

    def running(self, source):
        """Return how many jobs of a source use a slot."""
        return sum(queue.running(source) for queue in self.values())

    def are_idle(self):
        """Whether no job uses a slot."""
        return not any(queue.threads for queue in self.values())
