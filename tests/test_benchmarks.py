"""The benchmarks run to their end."""

from helpers import needed
from pathlib import Path
from processes import run

import pytest
import shutil
import sys


ROOT = Path(__file__).parent.parent

# One of each of their modules, beside the site and the instances that they start.
ROWS = (
    "schedule() and commit ",
    "schedule_view() until the result",
    "a page beside 4 impolite tasks",
    "viewlet of a page, ",
    "a poll, ",
    "control panel, ",
    "a task, ",
    "a finished record",
    "schedule() and commit, in the database",
    "a page beside a worker ",
    "4 small tasks, 2 workers",
    "10 increments, 2 workers",
    "a chain of ",
)
# PostgreSQL is measured by what ZEO is.
PARTS = "memory,storing,working,throughput,conflicts,backlog"


CELERY = "4 small tasks, threads, rerun"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parts", "rows"), [(PARTS, ROWS), ("distributed", [CELERY])], ids=["all", "celery"]
)
def test_each_benchmark_runs_to_its_end(parts, rows):
    """With few rounds: what they say then means nothing."""
    if rows == [CELERY]:
        needed(shutil.which("redis-server"), "redis-server")
    options = ("--quick", "--only", parts)
    done = run(sys.executable, "-m", "benchmarks", *options, cwd=ROOT, timeout=580)
    for row in rows:
        assert row in done.stdout
    assert "Traceback" not in done.stderr
