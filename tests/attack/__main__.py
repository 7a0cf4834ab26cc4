"""``python -m attack``, with the folder ``tests`` on the path."""

from argparse import ArgumentParser
from attack.run import attack
from instances import Instance
from instances import make_instance
from instances import make_site
from pathlib import Path
from tempfile import TemporaryDirectory

import os
import signal
import sys


def main():
    """Return the status with which the process ends."""
    parser = ArgumentParser(prog="attack", description="One member against a site.")
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument(
        "--size", type=int, default=100_000_000, help="bytes of the largest body"
    )
    parser.add_argument("--max-bytes", type=int, default=256_000_000)
    arguments = vars(parser.parse_args())
    # So that no process is left behind.
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
    with TemporaryDirectory(prefix="attack-") as name:
        folder, files = Path(name, "instance"), Path(name, "files")
        files.mkdir()
        make_instance(folder)
        make_site(folder)
        os.environ["TMPDIR"] = str(files)
        server = Instance(folder, max_bytes=arguments["max_bytes"])
        try:
            wrong = attack(server.serves(), files, **arguments)
        finally:
            server.kill()
    print("\n".join(wrong) or "The site has withstood the attack.")
    return 1 if wrong else 0


sys.exit(main())
