"""The options of ``using()``: each is checked before anything is scheduled."""

from collective.background import exceptions
from collective.background import using
from collective.background.exceptions import BadOption
from collective.background.model.messages import _
from collective.background.model.messages import TITLE_LENGTH
from collective.background.model.options import make_options
from collective.background.model.options import MAX_LOCKS
from collective.background.model.options import Options
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from datetime import UTC
from fractions import Fraction
from inspect import getmembers
from inspect import isclass

import pytest


ERRORS = [
    error
    for _name, error in getmembers(exceptions, isclass)
    if error.__module__ == exceptions.__name__
]


def test_defaults():
    assert make_options({}) == Options(
        title=None, queue="default", priority=0, user=None
    )


def test_all_of_them():
    given = {"title": "Import", "queue": "imports", "priority": -3, "user": "editor1"}
    options = make_options(given)
    assert {name: getattr(options, name) for name in given} == given


def test_a_title_may_be_a_message():
    title = _("Import")
    kept = make_options({"title": title}).title
    assert (kept, kept.domain) == (title, title.domain)


class Content:
    def __str__(self):
        return "A folder"


def test_the_values_of_a_message_are_texts():
    """No objects of the caller's thread travel in a title."""
    inner = _("Part of ${what}", mapping={"what": Content()})
    values = {"what": Content(), "n": 7, "none": None, "inner": inner}
    title = make_options({"title": _("Copy", default="D", mapping=values)}).title
    assert (title, title.domain, title.default) == ("Copy", _("").domain, "D")
    assert title.mapping == {"what": "A folder", "n": 7, "none": None, "inner": inner}
    assert type(title.mapping["what"]) is str
    assert title.mapping["inner"].mapping == {"what": "A folder"}


def test_values_are_of_builtin_classes():
    """What is kept with a task, and shown, needs no code of anybody else."""

    class Text(str):
        """A text of some library's own class."""

    class Number(float):
        """A number of some library's own class."""

    texts = dict.fromkeys(("title", "queue", "user", "unique"), Text("a\udcff"))
    options = make_options(
        texts | {"after": Text("b"), "backoff": Number(3), "delay": Fraction(1, 2)}
    )
    found = [getattr(options, name) for name in texts]
    assert found == ["a\\udcff"] * 4
    assert {type(text) for text in (*found, *options.after)} == {str}
    assert (type(options.backoff), options.delay) == (float, 0.5)


def test_a_title_is_one_line_of_bounded_length():
    title = make_options({"title": "Two\nlines " + "x" * 1_000_000}).title
    assert title.startswith("Two lines x")
    assert len(title) == TITLE_LENGTH


def test_a_key_is_not_cut_but_refused():
    with pytest.raises(BadOption, match="unique has 2000 characters"):
        make_options({"unique": "x" * 2000})
    with pytest.raises(BadOption, match="lock has 2000 characters"):
        make_options({"lock": ("erp", "x" * 2000)})


def test_so_many_locks_are_refused():
    names = [str(number) for number in range(MAX_LOCKS + 1)]
    assert len(make_options({"lock": names[1:]}).lock) == MAX_LOCKS
    with pytest.raises(BadOption, match="lock has 21 texts, and may have 20"):
        make_options({"lock": names})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, ()),
        ("", ()),
        ("erp", ("erp",)),
        (["b", "a", "", "b"], ("a", "b")),
        ({"b", "a"}, ("a", "b")),
        (("/a/b", "/a"), ("/a", "/a/b")),
        (["a\udcff"], ("a\\udcff",)),
    ],
)
def test_locks_are_texts_in_one_order(given, kept):
    for options in (
        make_options({"lock": given}),
        make_options({"lock": lambda number, by: given}).resolve((1,), {"by": 2}),
    ):
        assert options.lock == kept
        assert {type(text) for text in options.lock} <= {str}


@pytest.mark.parametrize("returned", [7, ("a", None), b"a", lambda: "a"])
def test_what_a_function_returns_instead_of_locks_is_refused(returned):
    with pytest.raises(BadOption, match=r"lock is .* which lock\(…\) has to return"):
        make_options({"lock": lambda: returned}).resolve((), {})


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("titel", "title"),
        ("que", "queue"),
        ("prio", "priority"),
        ("users", "user"),
        ("retrys", "retries"),
        ("backof", "backoff"),
        ("time_out", "timeout"),
        ("uniqe", "unique"),
        ("on_sucess", "on_success"),
        ("on_fail", "on_failure"),
        ("giveup_on", "give_up_on"),
    ],
)
def test_an_unknown_one_is_refused_with_the_nearest_name(wrong, right):
    with pytest.raises(TypeError, match=f"'{wrong}'; did you mean '{right}'?"):
        using(**{wrong: None})


