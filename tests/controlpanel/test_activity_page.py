"""Queues, slots and pictures."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.model.records import InstanceStatus
from collective.background.testing import drain
from helpers import finished
from helpers import TIMEOUT
from zope.component.hooks import site as in_site

import pytest
import transaction


PAGE = "@@background-tasks-activity"


def cells(user):
    """Return slots, those in use and the waiting tasks of the usual queue."""
    return [int(text) for text in user.texts("tr[data-queue=default] td")[:3]]


class TestQueues:
    def test_are_shown_with_slots_and_waiting_tasks(self, boss, portal, held):
        slots = get_scheduler().settings.queues["default"]
        for _ in range(slots + 1):
            schedule(held)
        transaction.commit()
        assert held.started.wait(TIMEOUT)
        [queue] = [q for q in get_scheduler().queues() if q.name == "default"]
        assert cells(boss.look(PAGE))[0] == slots
        assert sum(cells(boss)[1:]) == slots + 1 == queue.running + queue.waiting

    def test_pause_and_resume(self, boss, portal, resumed):
        boss.look(PAGE).press("pause", "default")
        assert "The queue default pauses." in boss.contents
        task_id = schedule(int)
        boss.look(PAGE)
        assert cells(boss)[2] == 1
        boss.press("resume", "default")
        assert "The queue default goes on." in boss.contents
        assert get_scheduler().wait(task_id, TIMEOUT).state == "succeeded"

    @pytest.mark.parametrize("form", ["pause=odd", "resume=odd", ""])
    def test_that_do_not_exist_are_refused(self, boss, form):
        token = boss.look(PAGE).find("input[name=_authenticator]")["value"]
        boss.post(PAGE, f"{form}&_authenticator={token}")
        assert boss.status == 400


class TestSlots:
    def test_show_who_uses_them(self, boss, portal, held):
        task_id = using(title="A long one").schedule(held)
        transaction.commit()
        assert held.started.wait(TIMEOUT)
        boss.look(PAGE)
        [row] = boss.texts("#background-tasks-running tbody tr")
        record = get_scheduler().record(task_id)
        assert "A long one default test_user_1_" in row
        assert row.endswith(record.instance)

    def test_without_tasks_say_so(self, boss, portal):
        assert "No task of this site runs." in boss.look(PAGE).contents

    def test_of_one_instance_name_no_instances(self, boss, portal, held):
        schedule(held)
        transaction.commit()
        assert held.started.wait(TIMEOUT)
        assert boss.look(PAGE).find("#background-tasks-instances") is None

    def test_of_several_instances_name_them(self, boss, portal, held, monkeypatch):
        schedule(held)
        transaction.commit()
        assert held.started.wait(TIMEOUT)
        read = get_scheduler().instances
        other = InstanceStatus(id="other:1:x", slots={"default": 1}, running=0)
        monkeypatch.setattr(get_scheduler(), "instances", lambda: [*read(), other])
        instance = get_scheduler().instance
        assert set(boss.look(PAGE).texts("#background-tasks-instances li")) == {
            f"{instance} : 1",
            "other:1:x : 0",
        }

    def test_that_tasks_elsewhere_use_are_only_counted(self, boss, portal, held):
        with in_site(None):
            using(title="Elsewhere").schedule(held)
        transaction.commit()
        assert held.started.wait(TIMEOUT)
        boss.look(PAGE)
        assert "Slots that tasks of other sites use: 1" in boss.contents
        assert "Elsewhere" not in boss.contents


class TestPictures:
    def test_have_an_accessible_name_and_a_table(self, boss, portal):
        finished(schedule(int))
        drain()
        boss.look(PAGE)
        pictures = boss.find_all("svg[role=img]")
        assert len(pictures) == 4
        for picture in pictures:
            names = [boss.find(f"#{i}") for i in picture["aria-labelledby"].split()]
            assert all(name.get_text(strip=True) for name in names)
        for length in ("hour", "day"):
            assert boss.find_all(f"#numbers-{length} tbody tr")

    def test_show_what_has_ended(self, boss, portal):
        finished(schedule(int))
        drain()
        boss.look(PAGE)
        for length in ("hour", "day"):
            chart = f"svg[aria-labelledby^=chart-{length}-ends]"
            assert boss.find_all(f"{chart} rect.succeeded")

    def test_bring_no_styles_of_their_own(self, boss, portal):
        """A strict Content-Security-Policy refuses these."""
        finished(schedule(int))
        drain()
        boss.look(PAGE)
        assert boss.find("#background-tasks-part").select("[style], style") == []


def test_the_broker_of_celery_is_told_without_its_password(boss, settings):
    boss.look(PAGE)
    assert not boss.find("#background-tasks-broker")
    settings(celery_broker="redis://:secret@localhost/0")
    boss.look(PAGE)
    [text] = boss.texts("#background-tasks-broker")
    assert text.startswith("The broker of Celery is redis://:***@localhost/0")
    assert text.endswith("no worker has begun: 0")
    assert "secret" not in boss.contents
