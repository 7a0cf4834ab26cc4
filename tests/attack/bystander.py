"""Another member, who goes on with his work meanwhile."""

from attack.weapons import session_of
from threading import Event
from threading import Thread
from time import monotonic

import requests


PAUSE = 0.5  # seconds between two visits
PATIENCE = 120  # seconds
ENDED = ("succeeded", "failed", "cancelled", "lost")


class Bystander(Thread):
    """Sees pages and has tasks done, until ``leave()``.

    ``wrong``: what was not as it should be, texts; ``slowest``: seconds of what took
    longest, by what it was; ``times``: how often all of it was done.
    """

    def __init__(self, url, user, password):
        super().__init__(daemon=True)
        self.wrong = []
        self.slowest = {}
        self.times = 0
        self._url = url
        self._session = session_of(user, password)
        self._leaves = Event()

    def leave(self):
        """Let him come to an end, and wait for it."""
        self._leaves.set()
        self.join()

    def run(self):
        while not self._leaves.wait(PAUSE):
            try:
                self._measure("page", self._see_page)
                self._measure("task", self._have_task_done)
                self.times += 1
            except requests.RequestException as error:
                self.wrong.append(f"a bystander has got: {error}")

    def _measure(self, what, do):
        began = monotonic()
        do()
        took = monotonic() - began
        self.slowest[what] = max(took, self.slowest.get(what, 0))
        if took > PATIENCE:
            self.wrong.append(f"a bystander has waited {took:.0f} s for a {what}")

    def _see_page(self):
        self._get("")

    def _have_task_done(self):
        answer = self._session.post(f"{self._url}/probe-boast", timeout=PATIENCE)
        answer.raise_for_status()
        deadline = monotonic() + PATIENCE
        while self._get(f"@tasks/{answer.text}").json()["state"] not in ENDED:
            if monotonic() > deadline:
                return
            Event().wait(PAUSE)

    def _get(self, path):
        headers = {"Accept": "application/json" if "@" in path else "text/html"}
        url = f"{self._url}/{path}"
        answer = self._session.get(url, headers=headers, timeout=PATIENCE)
        answer.raise_for_status()
        return answer
