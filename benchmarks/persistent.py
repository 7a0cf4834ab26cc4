"""Measures tasks that are kept in the database, and prints a table.

Run by ``make bench``. The database is on a ZEO server, with a site in which the
persistent scheduler is installed. This process only schedules; workers and the web
server are processes of their own.
"""

from benchmarks.instance import create_site
from benchmarks.instance import opened
from clusters import Cluster
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import logging
import platform
import transaction


def main():
    print("Creating a site ...", flush=True)
    with TemporaryDirectory() as folder:
        data = create_site(folder) / "var"
        with (
            closing(Cluster(Path(folder), data, "zeo")) as cluster,
            opened(cluster.folder("client")),
        ):
            logging.disable(logging.WARNING)
            print(f"Medians; Python {platform.python_version()}", flush=True)
            for row in measure(cluster):
                print(row, flush=True)


def measure(cluster):
    from benchmarks.site import as_editor
    from benchmarks.storing import measure as storing
    from benchmarks.working import measure as working
    from collective.background.database.installing import install

    with as_editor() as site:
        install(site)
        transaction.commit()
    with as_editor() as site:
        yield from storing(site.countries)
        yield from working(site.countries, cluster)


if __name__ == "__main__":
    main()
