"""Stories are told to an instance: requests that may fail, at their moments.

Whether a request that has failed was committed all the same is not known then; it is
found out afterwards, by the titles of tasks. So it is repeated with other ones.
"""

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import monotonic

import json
import requests


THREADS = 12  # some stories wait for the end of their task
LOOK = 1.0  # seconds between two looks at a task, or two attempts to schedule it
ATTEMPTS = 100
TIMEOUT = 120.0  # seconds for the answer to a request


class Teller:
    """``instance``: serves, and is never killed; ``stories``: a list, those of a plan;
    what is told again is added to it.

    ``failed``: the statuses of requests that have failed, None for no answer.
    """

    def __init__(self, instance, stories):
        self._instance = instance
        self._stories = stories
        self._ended = Event()
        self.failed = []

    def __enter__(self):
        """Begin, in threads of its own."""
        self._begin = monotonic()
        self._threads = ThreadPoolExecutor(THREADS)
        self._told = self._threads.map(self._tell, self._stories)
        return self

    def __exit__(self, *exception):
        """End early: what is not told yet is left out, and no answer waited for."""
        self._ended.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def finish(self):
        """Wait until all are told. Raises what went wrong, but for requests."""
        list(self._told)

    def _tell(self, story):
        pause = max(0.0, self._begin + story.at - monotonic())
        told = story
        for number in range(2, ATTEMPTS):
            if self._ended.wait(pause):
                return
            if self.schedule(told):
                self._follow(told)
                return
            pause = LOOK
            told = story.again(number)
            self._stories.append(told)

    def _follow(self, story):
        """Do what is to be done after the jobs of a story are committed."""
        if story.then == "cancel":
            self._ended.wait(story.pause)
            self._cancel(story.jobs[0])
        elif story.then == "retry":
            self._retry_if_needed(story.jobs[0], story.pause)

    def schedule(self, story):
        """Schedule the jobs of a story; return whether they are surely committed."""
        form = {"story": json.dumps(story.sent())}
        answer = self._request("POST", "probe-soak-schedule", data=form)
        if not answer:
            return False
        for job, id in zip(story.jobs, answer.json(), strict=True):
            job.id = id
        return True

    def _cancel(self, job):
        job.is_cancelled = True
        call = {"method": "cancel", "arguments": [job.id], "options": {}}
        self._request("GET", "probe-scheduler", params={"call": json.dumps(call)})

    def _retry_if_needed(self, job, seconds):
        """Try a task again if it fails, or is lost, in so many seconds."""
        end = monotonic() + seconds
        while monotonic() < end and not self._ended.wait(LOOK):
            answer = self._request("GET", f"@tasks/{job.id}")
            state = answer and answer.json()["state"]
            if state in ("failed", "lost"):
                self.retry(job)
            elif state == "succeeded":
                return

    def retry(self, job):
        """Try a task again that has failed, or is lost."""
        # Also if it is refused: the publisher may have repeated it after a success.
        job.retries += 1
        self._request("PATCH", f"@tasks/{job.id}", json={"retry": True})

    def _request(self, method, path, **options):
        """Return the answer, which is false if it is an error, or None."""
        headers = {"Accept": "application/json"}
        options = {"headers": headers, "timeout": TIMEOUT, **options}
        try:
            return self._instance.request(method, path, **options)
        except requests.HTTPError as error:
            self.failed.append(error.response.status_code)
            return error.response
        except requests.RequestException:
            self.failed.append(None)
            return None
