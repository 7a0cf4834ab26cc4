"""Measures tasks that are kept in the database.

Started by ``make bench``, with the folder of an instance, the name of a storage, and
those of what is to be measured on it.
"""

from benchmarks.cluster import opened_cluster
from importlib import import_module

import sys


def main(where, storage, *parts):
    with opened_cluster(where, storage) as (cluster, folder):
        for part in parts:
            if part.startswith("--"):
                continue
            print(f"-- {part}, {storage}", flush=True)
            for row in import_module(f"benchmarks.{part}").measure(folder, cluster):
                print(row, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
