"""What the values of options have to be.

Comes in: what somebody has given. Goes out: BadOption, with the name and the value.
Used by ``options.py``.
"""

from Acquisition import aq_base
from collective.background.exceptions import BadOption
from collective.background.model.numbers import LARGEST
from collective.background.model.numbers import plain_number
from datetime import datetime
from math import inf


def check(name, value, is_good, expected):
    """Raise BadOption unless ``is_good(value)``. ``expected``: what it must be."""
    if not is_good(value):
        raise BadOption(f"{name} is {value!r}; it must be {expected}")


def is_bool(value):
    return isinstance(value, bool)


def is_text(value):
    return isinstance(value, str)


def is_text_or_none(value):
    return value is None or isinstance(value, str)


def is_callable_or_none(value):
    return value is None or callable(value)


def is_text_or_callable(value):
    return is_text_or_none(value) or callable(value)


def is_text_or_texts(value):
    several = isinstance(value, list | tuple | set | frozenset)
    return value is None or all(map(is_text, value if several else (value,)))


def is_lock(value):
    return is_text_or_texts(value) or is_function(value)


def is_content(value):
    return hasattr(aq_base(value), "getPhysicalPath")


def is_function(value):
    # Content can be called, too.
    return callable(value) and not is_content(value)


def is_content_or_callable(value):
    return value is None or is_content(value) or callable(aq_base(value))


def is_content_or_none(value):
    return value is None or is_content(value)


def is_whole(value):
    return is_number(value) and isinstance(plain_number(value), int)


def is_count(value):
    return is_whole(value) and value >= 0


def is_duration(value):
    return is_number(value) and value >= 0


def is_timeout(value):
    return value == inf or (is_number(value) and value > 0)


def is_number(value):
    # True is an int for Python, and a mistake for us.
    return not isinstance(value, bool) and plain_number(value) is not None


def is_aware(value):
    return value is None or (
        isinstance(value, datetime) and value.utcoffset() is not None
    )


def is_exception(value):
    return isinstance(value, type) and issubclass(value, Exception)


# What an option has to be, and how that is said.
CHECKS = {
    "title": (is_text_or_callable, "a text"),
    "queue": (is_text, "the name of a queue"),
    "priority": (is_whole, "a whole number"),
    "user": (is_text_or_none, "the id of a user"),
    "delay": (is_duration, f"seconds, from 0 to {LARGEST:.0e}"),
    "eta": (is_aware, "a datetime with a time zone"),
    "retries": (is_count, "a whole number, not less than 0"),
    "backoff": (is_duration, f"seconds, from 0 to {LARGEST:.0e}"),
    "unique": (is_text_or_callable, "a text"),
    "lock": (is_lock, "a text, or several"),
    "timeout": (is_timeout, "seconds, more than 0"),
    "hard_timeout": (is_timeout, "seconds, more than 0"),
    "begin_by": (is_timeout, "seconds, more than 0"),
    "rerun": (is_bool, "True or False"),
    "on_success": (is_callable_or_none, "a function"),
    "on_failure": (is_callable_or_none, "a function"),
    "context": (is_content_or_callable, "content"),
}

# What a function of the arguments has to return.
RETURNED = {
    "title": (is_text, "a text"),
    "unique": (is_text, "a text"),
    "lock": (is_text_or_texts, "a text, several, or None"),
    "context": (is_content_or_none, "content or None"),
}
