"""Whatever is sent to an address of the package, the answer says what was wrong.

All views and services are found in the registry, so that none is forgotten; FIELDS says
what each of them reads. Zope makes lists, numbers, records and more of fields whose
names end so. What its converters themselves refuse is answered by Zope, for any page.
"""

from base64 import b64encode
from collective.background import get_scheduler
from collective.background import schedule
from collective.background.interfaces import ICollectiveBackgroundLayer
from helpers import add_users
from helpers import finished
from helpers import PASSWORD
from http.client import HTTPConnection
from plone.app.testing import login
from plone.protect import createToken
from urllib.parse import urlsplit
from zope.component import getGlobalSiteManager

import logging
import pytest
import re
import transaction


# The fields that are read of an address, and those that are read of a form.
FIELDS = {
    "background-tasks": (["all"], []),
    "background-task-action": ([], ["id", "action", "came_from"]),
    "background-result": (["any"], []),
    "background-failures": (["csv"], []),
    "background-task": (["any"], ["action"]),
    "background-tasks-controlpanel": (
        [
            *("state", "queue", "user", "text", "age", "group", "sort", "order"),
            *("callable", "content", "error", "b_start"),
        ],
        ["action", "ids"],
    ),
    "background-tasks-many": (
        ["action", "ids", "skipped", "state", "content"],
        ["action", "ids", "skipped"],
    ),
    "background-tasks-activity": (["any"], ["pause", "resume"]),
    "background-tasks-statistics": (["any"], []),
    "background-tasks-recurring": (["any"], ["run", "on", "off"]),
    "background-tasks-deployment": (["any"], ["adopt", "discard"]),
    "background-tasks-storage": (["any"], ["place"]),
    "background-tasks-settings": ([], ["form.widgets.poll_interval"]),
    "@tasks": (
        [
            *("all", "state", "queue", "user_id", "context_path", "group_id", "text"),
            *("created_after", "dismissed", "sort_on", "sort_order"),
            *("b_start", "b_size"),
        ],
        [],
    ),
    "@task-queues": (["any"], []),
}
# What a form has besides the field that is wrong.
FORMS = {
    "background-task-action": "action=dismiss&id={0}",
    "background-tasks-controlpanel": "action=retry",
    "background-tasks-many": "action=retry&callable=nothing",
    "background-tasks-settings": "form.buttons.save=Save",
}
# Views of one task: its id comes after the name.
OF_A_TASK = ("background-result", "background-failures", "background-task", "@tasks")

