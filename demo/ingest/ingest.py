"""A worker without Plone: it reads a file of a site, and writes back what is in it.

``@@summarize`` of the example add-on sends it what to do. It reports with the token of
that task, and reads and writes with an account of its own: INGEST_USER and
INGEST_PASSWORD, at INGEST_SITE and nowhere else, whatever a message says. INGEST_BROKER
is the address of the broker. ::

    celery -A ingest worker --queues ingest --concurrency 2
"""

from celery import Celery
from collective.background.client import background_task
from collective.background.client import TaskFailed
from texts import text_of

import os
import requests


TIMEOUT = 30  # seconds
LONGEST = 50_000_000  # bytes of a file
SUMMARY = 300  # characters

app = Celery("ingest", broker=os.environ.get("INGEST_BROKER"))
app.conf.update(
    task_ignore_result=True,
    # A file that lets a worker die is not to take others with it.
    worker_prefetch_multiplier=1,
)


@app.task(bind=True, name="ingest.summarize")
@background_task
def summarize(task, payload):
    """``payload``: the address of a File, as plone.restapi has it, by ``url``.

    The first words become its description. Returns how many words there are.
    """
    with site() as session:
        task.progress(0, 3, "Fetching the file")
        file = fetch(session, payload["url"]).json()["file"]
        content = fetch(session, file["download"]).content
        if len(content) > LONGEST:
            raise TaskFailed("The file is too large.")

        task.progress(1, 3, "Reading it")
        words = text_of(content, file["content-type"]).split()
        if not words:
            raise TaskFailed("There is no text in it.")
        task.log(f"{file['filename']} has {len(words)} words")

        task.progress(2, 3, "Writing the summary")
        summary = shortened(words)
        changes = {"description": summary}
        session.patch(payload["url"], json=changes, timeout=TIMEOUT).raise_for_status()
        task.progress(3)
    return {"words": len(words), "summary": summary}


def site():
    """Return a session that is logged in."""
    session = requests.Session()
    session.auth = os.environ["INGEST_USER"], os.environ["INGEST_PASSWORD"]
    session.headers["Accept"] = "application/json"
    return session


def fetch(session, url):
    """Raises TaskFailed for an address elsewhere: that is not to see the password."""
    if not url.startswith(f"{os.environ['INGEST_SITE'].rstrip('/')}/"):
        raise TaskFailed("The file is not in the site of this worker.")
    answer = session.get(url, timeout=TIMEOUT)
    answer.raise_for_status()
    return answer


def shortened(words):
    """Return the first words, as many as there is room for."""
    text = " ".join(words)
    if len(text) <= SUMMARY:
        return text
    return f"{text[:SUMMARY].rpartition(' ')[0]} …"
