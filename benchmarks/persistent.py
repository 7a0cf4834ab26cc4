"""Measures tasks that are kept in the database.

Started by ``make bench``, with the folder of an instance. The database is on a ZEO
server, with a copy of its site, in which the persistent scheduler is installed. This
process only schedules; workers and the web server are processes of their own.
"""

from benchmarks.instance import opened
from clusters import Cluster
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import logging
import sys
import transaction


def main(where, *options):
    with (
        TemporaryDirectory() as folder,
        closing(Cluster(Path(folder), Path(where) / "var", "zeo")) as cluster,
        opened(cluster.folder("client")),
    ):
        logging.disable(logging.WARNING)
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
    main(*sys.argv[1:])
