"""Every error that the package raises on its own account.

A message says what was wrong, with which value, and what to do. Those raised
by ``schedule()`` reach the caller before anything was recorded; the others end
up in a task's record.

What ends a task has a ``public`` text, which is what its user is told, where there is
one for him. Of all other exceptions he is told that an error has happened.
"""

from decimal import Decimal
from math import isfinite
from math import nan
from numbers import Real
from transaction.interfaces import TransientError
from zope.i18n import translate
from zope.i18nmessageid import MessageFactory


_ = MessageFactory("collective.background")


class BackgroundError(Exception):
    """The base of all errors of the package.

    ``public``: a text (which may be a Message) for the user of the task that it has
    ended; "": the state of the task says it all; None: it is not for him.
    """

    public = None

    def __reduce__(self):
        return load_error, (type(self), self.args, vars(self))


def load_error(cls, args, attributes):
    """Return an error as it was; called by pickle, under this very name.

    Without its ``__init__``, which another release may call with other arguments.
    """
    error = cls.__new__(cls, *args)
    vars(error).update(attributes)
    return error


# Raised while scheduling.


class BadOption(BackgroundError, ValueError):
    """An option, setting or argument has a value that cannot be used."""


class UnknownOption(BackgroundError, TypeError):
    """An option that does not exist."""


class BadCall(BackgroundError, TypeError):
    """What was scheduled cannot be called, or not with these arguments."""


class NotPortable(BackgroundError, TypeError):
    """Something cannot be carried from one thread to another."""


class NoTransaction(BackgroundError, RuntimeError):
    """The current transaction no longer takes part in a commit."""


class Unavailable(BackgroundError):
    """No more tasks are taken for the moment; the transaction is refused.

    Over HTTP that is 503 with ``Retry-After``. ``retry_after``: when to try again, as
    whole seconds.
    """

    retry_after = 10


class QueueFull(Unavailable):
    """The waiting room is full; the transaction is refused."""


class UniqueConflict(BackgroundError, TransientError):
    """Another transaction has just scheduled a task with the same unique key.

    A transient error: the publisher repeats the request, which then finds the
    other task.
    """


class ShuttingDown(Unavailable):
    """The process is about to stop and takes no more tasks."""


class AlreadyInBackground(BackgroundError, RuntimeError):
    """A request that is that of a task already is not to become another one."""


# Raised by the scheduler's other calls.


class TaskNotFound(BackgroundError, LookupError):
    """No task has this id, or it is not the caller's to see."""


class BadReport(BackgroundError, ValueError):
    """A worker elsewhere has reported something that cannot be understood."""


class TooManyReports(BackgroundError):
    """A worker elsewhere reports more often than it may."""


class IllegalTransition(BackgroundError):
    """A task cannot go from the state it is in to the one asked for."""


class TasksUnfinished(BackgroundError):
    """A scheduler cannot be taken away: some of its tasks have not ended."""


class NoDeployment(BackgroundError):
    """This process is part of no deployment to which a site could belong."""


class NotCommitted(BackgroundError):
    """Somebody waits for tasks whose transaction is not committed yet."""


class WaitTimeout(BackgroundError, TimeoutError):
    """A task did not end within the time that somebody waited for it."""


class Unreachable(BackgroundError):
    """The tasks of a site cannot be reached from this process."""


# Found in what a broker has sent.


class BadMessage(BackgroundError, ValueError):
    """A message of a broker that is none of this package, or was changed."""


# Raised by the code of tasks.


class TaskFailed(BackgroundError):
    """Raised inside a task to let it fail, with a text for its user.

    ``text``: shown as it is, a Message in the language of whoever reads it. What the
    attempt has done is undone. It is not tried again, whatever ``retries`` says, unless
    ``retry_on`` names this class or one derived from it: what a person has to put right
    stays wrong.
    """

    def __init__(self, text):
        super().__init__(text)

    @property
    def public(self):
        return self.args[0]

    def __str__(self):
        return str(translate(self.public))


class Retry(BackgroundError):
    """Raised inside a task to be tried again, whatever ``retries`` says.

    ``delay``: seconds until then; None: as ``backoff`` says. ``reason``: for the
    record. What the attempt has done is undone.
    """

    delay = None

    def __init__(self, reason="", delay=None):
        if not isinstance(reason, str):
            raise BadOption(
                f"reason is {reason!r}; it must be a text (a delay has its name, as "
                "in Retry(delay=60))"
            )
        seconds = None if delay is None else _seconds(delay)
        super().__init__(str.__str__(reason), seconds)
        self.delay = seconds

    def __str__(self):
        return self.args[0] or "the task has asked for another attempt"


