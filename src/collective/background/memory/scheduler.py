"""The in-process scheduler: tasks in memory, one new thread for each.

Comes in: a Call and Options, in the thread of a request. Goes out: threads, and
records for everybody. The global utility; ``api/scheduling.py`` calls it.

All that is shared is changed under one lock, and nothing else is done under it: no
task, no event, no I/O. Who holds it may take the dispatcher's, never the other way.
"""

from collections import OrderedDict
from collective.background.capture.call import capture_call
from collective.background.exceptions import WaitTimeout
from collective.background.executing.deadline import Deadline
from collective.background.executing.stacks import stack_now
from collective.background.interfaces import ITransactionalScheduler
from collective.background.memory import admission
from collective.background.memory import control
from collective.background.memory import reading
from collective.background.memory.lifecycle import Lifecycle
from collective.background.memory.places import Lines
from collective.background.memory.room import entrant_now
from collective.background.memory.store import Store
from collective.background.memory.threads import TaskThreads
from collective.background.model import states
from collective.background.model.config import share_of
from collective.background.model.forking import in_child
from collective.background.model.loading import load_settings
from collective.background.model.options import Options
from collective.background.model.records import InstanceStatus
from collective.background.model.selection import Selection
from collective.background.model.trail import CANCEL
from collective.background.scheduling import rules
from collective.background.scheduling.actors import intervention
from collective.background.scheduling.joining import join_transaction
from dataclasses import replace
from dm.zodb.asynchronous.scheduler import TransactionalScheduler as BaseScheduler
from itertools import islice
from time import monotonic
from zope.i18n import translate
from zope.interface import implementer


PLAIN = Options()


