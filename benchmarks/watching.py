"""What it costs to watch tasks: the closed tray of a page, polls, the control panel.

Over HTTP, with a connection that stays open, but for the first.
"""

from benchmarks.growth import make_scheduler
from benchmarks.growth import run
from benchmarks.instance import PASSWORD
from benchmarks.instance import USER
from benchmarks.measure import alternate
from benchmarks.measure import Row
from benchmarks.measure import size
from benchmarks.measure import timed
from collective.background import get_scheduler
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
    none = make_scheduler(keep_count=0)
    run(many, MANY, site.countries)
    run(few, FEW, site.countries)
    yield _closed_tray(site, none, most=1)
    yield _closed_tray(site, many, most=5)
    with requests.Session() as editor, requests.Session() as manager:
        editor.auth = (USER, PASSWORD)
        manager.auth = ("admin", "admin")
        with hooks.site(None):  # for all sites, not for this one
            xmlconfig.string(ZCML, xmlconfig.file("meta.zcml", Products.Five))
        yield from _poll(editor, url, none, "no", most=1.5)
        yield from _poll(editor, url, many, f"{MANY:,}", most=3)
        yield _control_panel(manager, url, many, few)
    provideUtility(usual, ITransactionalScheduler)


def _get(client, url, status=200, **arguments):
    answer = client.get(url, **arguments)
    if answer.status_code != status:
        raise AssertionError(f"{url}: {answer.status_code} instead of {status}")
    return answer


def _poll(client, url, scheduler, number, most):
    """A whole answer, and that nothing is new; beside a view that knows it already.

    ``number``: of the tasks, as a text; ``most``: the target.
    """
    provideUtility(scheduler, ITransactionalScheduler)
    poll, bare = f"{url}/@@background-tasks?ajax_load=1", f"{url}/@@{BARE}"
    answer = _get(client, poll)
    known = {"If-None-Match": answer.headers["ETag"]}
    BareView.body = answer.content
    assert _get(client, bare).content == answer.content
    news, nothing, other = alternate(
        ROUNDS,
        lambda: timed(lambda: _get(client, poll)),
        lambda: timed(lambda: _get(client, poll, 304, headers=known)),
        lambda: timed(lambda: _get(client, bare)),
    )
    name = f"a poll, {number} tasks"
    yield Row(name, news, "bare view, same bytes", other, most=most)
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


def _closed_tray(site, scheduler, most):
    """What the viewlet adds to a page; ``most``: milliseconds that it may take."""
    provideUtility(scheduler, ITransactionalScheduler)
    view = BrowserView(site, getRequest())
    manager = getMultiAdapter(
        (site, view.request, view), IAboveContent, "plone.abovecontent"
    )
    number = get_scheduler().count()

    def render():
        viewlet = manager["collective.background.tasks"]
        viewlet.update()
        if bool(viewlet.render()) != bool(number):
            raise AssertionError("the viewlet does not show what there is")

    (ours,) = alternate(ROUNDS * 10, lambda: timed(render))
    return Row(f"viewlet of a page, {number:,} tasks", ours, "target", most, most=1)
