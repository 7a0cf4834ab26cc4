"""A ZEO server with a clock of its own: ``zeo_server.py SECONDS -C FILE``.

It is so many seconds ahead of that of the machine.
"""

from time import time as right_time
from ZEO.runzeo import main

import sys
import time


seconds = float(sys.argv.pop(1))
time.time = lambda: right_time() + seconds
main()
