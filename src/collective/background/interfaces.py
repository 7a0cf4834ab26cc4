"""The public interfaces: the scheduler, its events, metrics, the browser layer."""

from zope.interface import Attribute
from zope.interface import Interface
from zope.publisher.interfaces.browser import IDefaultBrowserLayer


class ICollectiveBackgroundLayer(IDefaultBrowserLayer):
    """Marks requests to sites in which the add-on is installed."""


class ISynchronousService(Interface):
    """Marks services of the REST API that are never done in the background.

    Their requests or answers have secrets in them, or are worthless later. Requests
    to them are answered at once, also with ``Prefer: respond-async``. Add-ons mark
    the class of a service with it.
    """


class ITransactionalScheduler(Interface):
    """Starts calls when the current transaction commits, and knows what became of them.

    Views, services and add-ons reach it through ``get_scheduler()``. All of it
    is for trusted code: who may see which task is decided by
    ``collective.background.showing.visibility``.

    Ids of tasks are 32 hexadecimal digits. Where a task is not known
    (any more), ``record``, ``completed`` and ``get_result`` return None; the
    calls that change something raise TaskNotFound.
    """

    # With the meaning that they have in dm.zodb.asynchronous.

    max_body = Attribute(
        "How many bytes a request may have of which Prefer: respond-async makes a task."
    )

    def schedule(callable, *args, **kwargs):
        """Schedule ``callable(*args, **kwargs)`` and return the task's id.

        Called by add-ons (usually as ``collective.background.schedule``).
        Raises NotPortable when the callable or an argument cannot be carried,
        NoTransaction in an after-commit hook, ShuttingDown when the process is
        about to stop. When the waiting room is full, the commit raises QueueFull; in a
        browser's request without a valid token it raises Forbidden, or the Redirect to
        the page that asks for confirmation.
        """

    def completed(id):
        """True when the task has ended, False when it has not, else None."""

    def get_result(id):
        """Return ``(result, exception)`` of an ended task.

        False when it has not ended yet, None when it is not known. The task
        is forgotten when the transaction that reads the result commits.
        """

    def peek_result(id):
        """Return the result of a task, and leave it where it is.

        None when there is none: it is not known, has not ended, or has failed
        without one.
        """

    # A group has results, too: a tuple of those of its members that are known, in the
    # order in which they were scheduled. Its exception is that of the first member
    # that has ended in the state of the whole.

    def remove(id):
        """Forget the task, if it is known.

        A waiting one does not start any more; a running one is asked to stop
        and forgotten as soon as it has ended.
        """

    def report(id, token, report):
        """A worker elsewhere reports on a task; return its TaskRecord.

        ``token``: a text, which came to the worker with the message; ``report``: an
        ``ExternalReport`` of ``model/external.py``. It takes effect at once.
        Raises TaskNotFound, also for a wrong token, and where tasks live in memory;
        TooManyReports; BadReport for a result that cannot be kept. Called by the REST
        API.
        """

    # For add_task: the one entrance that the functions of the API share.

    def add_task(call, options, group=None):
        """Let a captured call join the current transaction; return the task's id.

        ``call``: a ``capture.call.Call``, ``options``: ``options.Options``,
        ``group``: the ``scheduling.groups.Group`` to which the task belongs.
        Raises as ``schedule`` does. Called by ``collective.background.api.scheduling``.
        """

    def add_group(group):
        """Let a ``scheduling.groups.Group`` join the current transaction.

        Nothing if it has done so. Raises NoTransaction. Called by
        ``collective.background.api.groups``.
        """

    def run_now(call, options, work, group=None):
        """Call ``work()`` in the current transaction; return a task's id.

        ``call``: what ``work`` does, as a ``capture.call.Call``. Meanwhile the
        task is the current one. Afterwards it has succeeded with what ``work``
        returned; it is forgotten if the transaction aborts. Raises what ``work``
        raises, and as ``schedule``; there is no task then.
        Called by ``collective.background.api.scheduling``.
        """

    def check_room():
        """Raise QueueFull or ShuttingDown if a task of the current user is refused.

        Nothing is reserved: the commit that schedules one may raise these as well.
        Called by the REST API, which does at once then what was to be done later.
        """

    # Records.

    def record(id):
        """Return the TaskRecord, or None. Consumes nothing."""

    def records(*, start=0, limit=50, **filters):
        """Return a list of TaskRecords, newest first.

        ``filters``: those of ``selection.Selection``, which can sort them, too.
        ``start`` records are left out, at most ``limit`` returned (None: all).
        What it costs does not grow with the number of tasks if they come newest
        first, and only states, user, site and queue are filters; or ``among``.
        """

    def count(**filters):
        """Return how many tasks there are, with the filters of ``records``."""

    def members(id):
        """Return the TaskRecords of all tasks of a group, and of those in it.

        In the order in which they were scheduled; none if there is no such group.
        """

    def users(id):
        """Return (user_id, user_path) of each user whose tasks a group has had.

        A set, empty if there is no such group. It does not look at the tasks.
        """

    def arguments(id):
        """Return (name, text) of each argument of the call, as a tuple.

        Without secrets, see ``capture/describing.py``. None if the task is not
        known.
        """

    # Control. It takes effect at once, whatever becomes of the transaction.

    def cancel(id):
        """Cancel the task and return its record.

        A waiting one is cancelled at once. A running one stops at its next
        cancellation point; until then it stays "running", with
        ``cancel_requested``. One that has ended is left as it is.
        """

    def retry(id):
        """Queue a failed, cancelled or lost task again and return its record.

        A batch goes on after its last committed chunk. Raises
        IllegalTransition in every other state, and when another unfinished task has
        its unique key; QueueFull, ShuttingDown.
        """

    def silence(user_id, user_path):
        """Let nobody hear of the end of the groups of a user: there are no callbacks.

        Their tasks go on.
        """

    def dismiss(id):
        """Its user does not want to see a task any more; return its record.

        It is there for managers as before. Raises IllegalTransition when it has not
        ended.
        """

    def pause(queue):
        """Start no more tasks of the queue. Raises BadOption if unknown."""

    def resume(queue):
        """Start tasks of the queue again. Raises BadOption if unknown."""

    def stack(id):
        """Return what a running task does: a Stack of its thread; None: not known.

        Of a task in another process it is that of when that was asked for last.
        """

    def ask_for_stack(id):
        """Let the process in which a task runs tell its ``stack``, once.

        It is there a moment later, if the task runs still.
        """

    def queues():
        """Return a list of QueueStatus, one for each queue there is."""

    def lines():
        """Return an ILines: where tasks stand that wait, as it is now."""

    def instances():
        """Return a list of InstanceStatus, one for each process that runs tasks.

        And for each that sends some to workers of Celery.
        """

    def wait(id, timeout):
        """Wait until the task has ended and return its record.

        ``timeout``: seconds. Raises WaitTimeout (a TimeoutError) after that,
        BadOption for what is no such number.
        For tests and scripts: never call it in a request, nor before commit.
        """

    def wait_all(timeout):
        """Wait until no task waits or runs. Raises WaitTimeout."""

    def drain(timeout=None):
        """Stop: take no more tasks, ask the running ones to stop, wait for them.

        ``timeout``: seconds, instead of the setting ``drain_timeout``. What has
        not ended by then, and what was still waiting, becomes "lost" and is
        logged. Called when the process ends.
        """


