"""What an attacker sends: each makes a task of a request that can only fail."""

import requests


TIMEOUT = 300  # seconds for an answer; a body of 100 MB takes its time
LONG = 100_000  # characters of an address; a server takes no more than 256 kB
MEGABYTE = 1_000_000


def ask_often(session, url, size):
    """Copy something that is not there, later."""
    return _post(session, f"{url}/@copy", {"source": f"{url}/nowhere"})


def send_much(session, url, size):
    """The same with a body of this size, in bytes."""
    return _post(session, f"{url}/@copy", {"source": "x" * size})


def ask_at_length(session, url, size):
    """Call a view at an address that is very long, which is the title of the task."""
    return session.post(f"{url}/probe-later/{'x' * LONG}", **_OPTIONS)


def send_a_form(session, url, size):
    """Let a view of an add-on make a task of a form with a file."""
    return session.post(
        f"{url}/probe-later", files={"file": ("x", b"x" * size)}, **_OPTIONS
    )


def boast(session, url, size):
    """Let an add-on make a task that says far too much."""
    form = {"size": min(size, MEGABYTE)}
    return session.post(f"{url}/probe-boast", data=form, **_OPTIONS)


_OPTIONS = {"timeout": TIMEOUT, "allow_redirects": False}

WEAPONS = (ask_often, send_much, ask_at_length, send_a_form, boast)


def session_of(user, password):
    """Return a requests.Session of a user."""
    session = requests.Session()
    session.auth = (user, password)
    return session


def _post(session, url, values):
    headers = {"Accept": "application/json", "Prefer": "respond-async"}
    return session.post(url, json=values, headers=headers, **_OPTIONS)
