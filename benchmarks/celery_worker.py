"""A plain worker of Celery, whose tasks are in the same environment as ours.

Started by ``peer.py``, with the folder in which Celery is installed, that of an
instance, the address of the broker, and the number of threads.
"""

from benchmarks.cluster import SUCCEEDED
from benchmarks.instance import opened
from itertools import count
from pathlib import Path
from persistent import Persistent

import sys
import threading
import transaction


_number = count()
_local = threading.local()


class Mark(Persistent):
    """What a task writes: each thread has one of its own, so that none conflicts."""

    done = 0


def main(library, where, broker, slots):
    sys.path.append(library)
    with opened(Path(where)):
        from benchmarks.peer import TASK
        from celery import Celery
        from celery.signals import worker_ready

        _make_marks(int(slots))
        app = Celery(broker=broker)
        app.conf.task_ignore_result = True
        app.task(_run, name=TASK)
        worker_ready.connect(lambda **kw: _say("ready"), weak=False)
        app.worker_main(["worker", "--pool", "threads", "--concurrency", slots])


def _make_marks(number):
    import Zope2

    app = Zope2.app()
    app.Plone.marks_of_peer = [Mark() for _ in range(number)]
    transaction.commit()
    app._p_jar.close()


def _run():
    from benchmarks.site import enter
    from benchmarks.site import leave

    import Zope2

    if not hasattr(_local, "number"):
        _local.number = next(_number)
    app = Zope2.app()
    site = enter(app)
    try:
        marks = site.marks_of_peer
        marks[_local.number % len(marks)].done += 1
        transaction.commit()
    finally:
        leave(app)
    _say(SUCCEEDED)


def _say(text):
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
