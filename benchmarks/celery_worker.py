"""A plain worker of Celery, whose tasks are in the same environment as ours.

Started by ``peer.py``, with the folder of an instance, the address of the broker, the
number of slots, and the pool.
"""

from benchmarks.cluster import SUCCEEDED
from benchmarks.instance import opened
from celery import Celery
from celery.signals import worker_process_init
from celery.signals import worker_ready
from contextlib import ExitStack
from pathlib import Path

import sys
import transaction


def main(where, broker, slots, pool):
    with ExitStack() as stack:

        def open_database(**ignored):
            stack.enter_context(opened(Path(where)))
            _say("open")

        if pool == "prefork":
            # After the fork, as no connection can be shared.
            worker_process_init.connect(open_database, weak=False)
        else:
            open_database()
        worker_ready.connect(lambda **ignored: _say("ready"), weak=False)
        app = Celery(broker=broker)
        app.conf.update(
            task_ignore_result=True,
            worker_proc_alive_timeout=120,
            worker_redirect_stdouts=False,
        )
        app.task(_run, name="count")
        app.worker_main(["worker", "--pool", pool, "--concurrency", slots])


def _run(number):
    from benchmarks.site import enter
    from benchmarks.site import leave
    from instance_probe.costs import count

    import Zope2

    app = Zope2.app()
    site = enter(app)
    try:
        count(site, number)
        transaction.commit()
    finally:
        leave(app)
    _say(SUCCEEDED)


def _say(text):
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
