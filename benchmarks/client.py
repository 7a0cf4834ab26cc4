"""A visitor, in a process of its own: what it computes must not slow the site down.

Started by ``politeness.py``. Each line of the input is how many pages to get;
each line of the output is the median of the times that this took, in milliseconds.
"""

from benchmarks.instance import get
from benchmarks.measure import timed
from random import uniform
from statistics import median
from time import sleep

import requests
import sys


PAUSE = 0.04  # seconds between two pages, at the most


def main(url):
    session = requests.Session()
    for line in sys.stdin:
        print(median(visit(session, url) for _ in range(int(line))), flush=True)


def visit(session, url):
    # So the page does not always begin at the same moment of a task.
    sleep(uniform(0, PAUSE))
    return timed(lambda: get(session, url))


if __name__ == "__main__":
    main(*sys.argv[1:])
