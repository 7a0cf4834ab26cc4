"""Who has lost all attempts but the last makes that one alone."""

from collective.background import schedule
from collective.background.running.gate import Gate
from collective.background.testing import drain
from helpers import finished
from helpers import TellingCondition
from plone import api

import pytest
import threading
import transaction


TIMEOUT = 30  # seconds


@pytest.fixture
def gate():
    gate = Gate(patience=TIMEOUT)
    gate._changed = TellingCondition()
    return gate


class Visit:
    """An attempt in a thread of its own, that stays until it is told to leave."""

    def __init__(self, gate, alone):
        self.entered = threading.Event()
        self.leave = threading.Event()
        self._thread = threading.Thread(target=self._pass, args=(gate, alone))
        self._thread.start()

    def _pass(self, gate, alone):
        with gate.attempt(alone):
            self.entered.set()
            self.leave.wait(TIMEOUT)

    def end(self):
        self.leave.set()
        self._thread.join(TIMEOUT)
        return self.entered.is_set()


class TestGate:
    def test_attempts_pass_together(self, gate):
        visits = [Visit(gate, alone=False) for _ in range(3)]
        assert all(visit.entered.wait(TIMEOUT) for visit in visits)
        assert all(visit.end() for visit in visits)

    def test_the_last_attempt_waits_for_those_inside(self, gate):
        other = Visit(gate, alone=False)
        other.entered.wait(TIMEOUT)
        alone = Visit(gate, alone=True)
        gate._changed.is_waited_for()
        assert not alone.entered.is_set()
        other.end()
        assert alone.entered.wait(TIMEOUT)
        alone.end()

    @pytest.mark.parametrize("is_last", [False, True])
    def test_others_wait_for_the_last_attempt(self, gate, is_last):
        alone = Visit(gate, alone=True)
        alone.entered.wait(TIMEOUT)
        other = Visit(gate, alone=is_last)
        gate._changed.is_waited_for(times=1)
        assert not other.entered.is_set()
        alone.end()
        assert other.entered.wait(TIMEOUT)
        other.end()

    def test_nobody_waits_for_ever(self):
        gate = Gate(patience=0.01)
        long = Visit(gate, alone=False)
        long.entered.wait(TIMEOUT)
        alone = Visit(gate, alone=True)
        assert alone.entered.wait(TIMEOUT)
        third = Visit(gate, alone=False)
        assert third.entered.wait(TIMEOUT)
        for visit in (long, alone, third):
            visit.end()

    def test_an_attempt_inside_of_another_one_passes(self, gate):
        with gate.attempt(alone=True), gate.attempt(alone=True):
            pass
        with gate.attempt(alone=False):
            pass


def create(folder, number):
    api.content.create(folder, "Document", f"document-{number}")


def test_tasks_that_write_to_one_folder_all_succeed(folder):
    """Each creation changes the folder, and two tasks run at once all the time."""
    ids = [schedule(create, folder, number) for number in range(40)]
    transaction.commit()
    drain()
    records = [finished(id) for id in ids]
    assert [record.error for record in records if record.error] == []
    assert sorted(folder.objectIds()) == sorted(f"document-{n}" for n in range(40))
