"""Reports on one task of Plone, as often as they have to be sent."""

from time import monotonic
from time import sleep

import json
import logging
import requests
import secrets


logger = logging.getLogger(__name__)

TOKEN = "X-Background-Token"  # noqa: S105: the name of a header
FIRST_SILENCE = 40.0  # seconds; until Plone has told how many it allows
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0  # seconds until a report is sent once more
TIMEOUT = (5, 30)  # seconds to connect, and to be answered
SHOWN = 500  # characters of an answer
GONE = (404, 410)
# Seconds for which a task that was never known may be so at another instance of Plone,
# which has not heard of it yet: a message may be faster than the database.
GRACE = 5.0
BAD = (400, 413, 422)


class Reports:
    """``url``, ``token``: of the task; ``patience``: seconds, see ``insist``.

    - ``is_unwanted``: whether Plone does not want the task any more
    - ``silence``: seconds that it allows between two reports
    """

    def __init__(self, url, token, patience):
        self.patience = patience
        self.is_unwanted = False
        self.silence = FIRST_SILENCE
        self._url = url
        self._session = requests.Session()
        self._session.headers[TOKEN] = token
        for name in ("Accept", "Content-Type"):
            self._session.headers[name] = "application/json"
        self._run, self._number = secrets.token_hex(8), 0
        self._is_known = False
        self._began = monotonic()

    def close(self):
        self._session.close()

    def make(self, **news):
        """Return a report; sent more than once it counts once."""
        self._number += 1
        return {"run": self._run, "number": self._number, **news}

    def insist(self, report):
        """Send a report until it is answered; return whether it was taken.

        Also true if Plone was away for longer than the patience: then it is given up.
        """
        until = monotonic() + self.patience
        failures = 0
        while (is_taken := self.send(report)) is None:
            failures += 1
            left = until - monotonic()
            if left <= 0:
                logger.error("Plone was not told of its task in time, and may lose it")
                return True
            sleep(min(left, delay(failures)))
        return is_taken

    def send(self, report):
        """Return whether Plone takes a report; None if it is to be sent once more.

        Raises TypeError or ValueError for what is no JSON.
        """
        body = json.dumps(report, allow_nan=False)
        try:
            answer = self._session.patch(
                self._url, data=body, timeout=TIMEOUT, allow_redirects=False
            )
            told = answer.json() if answer.status_code == 200 else {}
        except requests.RequestException as error:
            logger.warning("Plone does not answer (%s)", type(error).__name__)
            return None
        if answer.status_code == 200:
            self._is_known = True
            self.is_unwanted |= bool(told.get("stop"))
            self.silence = float(told.get("silence") or self.silence)
            return True
        is_new = not self._is_known and monotonic() - self._began < GRACE
        if answer.status_code in GONE and not is_new:
            self.is_unwanted = True
            return True
        logger.warning("Plone answers %s %s", answer.status_code, answer.text[:SHOWN])
        return False if answer.status_code in BAD else None


def delay(failures):
    """Return seconds until a report is sent once more."""
    return min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(failures, 10))
