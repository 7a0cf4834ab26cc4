"""Sites and folders in another database than the rest, as with mount points."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background.database.scheduler import PersistentTransactionalScheduler
from collective.background.interfaces import ITransactionalScheduler
from collective.background.testing import serving
from gated_tasks import create
from gated_tasks import fail
from gated_tasks import gated_until_cancelled
from helpers import finished
from helpers import TIMEOUT
from plone.dexterity.utils import addContentToContainer
from plone.dexterity.utils import createContent
from ZODB import DB
from ZODB.DemoStorage import DemoStorage

import pytest
import transaction


@pytest.fixture
def second(site):
    """A second database; returns the connection that belongs to the site's."""
    databases = site._p_jar.db().databases
    DB(DemoStorage("second"), database_name="second", databases=databases)
    yield site._p_jar.get_connection("second")
    transaction.abort()
    # It is not closed: that would close the connections of the first one as well.
    del site._p_jar.connections["second"], databases["second"]


@pytest.fixture
def mounted(site, second):
    """A folder in the second database, in a site that is in the first one."""
    folder = createContent("Folder", id="mounted")
    second.add(folder)
    addContentToContainer(site, folder, checkConstraints=False)
    transaction.commit()
    assert folder._p_jar.db().database_name == "second"
    yield site["mounted"]
    transaction.abort()
    site._delObject("mounted")
    transaction.commit()


@pytest.fixture
def home(site, second):
    """The scheduler of a site, in the second database."""
    home = PersistentTransactionalScheduler()
    second.add(home)
    site.getSiteManager().registerUtility(home, ITransactionalScheduler)
    transaction.commit()
    assert get_scheduler()._p_jar.db().database_name == "second"
    with serving():
        yield home
        transaction.abort()
    site.getSiteManager().unregisterUtility(home, ITransactionalScheduler)
    transaction.commit()


def states():
    """The states of all tasks, as the scheduler has them now."""
    transaction.begin()
    return [record.state for record in get_scheduler().records()]


class TestTheSchedulerInAnotherDatabase:
    def test_a_task_writes_to_both(self, home, folder):
        record = finished(schedule(create, folder, "new"))
        assert (record.state, record.error) == ("succeeded", None)
        assert folder["new"].portal_type == "Document"
        get_scheduler().wait_all(TIMEOUT)
        assert states() == ["succeeded"]

    def test_what_fails_leaves_nothing_in_either(self, home, folder):
        title = folder.title
        assert finished(schedule(fail, folder)).state == "failed"
        assert folder.title == title

    def test_what_an_abort_undoes_never_was(self, home, folder):
        schedule(create, folder, "new")
        transaction.abort()
        assert states() == []

    def test_one_that_runs_is_cancelled(self, home, gates):
        id = schedule(gated_until_cancelled)
        transaction.commit()
        gates.wait()
        get_scheduler().cancel(id)
        assert get_scheduler().wait(id, TIMEOUT).state == "cancelled"


class TestTheContextInAnotherDatabase:
    def test_a_task_writes_to_both(self, scheduler, mounted):
        record = finished(schedule(create, mounted, "new"))
        assert (record.state, record.error) == ("succeeded", None)
        assert mounted["new"]._p_jar.db().database_name == "second"
        assert record.context_path == "/plone/mounted"

    def test_what_fails_leaves_nothing_in_either(self, scheduler, mounted):
        assert finished(schedule(fail, mounted)).state == "failed"
        assert mounted.title != "changed"
