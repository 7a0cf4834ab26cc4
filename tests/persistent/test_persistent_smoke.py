from collective.background import get_scheduler
from collective.background import schedule
from collective.background.persistent.scheduler import PersistentTransactionalScheduler
from helpers import finished
from plone import api


def create(folder, title):
    return api.content.create(folder, "Document", title=title)


def test_runs(scheduler, folder):
    assert isinstance(scheduler, PersistentTransactionalScheduler)
    record = finished(schedule(create, folder, "New"))
    assert (record.state, record.error) == ("succeeded", None)
    assert folder["new"].Title() == "New"
    assert get_scheduler().get_result(record.id)[0] == folder["new"]