@implementer(ITransactionalScheduler)
class TransactionalScheduler(BaseScheduler):
    """Keeps tasks in memory and runs them in threads of this process.

    ``timeout``: how long finished tasks are kept (seconds), instead of the
    setting ``keep``. ``settings``: Settings, instead of those of the process. With
    either, it has an executor of its own.

    As in the base class, ``_schedules`` has all tasks by their id, and
    ``_completed`` when they have ended; the Store keeps them there.

    ``lifecycle``: the Lifecycle of the tasks, for the package itself.
    """

    MAPPING_FACTORY = OrderedDict
    # What runs tasks. May be overridden, as the factories of the base class.
    THREADS_FACTORY = TaskThreads

    def __init__(self, timeout=None, settings=None):
        super().__init__()
        if timeout is not None:
            settings = replace(settings or load_settings(), keep=timeout)
        store = Store(self._schedules, self._completed, lambda: self.settings)
        self.lifecycle = Lifecycle(store, settings, self.THREADS_FACTORY)
        in_child(self.lifecycle.begin_anew)

    @property
    def executor(self):
        """The Executor that runs the tasks."""
        return self.lifecycle.executor

    @property
    def settings(self):
        """The Settings of the process."""
        return self.executor.settings

    @property
    def max_body(self):
        """How many bytes of a request may become a task: the share of a user."""
        return share_of(self.settings.max_bytes)

    @property
    def instance(self):
        """The id of the process."""
        return self.executor.instance

    # Scheduling.

    def schedule(self, f, *args, **kw):
        return self.add_task(capture_call(f, args, kw), PLAIN)

    def add_task(self, call, options, group=None):
        return admission.schedule(self.lifecycle, call, options, group)

    def add_group(self, group):
        admission.add_group(self.lifecycle, group)

    def run_now(self, call, options, work, group=None):
        return admission.run_now(self.lifecycle, call, options, work, group)

    def report(self, id, token, report):
        raise rules.not_found(id)

    def check_room(self):
        wish = entrant_now()
        with self.lifecycle.changed:
            admission.check_place(self.lifecycle, wish)

    # Reading.

    def record(self, id):
        return self.lifecycle.find_record(id)

    def completed(self, id):
        record = self.record(id)
        return None if record is None else record.state in states.FINISHED

    def get_result(self, id):
        what = self.lifecycle.find_any(id)
        if what is None:
            return None
        if what.state not in states.FINISHED:
            return False
        pair = reading.result_of(what)
        join_transaction(
            reserve=lambda: None,
            finish=lambda: self.remove(id),
            forget=lambda: None,
        )
        return pair

    def peek_result(self, id):
        what = self.lifecycle.find_any(id)
        if what is None or what.state not in states.FINISHED:
            return None
        return reading.result_of(what)[0]

    def records(self, *, start=0, limit=50, **filters):
        stop = None if limit is None else start + limit
        selection = Selection(**filters)
        with self.lifecycle.changed:
            found = islice(self.lifecycle.store.select(selection), start, stop)
            return [self.lifecycle.record(task) for task in found]

    def count(self, **filters):
        selection = Selection(**filters)
        with self.lifecycle.changed:
            return self.lifecycle.store.count(selection)

    def members(self, id):
        return reading.members(self.lifecycle, id)

    def users(self, id):
        return reading.users(self.lifecycle, id)

    def arguments(self, id):
        task = self.lifecycle.find(id)
        return None if task is None else task.arguments

    def wait(self, id, timeout):
        rules.check_timeout(timeout)
        what = self.lifecycle.find_any(id)
        if what is None:
            raise rules.not_found(id)
        with self.lifecycle.changed:
            has_ended = self.lifecycle.changed.wait_for(
                lambda: what.state in states.FINISHED, timeout
            )
            record = self.lifecycle.record(what)
        if not has_ended:
            title = translate(record.title)
            raise WaitTimeout(
                f"task {id} {title!r} is still {record.state} after {timeout} s"
            )
        return record

    def wait_all(self, timeout):
        rules.check_timeout(timeout)
        deadline = monotonic() + timeout
        unfinished = self.lifecycle.unfinished.tasks
        threads = self.lifecycle.threads
        with self.lifecycle.changed:
            # Callbacks come only when an end is told.
            self.lifecycle.changed.wait_for(
                lambda: not unfinished and threads.are_idle(), timeout
            )
            left = list(islice(unfinished.values(), 10))
        if left:
            titles = ", ".join(f"{task.plain_title!r} ({task.state})" for task in left)
            raise WaitTimeout(
                f"after {timeout} s there are still unfinished tasks: {titles}"
            )
        self.executor.dispatcher.join(self.lifecycle, deadline - monotonic())

    def stack(self, id):
        task = self.lifecycle.find(id)
        return None if task is None else stack_now(task.queue, id)

    def ask_for_stack(self, id):
        """There is nobody to ask: it is known here, or nowhere."""

    # Control.

    def cancel(self, id):
        return control.cancel(self.lifecycle, id, intervention(CANCEL))

    def remove(self, id):
        control.remove(self.lifecycle, id)

    def retry(self, id):
        return control.retry(self.lifecycle, id)

    def dismiss(self, id):
        return control.dismiss(self.lifecycle, id)

    def silence(self, user_id, user_path):
        control.silence(self.lifecycle, user_id, user_path)

    # Queues, and the end of the process.

    def queues(self):
        return self.executor.dispatcher.statuses(self.lifecycle)

    def lines(self):
        return Lines(self.lifecycle)

    def instances(self):
        with self.lifecycle.changed:
            running = len(self.lifecycle.unfinished.running)
        slots = dict(self.settings.queues)
        return [InstanceStatus(id=self.instance, slots=slots, running=running)]

    def pause(self, queue):
        rules.check_queue(queue, self.settings.queues)
        self.executor.dispatcher.pause(queue, self.lifecycle)

    def resume(self, queue):
        rules.check_queue(queue, self.settings.queues)
        self.executor.dispatcher.resume(queue, self.lifecycle)

    def drain(self, timeout=None):
        if timeout is None:
            timeout = self.settings.drain_timeout
        rules.check_timeout(timeout)
        self.stop()
        self.leave(Deadline(timeout))

    def stop(self):
        """Start nothing more, and ask all that runs to stop; see ``Executor``."""
        self.lifecycle.stop()

    def leave(self, deadline):
        """Wait for what runs; return the titles of what is lost. See ``Executor``."""
        return self.lifecycle.leave(deadline)
