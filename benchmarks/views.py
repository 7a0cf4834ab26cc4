"""A small view: as a task, and as a request to oneself."""

from benchmarks.instance import get
from benchmarks.measure import alternate
from benchmarks.measure import Row
from benchmarks.measure import size
from benchmarks.measure import timed
from collective.background import get_scheduler
from collective.background import schedule_view

import requests
import transaction


ROUNDS = size(300)
TIMEOUT = 60  # seconds
VIEW = "getId"


def measure(site, port):
    url = f"http://localhost:{port}/Plone/countries/{VIEW}"
    session = requests.Session()
    expected = get(session, url)

    def ours():
        return timed(run)

    def run():
        id = schedule_view(site.countries, VIEW)
        transaction.commit()
        get_scheduler().wait(id, TIMEOUT)
        result, error = get_scheduler().get_result(id)
        if error is not None or result.body != expected:
            raise AssertionError(f"not the same answer: {result}, {error}")

    ours, keep_alive, connection = alternate(
        ROUNDS,
        ours,
        lambda: timed(lambda: get(session, url)),
        lambda: timed(lambda: get(requests, url)),
    )
    name = "schedule_view() until the result"
    yield Row(name, ours, "HTTP to oneself, keep-alive", keep_alive, most=1)
    yield Row(name, ours, "HTTP to oneself, new connection", connection, most=1)