class ILines(Interface):
    """Where tasks stand that wait, and what runs. For one request: it looks once.

    What it costs does not grow with the number of tasks.
    """

    def is_paused(queue):
        """Whether nothing of a queue is to start now."""

    def is_executed(queue):
        """Whether a process has slots for tasks of a queue."""

    def is_cut_off(queue):
        """Whether its tasks go to workers of Celery, but the broker is away."""

    def running():
        """Return the ids of the tasks that run in a slot, a set.

        So without those of workers that are no Plone.
        """

    def standing(id):
        """Return the Standing of a task; None if it stands in no line.

        As one that has begun, is not known, or waits for its time or for other tasks.
        """


class ITaskEvent(Interface):
    """Something happened to a task.

    Subscribers run in the thread in which it happened, which for most is that of
    the task, outside of any site and connection; what they raise is logged and
    has no influence on the task.
    """

    record = Attribute("The TaskRecord as it was then.")


class ITaskScheduled(ITaskEvent):
    """A task is about to join the current transaction, which may still abort.

    Notified in the thread and in the transaction of the caller: an error of a
    subscriber reaches the caller of ``schedule()``, and nothing is scheduled.
    """


class ITaskStarted(ITaskEvent):
    """A thread begins to work on a task (once more, for a retry)."""


