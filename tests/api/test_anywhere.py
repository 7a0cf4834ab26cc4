"""What the code of a task tells and asks; the same code is called elsewhere, too."""

from collective.background import check_cancelled
from collective.background import current_task
from collective.background import get_scheduler
from collective.background import message
from collective.background import progress
from collective.background import schedule
from collective.background import track
from collective.background.exceptions import BadOption
from collective.background.model.records import Progress
from collective.background.model.records import TaskMessage
from helpers import failure_of
from helpers import finished
from helpers import result_of

import pytest


def work(numbers):
    """Tell all that there is to tell."""
    done = list(track(numbers))
    progress(1, 2, "half of it")
    message("so far so good", "warning")
    check_cancelled()
    return done


def stop_at(tell):
    """Be cancelled, and go on until that is noticed."""
    get_scheduler().cancel(current_task().id)
    tell()
    return "not noticed"


def next_of_three():
    next(track(range(3)))


class TestInATask:
    def test_all_is_told(self, tier):
        task_id = schedule(work, [1, 2])
        record = finished(task_id)
        assert record.progress == Progress(done=1, total=2, message="half of it")
        (told,) = record.messages
        assert told == TaskMessage(text="so far so good", type="warning")
        assert result_of(task_id) == [1, 2]

    @pytest.mark.parametrize(
        ("tell", "arguments"),
        [(check_cancelled, ()), (progress, (1,)), (next_of_three, ())],
    )
    def test_it_can_be_stopped_there(self, functional, tell, arguments):
        record = finished(schedule(lambda: stop_at(lambda: tell(*arguments))))
        assert record.state == "cancelled"

    def test_mistakes_are_its_errors(self, functional):
        record, _ = failure_of(schedule(lambda: message("x", "loud")))
        assert "type is 'loud'" in record.error.message


class TestElsewhere:
    def test_the_same_function_can_be_called(self):
        assert current_task() is None
        assert work(iter("abc")) == ["a", "b", "c"]

    def test_nothing_is_kept_until_the_items_are_asked_for(self):
        def numbers():
            yield 1
            raise AssertionError("not asked for")

        assert next(track(numbers(), total=2)) == 1

    @pytest.mark.parametrize(
        ("tell", "arguments"),
        [
            (progress, ("a third",)),
            (progress, (1, float("nan"))),
            (message, ("x", "loud")),
            (lambda: next(track([], total="many")), ()),
        ],
    )
    def test_mistakes_are_errors_as_well(self, tell, arguments):
        with pytest.raises(BadOption):
            tell(*arguments)
