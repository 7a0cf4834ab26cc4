"""How tests talk to a site over HTTP."""

from urllib.parse import urljoin

import requests


PREFER = {"Prefer": "respond-async"}


class Session(requests.Session):
    """Talks to a site; addresses are paths below it. ``url``: its own, with a /."""

    def __init__(self, url):
        super().__init__()
        self._url = url
        self.headers["Accept"] = "application/json"

    def request(self, method, url, **kwargs):
        return super().request(method, urljoin(self._url, url), **kwargs)