LONGEST_DELAY = 1e18  # seconds; as of the option ``delay``


def _seconds(delay):
    """Return a float of a number of any class. Raises BadOption."""
    if isinstance(delay, Real | Decimal) and not isinstance(delay, bool):
        try:
            seconds = float(delay)
        except (OverflowError, ValueError):  # too large, or a NaN that signals
            seconds = nan
        if isfinite(seconds) and 0 <= seconds <= LONGEST_DELAY:
            return seconds
    raise BadOption(
        f"delay is {delay!r}; it must be seconds, from 0 to {LONGEST_DELAY:.0e}"
    )


# Found in the records of tasks.


class EnvironmentFailed(BackgroundError):
    """Something of the original environment could not be rebuilt."""


class SiteGone(EnvironmentFailed):
    """The site was deleted, renamed or moved after the task was scheduled."""

    public = _("The site does not exist any more, or has another address.")


class UserGone(EnvironmentFailed):
    """The user was deleted or locked out after the task was scheduled."""

    public = _("The user of the task is not known any more.")


class ReferenceGone(EnvironmentFailed):
    """An object that the task refers to no longer exists."""

    public = _("Something that the task works on does not exist any more.")


class ResultGone(BackgroundError):
    """What a task did was undone in the database, and its result with it."""

    public = _("What the task has done was undone.")


class ResponseFailed(BackgroundError):
    """A REST service or an HTTP server answered with a status of 400 or more.

    ``status`` is that status, an int.
    """

    status = None
    public = _("The answer was an error.")

    def __init__(self, message, status):
        super().__init__(message, status)
        self.status = status

    def __str__(self):
        return self.args[0]


class NoResponse(BackgroundError):
    """A web server could not be reached, or did not answer in time."""

    public = _("The other server has not answered.")


class NotSent(BackgroundError):
    """A message could not be given to the broker."""


class ExternalFailed(BackgroundError):
    """A worker elsewhere has reported that the task has failed.

    ``message``: for managers; ``public``: for the user of the task, or None.
    """

    def __init__(self, message, public=None):
        super().__init__(message)
        self.public = public


class MailRefused(BackgroundError):
    """The mail server has refused a mail for good."""


class BatchFailed(BackgroundError):
    """Every item of a batch failed."""

    public = _("It went wrong for every single item.")


class TaskCancelled(BackgroundError):
    """The task was cancelled before it had finished."""

    public = ""


class PredecessorFailed(TaskCancelled):
    """The task was cancelled since one after which it was to start has not succeeded.

    Nobody has wanted that, so it is told as a failure is.
    """

    public = _("Another task, which has to succeed before, has not.")


class GroupFailed(BackgroundError):
    """Not all tasks of a group have succeeded."""


class TooLate(BackgroundError):
    """The task could not begin in the time of its ``begin_by``; it has done nothing."""

    public = _("It could not begin in time.")


class TaskTimedOut(BackgroundError):
    """The task has run for longer than its ``timeout``."""

    public = _("It took longer than it may.")


class TaskLost(BackgroundError):
    """The process ended before the task had."""

    public = _("The server was stopped before the task had ended.")


class TaskKilled(TaskLost):
    """The process was ended, as the task ran for longer than its ``hard_timeout``."""

    public = _("It took longer than it may.")


class WorkerSilent(TaskLost):
    """Nothing was heard of the worker elsewhere that has the task."""

    public = _("Nothing is heard any more of the program that works on it.")


class Superseded(BackgroundError):
    """The task is not this instance's any more: another one has taken it over.

    Ends the run at once; no record has it.
    """


class CommitInDoubt(BackgroundError):
    """The database went away while the work was committed.

    So it may have been done. It is not done again by itself: look, and retry the task
    if it was not.
    """

    public = _(
        "The database went away at the very end, so it may have been done. Look, and "
        "try it again if it was not."
    )


class ReplacedError(BackgroundError):
    """Stands for an exception that cannot leave the thread in which it was raised.

    Its text has the type and the message of the original.
    """
