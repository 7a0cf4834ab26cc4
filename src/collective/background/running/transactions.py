"""The transaction of one attempt, and what follows its commit."""

from collective.background.zopecompat import has_transaction
from dm.zodb.asynchronous.zope2 import TransactionManager
from transaction.interfaces import IDataManagerSavepoint
from zope.event import notify
from zope.interface import implementer
from ZPublisher.pubevents import PubSuccess

import logging
import transaction


logger = logging.getLogger(__name__)


class TaskTransactionManager(TransactionManager):
    """Runs a function in a transaction that notes the task's user and title.

    A decorator for functions whose first argument is an Execution. Beginning,
    noting, committing and aborting are those of dm.zodb.asynchronous; so
    functions with its ``transactional`` decorator take part in the transaction
    of the task that calls them. Repeating an attempt is not its business here:
    that needs a new environment, see ``runner.py``.
    """

    retry_number = 0

    def get_description(self, f, args, kw):
        return args[0].title


transactional = TaskTransactionManager()


@implementer(IDataManagerSavepoint)
class CommitWatch:
    """Notes how far the commit of an attempt has come.

    It is the last of the data managers: when it is asked, all others have voted, or
    have finished.

    - ``voted``: whatever is raised from then on, the work may be committed
    - ``finished``: it is committed; what is raised then comes too late
    - ``package``: the Package of the result, once there is one
    """

    transaction_manager = transaction.manager
    voted = finished = False
    package = None

    def join(self, package):
        """Take part in the current transaction, which is about to be committed."""
        self.package = package
        transaction.get().join(self)

    def sortKey(self):
        return "~~~collective.background"

    def tpc_vote(self, transaction):
        self.voted = True

    def tpc_finish(self, transaction):
        self.finished = True

    def savepoint(self):
        return self

    def rollback(self):
        """There is nothing to undo, here and below."""

    def abort(self, transaction):
        """See ``rollback``."""

    tpc_begin = commit = tpc_abort = abort


def follow_up(request):
    """Do what Plone does after a successful request, such as purging caches.

    ``request``: that of an attempt that is committed, in whose environment this is
    called. What the subscribers change they have to commit; the rest is aborted.
    """
    try:
        try:
            notify(PubSuccess(request))
        finally:
            if has_transaction():
                transaction.abort()
    except BaseException:  # whatever it is: the work is committed
        logger.exception("what follows a commit has failed")
