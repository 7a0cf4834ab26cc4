"""What it costs to watch tasks: polls, the control panel, pages without tasks.

Over HTTP, with a connection that stays open, but for the last.
"""

from benchmarks.growth import make_scheduler
from benchmarks.growth import run
from benchmarks.instance import PASSWORD
from benchmarks.instance import USER
from benchmarks.measure import alternate
from benchmarks.measure import Row
from benchmarks.measure import size
from benchmarks.measure import timed
from collective.background.interfaces import ITransactionalScheduler
from plone.app.layout.viewlets.interfaces import IAboveContent
from plone.transformchain.interfaces import DISABLE_TRANSFORM_REQUEST_KEY
from Products.Five.browser import BrowserView
from zope.component import getMultiAdapter
from zope.component import getUtility
from zope.component import hooks
from zope.component import provideUtility
from zope.configuration import xmlconfig
from zope.globalrequest import getRequest

import Products.Five
import requests


ROUNDS = size(60)
MANY, FEW = size(10_000), size(100)  # tasks
BARE = "benchmark-bare-view"
ZCML = f"""
<configure xmlns:browser="http://namespaces.zope.org/browser">
  <browser:page
      name="{BARE}"
      for="*"
      class="{__name__}.BareView"
      permission="zope2.View"
      />
</configure>
"""


class BareView(BrowserView):
    """The least that a view can do: returns what it has."""

    body = b""

    def __call__(self):
        self.request.response.setHeader("Content-Type", "text/html; charset=utf-8")
        self.request.environ[DISABLE_TRANSFORM_REQUEST_KEY] = True
        return self.body


def measure(site, port):
    usual = getUtility(ITransactionalScheduler)
    url = f"http://localhost:{port}/Plone"
    many, few = make_scheduler(keep_count=MANY), make_scheduler(keep_count=FEW)
    provideUtility(few, ITransactionalScheduler)  # nobody has tasks in it yet
    yield _page_without_tasks(site)
    run(many, MANY, site.countries)
    run(few, FEW, site.countries)
    with requests.Session() as editor, requests.Session() as manager:
        editor.auth = (USER, PASSWORD)
        manager.auth = ("admin", "admin")
        yield from _poll(editor, url, many)
        yield _control_panel(manager, url, many, few)
    provideUtility(usual, ITransactionalScheduler)


def _get(client, url, status=200, **arguments):
    answer = client.get(url, **arguments)
    if answer.status_code != status:
        raise AssertionError(f"{url}: {answer.status_code} instead of {status}")
    return answer


def _poll(client, url, many):
    """A whole answer, and that nothing is new; beside a view that knows it already."""
    provideUtility(many, ITransactionalScheduler)
    poll, bare = f"{url}/@@background-tasks?ajax_load=1&all=1", f"{url}/@@{BARE}"
    answer = _get(client, poll)
    known = {"If-None-Match": answer.headers["ETag"]}
    BareView.body = answer.content
    with hooks.site(None):  # for all sites, not for this one
        xmlconfig.string(ZCML, xmlconfig.file("meta.zcml", Products.Five))
    assert _get(client, bare).content == answer.content
    news, nothing, other = alternate(
        ROUNDS,
        lambda: timed(lambda: _get(client, poll)),
        lambda: timed(lambda: _get(client, poll, 304, headers=known)),
        lambda: timed(lambda: _get(client, bare)),
    )
    name = f"a poll, {MANY:,} tasks"
    yield Row(name, news, "bare view, same bytes", other, most=3)
    yield Row(f"{name}, no news", nothing, "bare view, same bytes", other)


def _control_panel(client, url, many, few):
    """The list, as it is fetched again and again while somebody looks at it."""

    def listing(scheduler, number):
        provideUtility(scheduler, ITransactionalScheduler)
        address = f"{url}/@@background-tasks-controlpanel?ajax_load=1"

        def get():
            if f">{number}</span>" not in _get(client, address).text:
                raise AssertionError(f"not the list of {number} tasks")

        return timed(get)

    ours, other = alternate(
        ROUNDS, lambda: listing(many, MANY), lambda: listing(few, FEW)
    )
    name = f"control panel, {MANY:,} tasks"
    return Row(name, ours, f"{FEW} tasks", other, most=1.3)


def _page_without_tasks(site):
    """What the viewlet adds to a page of a user who has no tasks."""
    view = BrowserView(site, getRequest())
    manager = getMultiAdapter(
        (site, view.request, view), IAboveContent, "plone.abovecontent"
    )

    def render():
        viewlet = manager["collective.background.tasks"]
        viewlet.update()
        if viewlet.render():
            raise AssertionError("the viewlet shows something")

    (ours,) = alternate(ROUNDS * 10, lambda: timed(render))
    return Row("viewlet of a user without tasks", ours, "target", 1, most=1)
