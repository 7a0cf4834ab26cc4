"""Releases that differ work on the same tasks, as while a cluster is upgraded."""

from bare import make_task
from collective.background.database import formats
from collective.background.database.body import Body
from collective.background.database.instances import Holding
from collective.background.database.rescue import rescue_all
from collective.background.database.settling import News
from collective.background.database.settling import settle
from collective.background.database.status import VERSION
from collective.background.running import outcome
from dataclasses import fields

import pytest


def test_what_a_later_release_has_added_is_kept(bare):
    """An older one reads such objects, and writes them."""
    stored = bare.add()
    for obj in (stored, stored.status, stored.body, bare.scheduler):
        obj.added = {"by": "a later release"}
    bare.manager.commit()
    bare.connection.cacheMinimize()
    bare.manager.begin()
    stored.reserve("an instance")
    stored.begin("an instance")
    bare.scheduler.shards.leave(stored)
    stored.end(outcome.failed(ValueError("no")))
    settle(bare.scheduler, stored, News())
    bare.scheduler.retired = True
    bare.manager.commit()
    bare.connection.cacheMinimize()
    bare.manager.begin()
    for obj in (stored, stored.status, stored.body, bare.scheduler):
        assert obj.added == {"by": "a later release"}
    assert stored.record().state == "failed"


class TestRescue:
    def test_leaves_tasks_of_a_later_release_to_those_who_know_it(self, bare):
        newer, older = bare.add(), bare.add()
        newer.version = VERSION + 1
        bare.manager.commit()
        holding = Holding("a dead instance")
        holding.tasks = {
            stored.id: (stored.reserve(holding.instance), None, None)
            for stored in (newer, older)
        }
        bare.scheduler.holdings[holding.instance] = holding
        look = bare.look(bare.feeder())
        rescue_all(look, {holding.instance})
        assert older.instance == ""
        assert newer.instance == holding.instance
        assert list(holding.tasks) == [newer.id]
        assert holding.instance in bare.scheduler.holdings


class TestValues:
    """Calls, snapshots and options by the names of their fields."""

    @pytest.fixture
    def body(self):
        return Body(make_task())

    def test_what_is_not_known_is_left_out(self, body):
        for stored in (body._call, body._snapshot, body._options):
            stored["added"] = 1
        for read in (body.call, body.snapshot, body.options):
            assert "added" not in {field.name for field in fields(read)}

    def test_what_is_not_there_has_its_default(self, body):
        del body._call["names"], body._call["size"], body._options["priority"]
        assert (body.call.names, body.call.size) == ((), 0)
        assert body.options.priority == 0

    def test_an_interface_that_is_gone_is_left_out(self, caplog):
        names = [("zope.interface", "Interface"), ("zope.interface", "IGone")]
        names.append(("a.package.that.is.gone", "ILayer"))
        assert [each.__name__ for each in formats._interfaces(names)] == ["Interface"]
        assert "zope.interface.IGone is not known any more" in caplog.text
