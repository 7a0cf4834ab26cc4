"""The exit of a process whose tasks have not ended, without Zope."""

from processes import run

import sys


PROGRAM = """
from collective.background import using
from collective.background.interfaces import ITransactionalScheduler
from collective.background.memory.scheduler import TransactionalScheduler
from threading import enumerate as alive_threads
from threading import Thread
from zope.component import provideUtility

import sys
import transaction


def wait_for_dispatcher():
    for thread in alive_threads():
        if thread.name == "background-dispatcher":
            thread.join()


provideUtility(TransactionalScheduler(), ITransactionalScheduler)
for number in range(200):
    using(title=f"task {number}").schedule(int)
transaction.commit()
# The interpreter waits for such a thread, and from Python 3.12 on it starts no other
# ones meanwhile.
Thread(target=wait_for_dispatcher).start()
"""


def test_what_does_not_begin_any_more_is_lost_and_has_not_failed():
    # The dispatcher waits for what is to be forgotten later.
    done = run(sys.executable, "-c", PROGRAM, settings={"keep": 0})
    assert "no thread could be started" not in done.stderr
    assert (": lost" in done.stderr) == (sys.version_info >= (3, 12))
