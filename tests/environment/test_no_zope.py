"""A process without Zope: the scheduler works, and the environment is empty."""

import json
import pytest
import subprocess
import sys


PROGRAM = """
from collective.background import get_scheduler
from collective.background import schedule
from collective.background.interfaces import ITransactionalScheduler
from collective.background.memory.scheduler import TransactionalScheduler
from zope.component import provideUtility
from zope.component.hooks import getSite
from zope.globalrequest import getRequest

import json
import threading
import transaction


def look():
    return threading.current_thread().name, getSite(), getRequest()


provideUtility(TransactionalScheduler(), ITransactionalScheduler)
task_id = schedule(look)
transaction.commit()
record = get_scheduler().wait(task_id, 60)
result, exception = get_scheduler().get_result(task_id)
print(json.dumps([task_id, record.state, record.user_id, *result]))
"""


@pytest.mark.slow
def test_without_zope():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    task_id, state, user_id, thread, site, request = json.loads(done.stdout)
    assert (state, user_id) == ("succeeded", None)
    assert thread == f"background-default-{task_id}"
    assert (site, request) == (None, None)
