"""What tasks in memory keep: how many bytes, in all and of each user.

In memory and on disk: arguments, forms, uploads, bodies, headers, results, errors,
messages and logs. Plain data, changed under the scheduler's lock only.
"""

from collections import Counter
from collections import defaultdict
from collections import OrderedDict
from collective.background.exceptions import QueueFull
from collective.background.memory.room import user_of
from collective.background.model import states
from collective.background.model.config import share_of
from itertools import chain
from types import MappingProxyType


NOTHING = MappingProxyType({})  # one for all

_ALL = object()  # instead of a user


class Weight:
    """How many bytes the tasks keep. What several of a user share counts once.

    ``whole``: in all. Each task has what was counted of it: ``weighed``.
    """

    def __init__(self):
        self.whole = 0
        self._users = Counter()
        self._bound = set()  # users who have scheduled for themselves, with a share
        self._holders = Counter()  # by user and content: how many tasks have it
        # Ids of those that have ended, by user, the oldest first.
        self._ended = defaultdict(OrderedDict)

    def note(self, task):
        """A task keeps what it has now, and nothing else any more."""
        self.forget(task)
        user = user_of(task)
        if task.state in states.FINISHED:
            self._ended[user][task.id] = None
        if task.is_bound and task.options.user is None:
            self._bound.add(user)
        task.weighed = own, contents = _weigh(task)
        self._add(user, own)
        for key, size in contents:
            if not self._holders[user, key]:
                self._add(user, size)
            self._holders[user, key] += 1

    def forget(self, task):
        """A task keeps nothing any more, if it did. Called before others may do so."""
        if task.weighed is None:
            return
        user = user_of(task)
        (own, contents), task.weighed = task.weighed, None
        self._add(user, -own)
        for key, size in contents:
            self._holders[user, key] -= 1
            if not self._holders[user, key]:
                del self._holders[user, key]
                self._add(user, -size)
        self._ended[user].pop(task.id, None)
        if not self._ended[user]:
            del self._ended[user]

    def is_known_as_bound(self, task):
        """Whether a task is of who has scheduled it, and he keeps some with a share."""
        return task.options.user is None and user_of(task) in self._bound

    def next_to_go(self, task, ended, settings):
        """Return the id of what is to be forgotten for the sake of a task, or None.

        Of its user, if that keeps too much, or of anybody, if all do. Never itself, for
        whose end somebody waits. ``ended``: ids of all that have ended, the oldest
        first; ``settings``: the Settings of the process.
        """
        over = []
        if self._is_too_much_for_one(task, settings):
            over.append(self._ended.get(user_of(task), ()))
        if self.whole > settings.max_bytes:
            over.append(ended)
        return next((id for id in chain(*over) if id != task.id), None)

    def first_of_many(self, task, share):
        """Return the id of the oldest task of the user of ``task`` that has ended.

        None if he has not more than his share of them, or is not bound by one.
        """
        of_user = self._ended.get(user_of(task), ())
        is_over = task.is_bound and len(of_user) > share
        return next(iter(of_user)) if is_over else None

    def check(self, task, settings):
        """Raise QueueFull if a task is too much for its user, or for all."""
        most, whose = settings.max_bytes, "all tasks"
        if self._is_too_much_for_one(task, settings):
            most, whose = share_of(most), "the tasks of one user, a quarter of it"
        elif self.whole <= most:
            return
        raise QueueFull(
            f"'max_bytes' allows {most} bytes for {whose}, in memory and on disk, and "
            f"with {task.plain_title!r} it would be more, so that was refused; try "
            "again later"
        )

    def _is_too_much_for_one(self, task, settings):
        share = share_of(settings.max_bytes)
        return task.is_bound and self._users[user_of(task)] > share

    def _add(self, user, size):
        self.whole += size
        self._users[user] += size
        if not self._users[user]:
            del self._users[user]
            self._bound.discard(user)


def _weigh(task):
    """Return how many bytes a task has that no other one has, and its contents.

    The latter as pairs of what tells one from others as long as it is there, and size.
    """
    packages = list(_packages(task))
    own = sum(len(package.data) for package in packages)
    own += sum(map(len, _texts(task)))
    spools = [spool for package in packages for spool in package.spools]
    if task.call.view is not None:
        spools.append(task.call.view.body)
    contents = {}
    for spool in spools:
        spool = getattr(spool, "spool", spool)  # that of an upload
        contents[id(spool.content)] = spool.size
    return own, tuple(contents.items())


def _packages(task):
    """Yield all that a task has packed."""
    calls = (task.call, *chain.from_iterable(task.callbacks.values()))
    found = [package for call in calls for package in (call.package, *call.items)]
    found += [task.result, task.exception]
    if task.snapshot.request is not None:
        found.append(task.snapshot.request.form)
    return chain.from_iterable(package.nested() for package in found if package)


def _texts(task):
    """Yield what a visitor has sent besides the form, and what the task has told."""
    request, view = task.snapshot.request, task.call.view
    if request is not None:
        yield from (request.url, request.actual_url)
        yield from (*request.headers.values(), *request.cookies.values())
    if view is not None:
        yield from (view.query, *view.headers.values())
    yield from tuple(task.log)  # its thread may be alive yet
    yield from (message.text for message in task.messages)
    errors = [failure.error for failure in task.batch_failures]
    errors += [attempt.error for attempt in task.timeline]
    for error in filter(None, [*errors, task.error]):
        yield from (error.message, error.traceback)
