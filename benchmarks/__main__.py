"""Measures everything, and prints a table."""

from benchmarks.instance import instance
from benchmarks.instance import server

import logging
import platform
import tracemalloc


def main():
    print("Creating a site ...", flush=True)
    with instance() as application, server(application) as port:
        from benchmarks import growth
        from benchmarks import politeness
        from benchmarks import scheduling
        from benchmarks import views
        from benchmarks import watching
        from benchmarks.site import as_editor

        # A log on a terminal costs more than a task.
        logging.disable(logging.WARNING)
        print(f"Medians; Python {platform.python_version()}", flush=True)
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


main()
