"""Runs the tests of plone.restapi with every write as a task.

``make restapi`` calls it, with the folder of the unpacked source distribution, whose
tests are as they are. Their sessions are told to send each write with ``Prefer:
respond-async``; where that becomes a task, its result is what the test gets. With
``--at-once`` they send what they send, to compare. What else is given is for
zope.testrunner.
"""

from collective.background.interfaces import ITransactionalScheduler
from pathlib import Path
from plone.app.testing import applyProfile
from plone.restapi import testing
from zope.component import getGlobalSiteManager
from zope.testrunner import run_internal

import collective.background
import requests
import sys


AT_ONCE = "--at-once"
PACKAGE = "plone.restapi"
READS = ("GET", "HEAD", "OPTIONS")
TIMEOUT = 60  # seconds

made = []  # methods of the writes that became tasks


def install():
    """Let the site of all tests have the add-on."""
    layer = testing.PloneRestApiDXLayer
    set_up_zope, set_up_site = layer.setUpZope, layer.setUpPloneSite

    def setUpZope(self, app, configurationContext):
        set_up_zope(self, app, configurationContext)
        self.loadZCML(package=collective.background)

    def setUpPloneSite(self, portal):
        set_up_site(self, portal)
        applyProfile(portal, "collective.background:default")

    layer.setUpZope, layer.setUpPloneSite = setUpZope, setUpPloneSite


def respond_async():
    """Let all sessions prefer it, and get what the task has answered."""
    request = requests.Session.request

    def request_async(session, method, url, **kwargs):
        if method.upper() in READS:
            return request(session, method, url, **kwargs)
        headers = dict(kwargs.pop("headers", None) or {})
        prefer = headers.get("Prefer") or session.headers.get("Prefer")
        headers["Prefer"] = ", ".join(filter(None, (prefer, "respond-async")))
        answer = request(session, method, url, headers=headers, **kwargs)
        if answer.headers.get("Preference-Applied") != "respond-async":
            return answer
        made.append(method)
        return _answer_of_task(answer)

    requests.Session.request = request_async


def _answer_of_task(accepted):
    """Return what a task has answered, as if it were the answer to the request."""
    id = accepted.json()["id"]
    scheduler = getGlobalSiteManager().getUtility(ITransactionalScheduler)
    record = scheduler.wait(id, TIMEOUT)
    result = scheduler.peek_result(id)
    if result is None:
        raise AssertionError(f"a task without an answer: {record}")
    accepted.status_code = result.status
    accepted.headers = result.headers
    accepted._content = result.body
    return accepted


def main(folder, *options):
    install()
    if AT_ONCE not in options:
        respond_async()
    options = [option for option in options if option != AT_ONCE]
    path = ["--test-path", str(Path(folder) / "src"), "-s", PACKAGE]
    failed = run_internal(path, ["restapi", *options])
    print(f"Writes that became tasks: {len(made)}")
    sys.exit(failed)


if __name__ == "__main__":
    main(*sys.argv[1:])
