"""The options of ``using()``: each is checked before anything is scheduled."""

from collective.background import exceptions
from collective.background import using
from collective.background.messages import _
from collective.background.options import make_options
from collective.background.options import Options
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
    assert make_options({"title": title}).title is title


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("titel", "title"), ("que", "queue"), ("prio", "priority"), ("users", "user")],
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
    ],
)
def test_a_wrong_type_is_refused(name, value):
    with pytest.raises(ValueError, match=f"^{name} is {value!r}; it must be ") as info:
        using(**{name: value})
    assert type(info.value) is exceptions.BadOption


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_all_errors_have_one_base(error):
    assert issubclass(error, exceptions.BackgroundError)
    assert error.__doc__
