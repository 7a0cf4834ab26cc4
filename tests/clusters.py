"""A cluster: several instances on one database. For tests and benchmarks."""

from instances import CeleryWorker
from instances import Instance
from instances import make_instance
from processes import who
from storages import PostgreSQL
from storages import SQLite
from storages import ZEO


STORAGES = {"zeo": ZEO, "postgresql": PostgreSQL, "sqlite": SQLite}


class Cluster:
    """Instances by their names; they are made when they are first asked for.

    ``folder``: where it may write; ``data``: the folder ``var`` of an instance with
    a site; ``storage``: the name of one; ``workers``: the options of their command, by
    the names of those that are workers of Celery; ``variables``: further ones of their
    environment, by their names; ``settings``: those of the package that all have.
    ``started``: all that were started so far, in order.
    """

    def __init__(self, folder, data, storage, workers=(), variables=None, **settings):
        self.name = storage
        self._folder = folder
        self._workers = dict(workers)
        self._variables = variables
        self._settings = settings
        self._instances = {}
        self.started = []
        self.storage = STORAGES[storage](folder, data)

    def run(self, **instances):
        """Return a list of instances that serve the site.

        ``instances``: the further settings of each, by its name. One that runs with
        just these goes on; the others are started, all at the same time.
        """
        started = [self.start(name, **settings) for name, settings in instances.items()]
        return [instance.serves() for instance in started]

    def start(self, name, **settings):
        """Return the same for one instance, without waiting until it serves."""
        settings = {**self._settings, **settings}
        instance = self._instances.get(name)
        if instance is not None and instance.settings != settings:
            instance.kill()
        if instance is None or not instance.is_running:
            instance = self._instances[name] = self._make(name, settings)
            self.started.append(instance)
        return instance

    def _make(self, name, settings):
        options = {"variables": self._variables, **settings}
        if name in self._workers:
            return CeleryWorker(self.folder(name), *self._workers[name], **options)
        return Instance(self.folder(name), **options)

    def folder(self, name):
        """Return the folder of an instance, which need not run."""
        folder = self._folder / name
        if not folder.exists():
            make_instance(folder, self.storage.section(name))
        return folder

    def who(self, *texts, times=1):
        """Wait until instances have logged so many lines with all of these texts.

        That may have been before, but in the present test. Returns one that has.
        """
        return who(self._instances.values(), *texts, times=times)

    def stop(self, name):
        """Stop an instance in order."""
        self._instances[name].stop()

    def stop_others(self, **instances):
        """Stop in order what does not run with just these settings; see ``run()``."""
        for name, instance in self._instances.items():
            usual = {**self._settings, **instances.get(name, {})}
            if instance.is_running and (
                name not in instances or instance.settings != usual
            ):
                instance.stop()

    @property
    def processes(self):
        """All that were started, with the server of the database, as a list."""
        return [*self._instances.values(), *self.storage.servers]

    def logs(self):
        """Return (name, log) of each process, without what was skipped, as a list."""
        return [(process.name, process.recent_log()) for process in self.processes]

    def skip_logs(self):
        """What is in the logs now is of no interest any more."""
        for process in self.processes:
            process.skip_log()

    def tidy(self, usual):
        """Kill the instances that a test has tampered with, or has added.

        ``usual``: the names of those that may go on.
        """
        for name, instance in self._instances.items():
            if instance.is_tampered or name not in usual:
                instance.kill()

    def close(self):
        """Kill all processes."""
        for instance in self._instances.values():
            instance.kill()
        self.storage.close()
