"""The options of ``using()``: what can be said about a task besides its call."""

from collective.background.config import DEFAULT_QUEUE
from collective.background.exceptions import BadOption
from collective.background.exceptions import UnknownOption
from dataclasses import dataclass
from dataclasses import fields
from difflib import get_close_matches


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Checked options.

    - ``title``: for people; None: the name of the callable
    - ``queue``: the name of a queue of the process
    - ``priority``: a higher one starts first (an int)
    - ``user``: a user id instead of the current user; for trusted code only

    Raises BadOption for a value that cannot be used.
    """

    title: str | None = None
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    user: str | None = None

    def __post_init__(self):
        _check("title", self.title, (str, type(None)), "a text")
        _check("queue", self.queue, str, "the name of a queue")
        _check("priority", self.priority, int, "a whole number")
        _check("user", self.user, (str, type(None)), "the id of a user")


def _check(name, value, types, expected):
    # True is an int for Python, and a mistake for us.
    if not isinstance(value, types) or isinstance(value, bool):
        raise BadOption(f"{name} is {value!r}; it must be {expected}")


def make_options(options):
    """Return Options of a dictionary.

    Raises UnknownOption, with the nearest name, BadOption.
    """
    known = [option.name for option in fields(Options)]
    for name in options:
        if name not in known:
            nearest = get_close_matches(name, known, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else ""
            raise UnknownOption(
                f"unknown option {name!r}; {hint or 'there are: ' + ', '.join(known)}"
            )
    return Options(**options)
