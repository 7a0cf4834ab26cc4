"""Health: whether this process lives, and whether it does its work.

As probes ask for it: who is not alive has to be started again; who is not ready is not
sent any work, or is waited for in an update. Both look at nothing but the memory of the
process, so they answer at once whatever the database does.
"""

from collective.background.executing.deployment import foreign_sites
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
    """Return whether the process can do its work, and a text that says why not.

    A site of another deployment is no reason, as its pages can be visited; the text
    says that nothing runs for it. Nor is a broker that is away.
    """
    executor = process_executor()
    troubles = executor.troubles()
    if troubles:
        return False, "; ".join(troubles)
    notes = [
        f"nothing runs for {path}, which belongs to the deployment {name!r}"
        for path, name in sorted(foreign_sites().items())
    ]
    if executor.relay is not None and executor.relay.is_cut_off:
        notes.append("the broker is away: what is for workers of Celery waits")
    return True, "; ".join(["ready", *notes])