VALUES = [
    *("{0}=", "{0}", "{0}=1&{0}=2", "{0}=1&{0}:list=2", "{0}:list=1", "{0}:tuple=1"),
    *("{0}:int=7", "{0}:int=-7", "{0}:int:list=7", "{0}:float=nan", "{0}:float=1e400"),
    *("{0}:boolean=1", "{0}:boolean=", "{0}:bytes=x", "{0}:date=2026-01-01"),
    *("{0}:tokens=a+b", "{0}:lines=a%0Ab", "{0}:text=a", "{0}:required=a"),
    *("{0}.a:record=1", "{0}.a:int:record=1", "{0}.a:records=1", "{0}:default=1"),
    *("{0}:json=null", "{0}:json=%7B%22a%22:%5B1%5D%7D", "{0}:ignore_empty="),
    *("{0}=%E2%98%83", "{0}=%FF", "{0}=%ED%A0%80", "{0}=%00", "{0}=a%0Ab", "{0}=%25s"),
    *("{0}=../../etc/passwd", "{0}=%3Cscript%3E", "{0}=-1", "{0}=1e9", "{0}=%C2%B2"),
    *("{0}=" + "9" * 5000, "{0}=" + "9" * 30, "{0}=" + "x" * 100_000),
    *("{0}=0001-01-01T00:00:00%2B14:00", "{0}=2026-01-01", "{0}=javascript:alert(1)"),
]
# Zope itself breaks on what is not UTF-8 in a path, and on ``++skin++``.
PATHS = [
    *("", "/", "/x", "/x/y", "//", "/%00", "/%E2%98%83", "/%0A"),
    *("/..%2f..%2fetc%2fpasswd", "/@@view", "/result", "/x/result", "/" + "x" * 8000),
    *("/" + "0" * 32, "/-1", "/index_html", "/__class__", "/%25s"),
]
BODIES = [
    *(b"", b"{", b"null", b"[]", b"1", b'"x"', b"{}", b"\xff", b"NaN", b'{"a": 1}'),
    *(b'{"retry": 1}', b'{"retry": null}', b'{"retry": "x"}', b'{"retry": []}'),
    *(b'{"retry": false}', b'{"dismissed": false}', b'{"dismissed": {}}'),
    *(b'{"paused": 1}', b'{"paused": null}', b'{"paused": "yes"}'),
    *(b'{"retry": true, "dismissed": true}', b'{"paused": true, "paused": 1}'),
    *(
        b'{"\\ud800": true}',
        b'{"a": ' + b"9" * 5000 + b"}",
    ),
    b'{"paused": ' + b'"' + b"x" * 100_000 + b'"}',
]
# Not the methods of WebDAV for services: they make, copy and lock content.
METHODS = [
    *("HEAD", "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"),
    *("PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "FOO"),
]
OF_HTTP = METHODS[:7]

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


def fail(number):
    raise ValueError("it went wrong")


def found_in_the_registry():
    """Return the names of all views and services of the package."""
    names = set()
    for registration in getGlobalSiteManager().registeredAdapters():
        if len(registration.required) != 2:
            continue
        if ICollectiveBackgroundLayer in registration.required:
            names.add(re.sub(r"^[A-Z]+_application_json_", "", registration.name))
    return names


def test_all_are_in_the_table(functional):
    assert found_in_the_registry() == set(FIELDS)


class Client:
    """A manager who sends what he likes. ``refused``: what was not answered well."""

    def __init__(self, server, caplog):
        self._server = urlsplit(server).netloc
        self._caplog = caplog
        credentials = b64encode(f"boss:{PASSWORD}".encode()).decode()
        self._headers = {"Authorization": f"Basic {credentials}"}
        self.wrong = []

    def send(self, method, address, body=None, **headers):
        """Send a request, and return the status of its answer."""
        # What pages of errors look like is not of interest here: JSON is sooner made.
        accept = "application/json" if address.startswith("@t") else "*/*"
        headers = {**self._headers, "Accept": accept, **headers}
        self._caplog.clear()
        connection = HTTPConnection(self._server)
        connection.request(method, f"/plone/{address}", body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        logged = [r for r in self._caplog.records if r.levelno >= logging.ERROR]
        cached = answer.getheader("Cache-Control")
        is_shared = answer.status == 200 and cached != "private, no-cache"
        if answer.status >= 500 or logged or is_shared:
            self.wrong.append((answer.status, method, address[:120], content[:200]))
        return answer.status


@pytest.fixture
def client(site, server, tier, caplog):
    add_users(site, {"boss": ["Manager"]})
    login(site, "boss")
    return Client(server, caplog)


@pytest.fixture
def failed(client):
    """The id of a task that has failed."""
    return finished(schedule(fail, 1)).id


@pytest.fixture
def token(client):
    return createToken()


@pytest.fixture(params=sorted(FIELDS))
def name(request):
    return request.param


def address_of(name, task_id=None):
    """Return the address of a view or service, below the site."""
    address = name if name.startswith("@") else f"@@{name}"
    return f"{address}/{task_id}" if task_id and name in OF_A_TASK else address


def test_what_an_address_says(client, name, failed):
    address = address_of(name, None if name == "@tasks" else failed)
    part = "" if name.startswith("@") else "ajax_load=1&"
    for field in FIELDS[name][0]:
        for value in VALUES:
            client.send("GET", f"{address}?{part}{value.format(field)}")
    assert not client.wrong, "\n".join(map(str, client.wrong[:40]))


def test_what_a_form_says(client, name, failed, token):
    address = address_of(name, failed)
    rest = FORMS.get(name, "").format(failed)
    for field in FIELDS[name][1]:
        for value in VALUES:
            form = f"_authenticator={token}&{value.format(field)}&{rest}"
            client.send("POST", address, form, **FORM)
    assert not client.wrong, "\n".join(map(str, client.wrong[:40]))


def test_what_comes_after_the_name(client, name):
    methods = OF_HTTP if name.startswith("@") else ("GET",)
    for path in PATHS:
        for method in methods:
            status = client.send(method, f"{address_of(name)}{path}")
            if name in ("background-task", "background-result"):
                assert status != 200
    assert not client.wrong, "\n".join(map(str, client.wrong[:40]))


def test_methods(client, name, failed):
    for method in OF_HTTP if name.startswith("@") else METHODS:
        for address in {address_of(name), address_of(name, failed)}:
            status = client.send(method, address)
            if not name.startswith("@") and method not in ("HEAD", "GET", "POST"):
                assert status == 405
    assert not client.wrong, "\n".join(map(str, client.wrong[:40]))


@pytest.mark.parametrize("path", ["@tasks/{}", "@task-queues/default", "@tasks"])
def test_bodies(client, failed, path):
    for body in BODIES:
        for method in ("PATCH", "DELETE", "POST"):
            if (method, path) != ("DELETE", "@tasks/{}"):  # that takes it away
                client.send(method, path.format(failed), body, **JSON)
    assert not client.wrong, "\n".join(map(str, client.wrong[:40]))
    assert get_scheduler().record(failed).state == "failed"


# What would do something to a task, to a queue or to the settings.
ORDERS = {
    "background-task-action": "action=dismiss&id={0}",
    "background-tasks-controlpanel": "action=delete&ids={0}",
    "background-tasks-many": "action=delete",
    "background-task": "action=delete",
    "background-tasks-activity": "pause=default",
    "background-tasks-recurring": "off=nothing",
    "background-tasks-deployment": "discard=1",
    "background-tasks-storage": "place=database",
    "background-tasks-settings": "form.buttons.save=Save",
}


def test_nothing_is_done_but_by_a_post_with_a_token(client, name, failed, token):
    assert (name in ORDERS) == bool(FIELDS[name][1])
    if name not in ORDERS:
        return
    address, order = address_of(name, failed), ORDERS[name].format(failed)
    assert client.send("POST", address, order, **FORM) == 403
    assert client.send("POST", f"{address}?{order}") == 403
    for method in ("GET", "HEAD", "PUT"):
        client.send(method, f"{address}?_authenticator={token}&{order}")
    transaction.begin()
    record = get_scheduler().record(failed)
    assert (record.state, record.dismissed) == ("failed", False)
    assert not any(queue.paused for queue in get_scheduler().queues())
    assert not client.wrong
