"""Joining a transaction: what is to happen if it commits, and if it does not."""

from collective.background.exceptions import NoTransaction
from collective.background.scheduling.tokens import check_token
from itertools import count
from transaction.interfaces import IDataManager
from transaction.interfaces import IDataManagerSavepoint
from zope.interface import implementer
from ZPublisher.interfaces import IPubBeforeCommit

import logging
import transaction


logger = logging.getLogger(__name__)

# After the databases, and after zope.sqlalchemy's "~sqlalchemy": a task must
# find all that was committed. Sort keys are compared as texts, hence the zeros.
SORT_KEY = "~~collective.background:{:012d}"
_counter = count()


def join_transaction(reserve, finish, forget):
    """Take part in the current transaction.

    - ``reserve()`` is called when it begins to commit, before anybody has
      voted, and may raise an exception to refuse
    - ``finish()`` when it is committed
    - ``forget()`` when it was aborted, or a savepoint taken before was rolled
      back; also after ``reserve``, but never after ``finish``

    Raises NoTransaction when it is too late, as in an after-commit hook.
    """
    _join(_DataManager(reserve, finish, forget))


def join_as_write(reserve, finish, forget, title=None):
    """The same for what a browser's request may only do with a token, like any write.

    When it begins to commit, that may be refused as by ``check_token()``. ``title``: of
    what is scheduled with it, if anything is.
    """

    def reserve_with_token():
        check_token()
        reserve()

    manager = _DataManager(reserve_with_token, finish, forget, title)
    _join(manager)
    _writes().append(manager)


def scheduled_here():
    """Return the titles of what the current transaction has scheduled, as a list.

    Without what was undone with a savepoint. It waits for the commit.
    """
    titles = [manager.title for manager in _writes() if not manager.has_ended]
    return [title for title in titles if title is not None]


def check_before_commit(event):
    """Refuse a request that is about to commit, if it needs a token; see there.

    A subscriber to all events of the publisher: these are called before those to a
    single kind, so before plone.protect, of whose refusal nobody would be told.
    """
    if IPubBeforeCommit.providedBy(event) and any(
        not manager.has_ended for manager in _writes()
    ):
        check_token()


def _join(manager):
    current = transaction.get()
    try:
        current.join(manager)
    except ValueError as error:
        raise NoTransaction(
            f"the current transaction has the status {current.status!r}, so "
            "it is too late to schedule something; an after-commit hook has to "
            "begin a transaction of its own, and to commit it"
        ) from error


def _writes():
    """Return the data managers of what the current transaction writes, a list."""
    current = transaction.get()
    try:
        return current.data(join_as_write)
    except KeyError:
        writes = []
        current.set_data(join_as_write, writes)
        return writes


@implementer(IDataManager, IDataManagerSavepoint)
class _DataManager:
    """One for each task, so that savepoints are simple.

    Those taken before it joined call ``abort`` when they are rolled back; those
    taken after have nothing to do.
    """

    transaction_manager = transaction.manager

    def __init__(self, reserve, finish, forget, title=None):
        self.title = title
        self.has_ended = False
        self._reserve = reserve
        self._finish = finish
        self._forget = forget
        self._key = SORT_KEY.format(next(_counter))

    def sortKey(self):
        return self._key

    def savepoint(self):
        return self

    def rollback(self):
        """Nothing has changed since the savepoint was taken."""

    def tpc_begin(self, transaction):
        """Nothing to prepare."""

    def commit(self, transaction):
        # Not in tpc_vote: zope.sqlalchemy commits there, before us.
        self._reserve()

    def tpc_vote(self, transaction):
        """All that could be refused was refused in ``commit``."""

    def tpc_finish(self, transaction):
        self.has_ended = True
        try:
            self._finish()
        except Exception:  # this must not fail: the others have committed
            logger.critical("the commit could not be followed up", exc_info=True)

    def abort(self, transaction):
        # Called more than once, and even after tpc_finish.
        if not self.has_ended:
            self.has_ended = True
            self._forget()

    tpc_abort = abort
