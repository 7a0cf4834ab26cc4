"""Measures everything, and prints a table. ``--quick``: only to see that it runs.

A part of it is a process of its own, as a process opens one database.
"""

from benchmarks.instance import create_site
from benchmarks.instance import ROOT
from tempfile import TemporaryDirectory

import platform
import subprocess
import sys


PARTS = ("benchmarks.memory", "benchmarks.persistent")


def main(*options):
    print("Creating a site ...", flush=True)
    with TemporaryDirectory() as folder:
        where = create_site(folder)
        print(f"Medians; Python {platform.python_version()}", flush=True)
        for part in PARTS:
            command = [sys.executable, "-m", part, where, *options]
            if subprocess.run(command, cwd=ROOT).returncode:
                raise SystemExit(f"{part} has ended with an error")


main(*sys.argv[1:])
