"""``@task``: functions that know how they are scheduled."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import task
from collective.background import using
from collective.background.api.functions import TaskFunction
from collective.background.exceptions import BadCall
from collective.background.exceptions import BadOption
from collective.background.exceptions import NotPortable
from collective.background.exceptions import UnknownOption
from functools import lru_cache
from functools import partial
from functools import wraps
from helpers import finished
from helpers import result_of
from helpers import waiting

import inspect
import pickle
import pytest
import transaction


pytestmark = pytest.mark.usefixtures("functional")


@task(title="Adds two numbers", priority=3, retries=1)
def add(first, second=1):
    """Return the sum."""
    return first + second


@task
def plain(value):
    return value


def key(name, self=None, function=None):
    return f"{name}/{self}/{function}"


@task(title=lambda name, **others: f"Import of {name}", unique=key)
def with_names(name, self=None, function=None):
    return name, self, function


@task(title=lambda name: None)
def without_a_title(name):
    """Nothing to do."""


def doubled(function):
    @wraps(function)
    def wrapper(*args):
        return 2 * function(*args)

    return wrapper


@task(priority=1)
@doubled
def decorated(value):
    return value


def call(function, *args):
    return function(*args)


class TestTheFunction:
    def test_is_called_as_before(self):
        assert add(1) == 2
        assert add(1, second=2) == 3
        assert plain("x") == "x"

    def test_looks_as_before(self):
        assert add.__name__ == "add"
        assert add.__doc__ == "Return the sum."
        assert add.__module__ == __name__
        assert str(inspect.signature(add)) == "(first, second=1)"

    def test_may_be_decorated(self):
        assert decorated(4) == 8
        assert result_of(decorated.schedule(4)) == 8


class TestSchedule:
    def test_has_the_options(self):
        record = finished(add.schedule(1, second=2))
        assert record.title == "Adds two numbers"
        assert record.priority == 3
        assert record.callable == f"{__name__}.add"
        assert get_scheduler().get_result(record.id) == (3, None)

    def test_without_options(self):
        assert result_of(plain.schedule("x")) == "x"

    def test_arguments_are_checked(self):
        with pytest.raises(BadCall, match=r"add\(\): missing a required argument"):
            add.schedule()
        with pytest.raises(NotPortable, match=r"argument 'first' of .*add"):
            add.schedule(memoryview(b""))

    def test_arguments_may_have_any_name(self):
        task_id = with_names.schedule("a", self=1, function=2)
        assert result_of(task_id) == ("a", 1, 2)

    def test_the_title_may_depend_on_the_arguments(self):
        assert finished(with_names.schedule("countries")).title == "Import of countries"
        assert finished(with_names.schedule(name="areas")).title == "Import of areas"

    def test_so_may_the_key(self):
        with waiting():
            first = with_names.schedule("a")
            assert with_names.schedule("a") == first
            assert with_names.schedule("b") != first
            transaction.abort()

    def test_what_depends_on_them_must_be_a_text(self):
        with pytest.raises(
            BadOption, match=r"^title is None; .* text, which title\(…\) has to return$"
        ):
            without_a_title.schedule("x")


class TestUsing:
    def test_adds_options(self):
        record = finished(add.using(priority=7, user="admin").schedule(1))
        assert record.title == "Adds two numbers"
        assert record.priority == 7
        assert record.user_id == "admin"

    def test_changes_nothing_for_others(self):
        add.using(title="Other")
        assert finished(add.schedule(1)).title == "Adds two numbers"

    def test_is_checked_at_once(self):
        with pytest.raises(BadOption, match=r"^priority is 'high'"):
            add.using(priority="high")
        with pytest.raises(UnknownOption, match="did you mean 'title'"):
            add.using(titel="x")


class TestAsAnArgument:
    def test_travels_by_its_name(self):
        assert pickle.loads(pickle.dumps(add)) is add

    def test_of_another_task(self):
        assert result_of(schedule(call, add, 1, 2)) == 3

    def test_of_a_batch(self):
        record = finished(using(title="All").schedule_batch(add, [1, 2, 3]))
        assert record.state == "succeeded"
        assert record.callable == f"{__name__}.add"

    def test_schedule_calls_it_without_its_options(self):
        """They are those of ``add.schedule()``."""
        record = finished(schedule(add, 1))
        assert record.title == record.callable == f"{__name__}.add"
        assert record.priority == 0

    def test_of_partial(self):
        assert result_of(schedule(partial(add, second=5), 1)) == 6


class TestOptionsOfAllCalls:
    """A title or a key that depends on the arguments."""

    @pytest.mark.parametrize("inline_below", [0, 10])
    def test_of_a_batch(self, inline_below):
        titled = using(title=lambda items, base: f"{len(items)} items, base {base}")
        task_id = titled.schedule_batch(
            int, ["1", "2"], base=10, inline_below=inline_below
        )
        assert finished(task_id).title == "2 items, base 10"

    def test_of_a_view(self, portal):
        titled = using(title=lambda context, name, form: f"{name}: {form}")
        with waiting():
            task_id = titled.schedule_view(portal, "@@sitemap", {"a": 1})
            title = get_scheduler().record(task_id).title
            transaction.abort()
        assert title == "@@sitemap: {'a': 1}"

    def test_of_a_request(self):
        titled = using(title=lambda method, url, **others: f"{method} to the hook")
        with waiting():
            task_id = titled.schedule_request("POST", "http://localhost/", data=b"")
            title = get_scheduler().record(task_id).title
            transaction.abort()
        assert title == "POST to the hook"


class TestMistakes:
    """They are told when the function is defined."""

    def test_an_unknown_option(self):
        with pytest.raises(UnknownOption, match="'retry'; did you mean 'retry_on'"):
            task(retry=3)

    def test_a_bad_value(self):
        with pytest.raises(
            BadOption, match=r"^retries is -1; it must be a whole number"
        ):
            task(retries=-1)

    def test_a_function_inside_of_another(self):
        with pytest.raises(
            BadCall, match=r"functions of a module, .*<locals>\.inner is"
        ):

            @task
            def inner():
                """Cannot be found by its name."""

    def test_a_method(self):
        with pytest.raises(BadCall, match=r"Importer\.run is inside of something"):

            class Importer:
                @task(title="Import")
                def run(self):
                    """Would have no instance."""

    @pytest.mark.parametrize(
        "thing",
        ["Import", 7, dict, partial(add, 1)],
        ids=["text", "number", "class", "partial"],
    )
    def test_what_is_no_function(self, thing):
        with pytest.raises(BadCall, match=r"is none; .* @task\(title='Import'\)"):
            task(thing)

    def test_a_coroutine(self):
        with pytest.raises(BadCall, match="coroutine is a coroutine function"):
            task(coroutine)

    def test_a_generator(self):
        with pytest.raises(BadCall, match="generator is a generator"):
            task(generator)

    def test_a_function_with_a_cache_is_none(self):
        """It has a name, and can be carried."""
        assert isinstance(task(cached), TaskFunction)


async def coroutine():
    """Would have to be awaited."""


def generator():
    yield


@lru_cache
def cached():
    return 1
