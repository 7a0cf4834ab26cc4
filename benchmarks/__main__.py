"""Measures everything, and prints a table. ``--quick``: only to see that it runs.

``--only conflicts,backlog``: only these parts, see ``PARTS``. What is measured on one
database is a process of its own, as a process opens one.
"""

from argparse import ArgumentParser
from benchmarks.instance import create_site
from benchmarks.instance import ROOT
from tempfile import TemporaryDirectory

import platform
import subprocess
import sys


# Names of parts, by the module that measures them, and the storage if it uses several.
PARTS = {
    ("benchmarks.memory",): ("memory",),
    ("benchmarks.persistent", "zeo"): (
        "storing",
        "working",
        "throughput",
        "distributed",
        "conflicts",
        "backlog",
    ),
    ("benchmarks.persistent", "postgresql"): ("throughput",),
}
NAMES = ["memory", *PARTS["benchmarks.persistent", "zeo"], "postgresql"]


def main():
    parser = ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--quick", action="store_true", help="see that it runs")
    parser.add_argument("--only", metavar="PARTS", help=f"of {','.join(NAMES)}")
    options = parser.parse_args()
    only = options.only.split(",") if options.only else NAMES
    if unknown := set(only) - set(NAMES):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    print("Creating a site ...", flush=True)
    with TemporaryDirectory() as folder:
        where = create_site(folder)
        print(f"Medians; Python {platform.python_version()}", flush=True)
        for (module, *storage), names in PARTS.items():
            if "postgresql" in storage:
                parts = names if "postgresql" in only else ()
            else:
                parts = [name for name in names if name in only]
            if parts:
                quick = ["--quick"] if options.quick else []
                _measure(module, where, *storage, *parts, *quick)


def _measure(module, *arguments):
    command = [sys.executable, "-m", module, *arguments]
    if subprocess.run(command, cwd=ROOT).returncode:
        raise SystemExit(f"{module} has ended with an error")


main()
