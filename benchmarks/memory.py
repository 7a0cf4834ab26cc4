"""Measures tasks in memory, and what all sites have: pages, polls, environments.

Started by ``make bench``, with the folder of an instance.
"""

from benchmarks.instance import opened
from benchmarks.instance import server
from pathlib import Path

import logging
import sys
import tracemalloc


def main(where, *options):
    with opened(Path(where)) as application, server(application) as port:
        from benchmarks import growth
        from benchmarks import politeness
        from benchmarks import scheduling
        from benchmarks import views
        from benchmarks import watching
        from benchmarks.site import as_editor

        # A log on a terminal costs more than a task.
        logging.disable(logging.WARNING)
        with as_editor() as site:
            show(scheduling.measure(site))
            show(views.measure(site, port))
            show(politeness.measure(port))
            show(watching.measure(site, port))
            show(growth.measure(site))
            tracemalloc.start()
            show(growth.measure_memory(site))


def show(rows):
    for row in rows:
        print(row, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
