"""What cannot be is refused where it is said, with an error of the package."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import group
from collective.background import rerun_in_background
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import schedule_view
from collective.background import using
from collective.background.exceptions import BadOption
from collective.background.testing import drain
from helpers import finished
from helpers import TIMEOUT

import pytest
import transaction


def schedule_again():
    return using(unique="again").schedule(schedule_again)


class TestArguments:
    @pytest.mark.parametrize(
        ("given", "match"),
        [
            ({"form": "a"}, "form is 'a'"),
            ({"form": [("a", 1)]}, "form is"),
            ({"headers": "a"}, "headers is 'a'"),
            ({"method": ["GET"]}, "method is"),
            ({"name": None}, "name is None"),
            ({"name": b"edit"}, "name is b'edit'"),
        ],
    )
    def test_of_views(self, folder, given, match):
        with pytest.raises(BadOption, match=f"^{match}"):
            schedule_view(folder, **{"name": "view", **given})

    @pytest.mark.parametrize("items", [None, 7])
    def test_of_batches(self, functional, items):
        with pytest.raises(BadOption, match=f"^items is {items}; it must be a list"):
            schedule_batch(len, items)

    @pytest.mark.parametrize("view", [None, "edit"])
    def test_of_what_is_to_be_made_again(self, functional, view):
        with pytest.raises(BadOption, match=f"^view is {view!r}"):
            rerun_in_background(view)

    def test_of_groups(self, functional):
        with pytest.raises(BadOption, match=r"^title is"), group(title=lambda: "x"):
            pytest.fail("it was begun")

    @pytest.mark.parametrize("timeout", [-1, "1", float("nan"), float("inf"), True])
    def test_of_waiting(self, tier, timeout):
        scheduler = get_scheduler()
        id = finished(schedule(int)).id
        for wait in (
            lambda: scheduler.wait(id, timeout),
            lambda: scheduler.wait_all(timeout),
            lambda: scheduler.drain(timeout),
            lambda: drain(timeout),
        ):
            with pytest.raises(BadOption, match=r"^timeout is"):
                wait()

    def test_of_waiting_in_tests(self, functional):
        with pytest.raises(BadOption, match=r"^timeout is None"):
            drain(None)


class TestItsOwnKey:
    def test_a_task_is_told_that_it_has_it(self, tier, folder, caplog):
        """Nothing is scheduled, and the log of the task says so."""
        id = using(unique="again").schedule(schedule_again)
        record = finished(id)
        assert record.state == "succeeded"
        assert get_scheduler().count() == 1
        (line,) = [line for line in record.log if "its own unique key" in line]
        assert f"task {id} has scheduled a task with its own unique key 'again'" in line

    def test_others_are_not(self, tier, folder, caplog):
        with group():
            ids = {using(unique="again").schedule(int) for _number in range(2)}
        assert len(ids) == 1
        transaction.commit()
        get_scheduler().wait_all(TIMEOUT)
        assert current_task() is None
        assert "its own unique key" not in caplog.text