def test_an_unknown_one_that_is_like_none_is_refused_with_all_names():
    with pytest.raises(
        exceptions.UnknownOption, match="there are: title, queue, priority, user"
    ):
        using(xyz=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("title", 7),
        ("title", b"bytes"),
        ("queue", None),
        ("queue", 1),
        ("priority", "high"),
        ("priority", 1.5),
        ("priority", None),
        ("priority", True),
        ("user", 7),
        ("user", False),
        ("context", "/plone/folder"),
        ("context", 7),
        ("delay", -1),
        ("delay", "5"),
        ("delay", None),
        ("delay", True),
        ("delay", float("inf")),
        ("delay", float("nan")),
        ("delay", timedelta(minutes=5)),
        ("eta", datetime(2030, 1, 1)),
        ("eta", "2030-01-01T00:00:00Z"),
        ("eta", 1893456000),
        ("retries", -1),
        ("retries", 1.5),
        ("retries", True),
        ("retries", None),
        ("backoff", -0.1),
        ("backoff", float("inf")),
        ("backoff", "5"),
        ("retry_on", "ValueError"),
        ("retry_on", ValueError("an exception, and not its class")),
        ("retry_on", [ValueError, int]),
        ("retry_on", SystemExit),
        ("retry_on", None),
        ("give_up_on", "ValueError"),
        ("give_up_on", (KeyError, None)),
        ("unique", 7),
        ("unique", ("reindex", 1)),
        ("lock", 7),
        ("lock", ("erp", 1)),
        ("lock", {"erp": 1}),
        ("lock", Content()),
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", "60"),
        ("timeout", float("nan")),
        ("timeout", None),
        ("hard_timeout", 0),
        ("hard_timeout", None),
        ("after", None),
        ("after", 7),
        ("after", ["a" * 32, None]),
        ("on_success", "tell"),
        ("on_success", 7),
        ("on_failure", [print]),
    ],
)
def test_a_wrong_type_is_refused(name, value):
    with pytest.raises(exceptions.BadOption) as info:
        using(**{name: value})
    assert str(info.value).startswith(f"{name} is {value!r}; it must be ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("title", len),
        ("delay", 0),
        ("delay", 0.5),
        ("eta", None),
        ("eta", datetime(2030, 1, 1, tzinfo=timezone(timedelta(hours=-3)))),
        ("retries", 0),
        ("backoff", 0),
        ("unique", "reindex"),
        ("unique", len),
        ("lock", len),
        ("timeout", 0.001),
        ("timeout", float("inf")),
        ("on_success", print),
        ("on_failure", None),
    ],
)
def test_a_right_value_is_kept(name, value):
    assert getattr(make_options({name: value}), name) == value


@pytest.mark.parametrize("several", [list, tuple, set, frozenset])
@pytest.mark.parametrize(
    ("name", "value"),
    [("after", "a" * 32), ("retry_on", OSError), ("give_up_on", OSError)],
)
def test_one_value_is_as_good_as_several(name, value, several):
    for given in (value, several([value])):
        assert getattr(make_options({name: given}), name) == (value,)
    assert getattr(make_options({name: several()}), name) == ()


@pytest.mark.parametrize("delay", [5, 0.5])
def test_delay_and_eta_exclude_each_other(delay):
    eta = datetime(2030, 1, 1, tzinfo=UTC)
    with pytest.raises(exceptions.BadOption, match=r"^delay is .* and eta is .*one of"):
        using(delay=delay, eta=eta)


def test_what_errors_say_is_what_to_do():
    with pytest.raises(exceptions.BadOption) as info:
        using(eta=datetime(2030, 1, 1))
    assert str(info.value) == (
        "eta is datetime.datetime(2030, 1, 1, 0, 0); "
        "it must be a datetime with a time zone"
    )


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_all_errors_have_one_base(error):
    assert issubclass(error, exceptions.BackgroundError)
    assert error.__doc__
