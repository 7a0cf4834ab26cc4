"""``python -m soak``, with the folder ``tests`` on the path."""

from argparse import ArgumentParser
from clusters import STORAGES
from pathlib import Path
from soak.run import soak
from tempfile import mkdtemp

import secrets
import shutil
import signal
import sys


def main():
    """Return the status with which the process ends."""
    parser = ArgumentParser(prog="soak", description="Faults at random, and checks.")
    storages = [name for name in STORAGES if name != "sqlite"]
    parser.add_argument("--storage", choices=storages, default="zeo")
    parser.add_argument(
        "--seconds", type=int, default=60, help="how long faults happen"
    )
    parser.add_argument("--tasks", type=int, default=500, help="meanwhile")
    parser.add_argument(
        "--pool", choices=("prefork", "threads"), help="Celery's; it executes then"
    )
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    arguments = parser.parse_args()
    # So that no process is left behind.
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
    folder = Path(mkdtemp(prefix="soak-"))
    has_passed = False
    try:
        has_passed = not soak(**vars(arguments), folder=folder)
    finally:
        if has_passed:
            shutil.rmtree(folder)
        else:
            print(f"The logs of all instances are in {folder / 'logs'}")
    return 0 if has_passed else 1


sys.exit(main())