class ITaskRetrying(ITaskEvent):
    """An attempt was in vain, and the task waits for another one."""


class ITaskRequeued(ITaskEvent):
    """A failed, cancelled or lost task was queued again."""


class ITaskSucceeded(ITaskEvent):
    """A task has done its work, which is committed."""


class ITaskFailed(ITaskEvent):
    """A task has ended with an error, and nothing of its last transaction stays."""


class ITaskCancelled(ITaskEvent):
    """A task was cancelled, and has stopped if it was running."""


class ITaskLost(ITaskEvent):
    """The process is about to end before the task has."""


class IServingBegins(Interface):
    """This process begins to do what others have scheduled.

    For what a process has once: threads that tick, or look at databases. Notified
    by ``executing/serving.py``, in the main thread or in that of a request.
    """

    database = Attribute("The ZODB of Zope, a ZODB.DB.")
    executor = Attribute("The Executor of the process, see executing/executor.py.")


class IMetrics(Interface):
    """Counts the tasks of this process; a global utility.

    Thread-safe, and of the same size however many tasks there were.
    """

    def add(record):
        """Count that a task has reached the state of its TaskRecord.

        Called for every transition, by ``collective.background.telling.events``.
        """

    def snapshot():
        """Return a dictionary for each queue of the process, by its name.

        - ``slots``, ``running``, ``waiting``, ``paused``, ``sent``, ``cut_off``: as
          they are now, see QueueStatus
        - ``transitions``: how often tasks have reached a state, by state
        - ``wait``: until the first start; ``run``: from the start to the end of
          tasks that were started. Each has ``count``, ``sum`` in seconds, and
          ``buckets``: how many took at most so many seconds, by these
        """


class IProcessQueues(Interface):
    """Tells how the queues of this process are; a global utility.

    Asked by the metrics.
    """

    def __call__():
        """Return a list of QueueStatus, one for each queue.

        Of all sites and schedulers together: ``running`` are tasks in threads of this
        process, ``waiting`` those that it knows of, ``paused`` is true if the queue is
        paused for any of them. ``sent`` are those that it has sent.
        """


class IHistory(Interface):
    """Counts the tasks of this process by the time of day; a global utility.

    Thread-safe, and of the same size however many tasks there were.
    """

    def add(record):
        """Count that a task has reached the state of its TaskRecord.

        Called for every transition, by ``collective.background.telling.events``.
        """

    def periods(site_path, length, now):
        """Return a list of ``history.Period`` of a site, the oldest first.

        ``length``: ``history.MINUTE``, for those of the last hour, or
        ``history.HOUR``, for those of the last day. The one of the moment ``now``,
        an aware datetime, is the last.
        """


class IMessenger(Interface):
    """Sends messages to applications of Celery; a global utility."""

    def send(message):
        """Send an ``ExternalMessage`` of ``model/external.py``.

        Called in the thread of the task. Raises NotSent if it is not certain that the
        broker has it.
        """


class INotifier(Interface):
    """Tells a user that a task of his has ended; a global utility.

    Its name is the value of the option ``notify``. It is a function of a module, as
    every one that a task calls.
    """

    def __call__(record):
        """Tell the current user of the TaskRecord.

        Called as a task of its own, of the user whose task it was. Whatever it
        raises changes nothing of that one.
        """


class IRecurringTask(Interface):
    """A task that an add-on has registered to run again and again.

    A utility, whose name is that of the task.
    """

    name = Attribute("Unique, among all add-ons.")
    function = Attribute("What is called, without arguments.")
    schedule = Attribute("The moments at which it starts, see recurring/schedules.py.")
    user = Attribute("The id of the user that it runs as.")
    title = Attribute("For people; None: the name.")
    queue = Attribute("The name of the queue; None: as the function says.")
    add_on = Attribute(
        "The add-on that a site must have; None: the one that has the function."
    )
    callable = Attribute("The dotted name of the function.")

    def start():
        """Schedule it in the current transaction, and return the task's id.

        Raises as ``schedule`` does, BadOption if the site has no such user.
        """

    def belongs_to(site):
        """Whether it is to run in a site."""
