"""How fast it is, beside what people use today. Run with ``make bench``."""

from pathlib import Path

import sys


# The modules with which the tests start processes.
sys.path.append(str(Path(__file__).parent.parent / "tests"))
