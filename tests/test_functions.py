"""``@task``: functions that know how they are scheduled."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import task
from collective.background.exceptions import BadCall
from collective.background.exceptions import BadOption
from collective.background.exceptions import UnknownOption
from helpers import finished
from helpers import result_of

import pytest
import transaction


@task
def plain(number):
    """Doubles a number."""
    return 2 * number


@task(title="Add", priority=3, retries=1, backoff=0)
def add(one, two=2):
    return one + two


@task(title=lambda name: f"Greet {name}", unique=lambda name: f"greet-{name}")
def greet(name):
    return f"Hello, {name}"


def call(function, *args):
    return function(*args)


class TestFunction:
    def test_stays_callable(self):
        assert plain(4) == 8
        assert add(1, two=3) == 4

    def test_keeps_its_name_and_its_text(self):
        assert plain.__name__ == "plain"
        assert plain.__doc__ == "Doubles a number."

    def test_is_scheduled_with_its_options(self, functional):
        record = finished(add.schedule(1, two=5))
        assert (record.title, record.priority) == ("Add", 3)
        assert record.callable == f"{__name__}.add"
        assert get_scheduler().get_result(record.id) == (6, None)

    def test_without_options(self, functional):
        assert result_of(plain.schedule(4)) == 8

    def test_with_other_options_for_once(self, functional):
        record = finished(add.using(title="Sum").schedule(1))
        assert (record.title, record.priority) == ("Sum", 3)
        assert finished(add.schedule(1)).title == "Add"

    def test_may_be_scheduled_like_any_other(self, functional):
        record = finished(schedule(add, 1))
        assert record.title == f"{__name__}.add"
        assert record.priority == 0

    def test_may_be_an_argument(self, functional):
        assert result_of(schedule(call, plain, 4)) == 8


class TestOptionsOfTheArguments:
    def test_title(self, functional):
        assert finished(greet.schedule("Jane")).title == "Greet Jane"

    def test_unique(self, functional):
        first = greet.schedule("Jane")
        assert greet.schedule("Jane") == first
        assert greet.schedule("John") != first
        transaction.abort()

    def test_what_is_no_text_is_refused(self, functional):
        with pytest.raises(BadOption, match="title is 7"):
            greet.using(title=lambda name: 7).schedule("Jane")


class TestMistakesAreToldAtTheDefinition:
    def test_an_unknown_option(self):
        with pytest.raises(UnknownOption, match="did you mean 'retries'"):
            task(retrys=3)

    def test_a_bad_value(self):
        with pytest.raises(BadOption, match="retries is -1"):
            task(retries=-1)
        with pytest.raises(BadOption, match="delay is -1"):
            plain.using(delay=-1)

    def test_a_function_that_cannot_be_found_again(self):
        with pytest.raises(BadCall, match="local"):

            @task
            def local():
                """Has no name in its module."""
