"""The transaction of one attempt."""

from dm.zodb.asynchronous.zope2 import TransactionManager


class TaskTransactionManager(TransactionManager):
    """Runs a function in a transaction that notes the task's user and title.

    A decorator for functions whose first argument is an Execution. Beginning,
    noting, committing and aborting are those of dm.zodb.asynchronous; so
    functions with its ``transactional`` decorator take part in the transaction
    of the task that calls them. Repeating an attempt is not its business here:
    that needs a new environment, see ``runner.py``.
    """

    retry_number = 0

    # Of the runner's repetitions.
    retry_initial_delay = 0.2  # seconds
    retry_longest_delay = 5.0

    def get_description(self, f, args, kw):
        return args[0].title


transactional = TaskTransactionManager()
