"""A request that conflicts is repeated by the publisher; its tasks run once."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from helpers import TIMEOUT
from plone.base.interfaces import IPloneSiteRoot
from Products.Five import BrowserView
from transaction import TransactionManager
from zope.component.hooks import site as in_site
from zope.configuration import xmlconfig
from ZPublisher.HTTPRequest import HTTPRequest

import pytest
import requests
import transaction


VIEW = f"""
<configure xmlns:browser="http://namespaces.zope.org/browser">
  <include package="Products.Five.browser" file="meta.zcml" />
  <browser:page
      name="conflict-and-schedule"
      for="{IPloneSiteRoot.__identifier__}"
      class="{__name__}.ConflictAndSchedule"
      permission="zope.Public"
      />
  <browser:page
      name="schedule-unique"
      for="{IPloneSiteRoot.__identifier__}"
      class="{__name__}.ScheduleUnique"
      permission="zope.Public"
      />
</configure>
"""

passes = []
runs = []


def work(site):
    runs.append(site.description)


def change_elsewhere(site):
    """Commit a change of the site, as another visitor does at the same time."""
    manager = TransactionManager()
    connection = site._p_jar.db().open(manager)
    other = connection.root()["Application"][site.getId()]
    other.rights = "changed by another"
    manager.commit()
    connection.close()


class ConflictAndSchedule(BrowserView):
    """Schedules a task, and conflicts as often as the form says."""

    def __call__(self, conflicts):
        passes.append(len(passes) + 1)
        self.context.description = f"pass {len(passes)}"
        schedule(work, self.context)
        if len(passes) <= int(conflicts):
            change_elsewhere(self.context)
        return "scheduled"


class ScheduleUnique(BrowserView):
    """Schedules a unique task, as another visitor does at the same time."""

    def __call__(self):
        passes.append(len(passes) + 1)
        unique = using(unique="reindex")
        task_id = unique.schedule(work, self.context)
        if len(passes) == 1:
            in_another_transaction(lambda: unique.schedule(work, self.context))
        return task_id


def in_another_transaction(function):
    """Call the function, and commit, on this site and in another transaction."""
    usual = transaction.manager.manager
    transaction.manager.manager = TransactionManager()
    try:
        function()
        transaction.commit()
    finally:
        transaction.manager.manager = usual


@pytest.fixture
def repeating(functional, monkeypatch):
    """The views, in a process in which requests are repeated."""
    # As Zope's own setting "max-conflict-retries" does; test layers have 0.
    monkeypatch.setattr(HTTPRequest, "retry_max_count", 3)
    with in_site(None):
        xmlconfig.string(VIEW, context=functional["configurationContext"])
    passes.clear()
    runs.clear()


@pytest.fixture
def visit(repeating, portal_url):
    """Return a function that visits the view that conflicts."""

    def visit(conflicts):
        answer = requests.get(
            f"{portal_url}/conflict-and-schedule",
            params={"conflicts": conflicts},
            timeout=TIMEOUT,
        )
        get_scheduler().wait_all(TIMEOUT)
        transaction.begin()
        return answer.ok

    return visit


@pytest.fixture
def portal_url(functional, server):
    return f"{server}/{functional['portal'].getId()}"


@pytest.mark.parametrize("conflicts", [0, 1, 3])
def test_the_task_of_the_last_pass_runs(functional, visit, conflicts):
    assert visit(conflicts)
    assert passes == list(range(1, conflicts + 2))
    assert runs == [f"pass {conflicts + 1}"]
    assert get_scheduler().count() == 1
    assert functional["portal"].description == f"pass {conflicts + 1}"


def test_no_task_runs_when_every_pass_conflicts(functional, visit):
    assert not visit(4)
    assert len(passes) == 4
    assert runs == []
    assert get_scheduler().records() == []
    assert functional["portal"].rights == "changed by another"


def test_a_unique_task_of_two_requests_at_once_runs_once(
    functional, repeating, portal_url
):
    """The one that commits later is repeated, and answers with the other's task."""
    get_scheduler().pause("default")
    answer = requests.get(f"{portal_url}/schedule-unique", timeout=TIMEOUT)
    (record,) = get_scheduler().records()
    get_scheduler().resume("default")
    get_scheduler().wait_all(TIMEOUT)
    assert passes == [1, 2]
    assert answer.text == record.id
    assert len(runs) == 1
