"""Health: whether this process lives, and whether it does its work.

As probes ask for it: who is not alive has to be started again; who is not ready is not
sent any work, or is waited for in an update. Both look at nothing but the memory of the
process, so they answer at once whatever the database does.
"""

from collective.background.executing.executor import process_executor


def live():
    """Return whether a new start is not needed, and a text that says why.

    While the database is away it is not: the process goes on by itself.
    """
    dead = process_executor().dead()
    if dead:
        return False, f"threads have ended that must not: {', '.join(dead)}"
    return True, "alive"


def ready():
    """Return whether the process executes tasks, and a text that says why not."""
    troubles = process_executor().troubles()
    return not troubles, "; ".join(troubles) or "ready"
