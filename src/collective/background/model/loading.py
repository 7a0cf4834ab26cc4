"""Where the settings of the process are read.

In the section ``<product-config collective.background>`` of ``zope.conf``, or in
environment variables, which win (``concurrency`` is ``BACKGROUND_CONCURRENCY``). By the
scheduler when it is first used, since Zope knows its configuration only after the
utilities were registered.
"""

from App.config import getConfiguration
from collective.background.exceptions import BadOption
from collective.background.model.config import Settings
from collective.background.model.config import Size
from dataclasses import fields
from difflib import get_close_matches
from ZConfig.datatypes import asBoolean

import os


SECTION = "collective.background"
SECTION_OF = f"<product-config {SECTION}>"
PREFIX = "BACKGROUND_"
NEARLY = 0.85  # of 1; what is less alike may be a variable of another program


def parse_queues(text):
    """Return ``{"imports": 1, "mail": 4}`` for ``"imports=1 mail=4"``."""
    queues = {}
    for item in text.split():
        name, _, number = item.partition("=")
        if name in queues:
            raise BadOption(f"{text!r} has {name} twice; give it once")
        queues[name] = int(number)
    return queues


def parse_names(text):
    """Return the names of queues in ``"imports mail"``, a frozenset."""
    return frozenset(text.split())


PARSERS = {
    int: ("a whole number", int),
    int | None: ("a whole number", int),
    Size: ("a number of bytes, like '256MB'", Size),
    float: ("a number of seconds", float),
    float | None: ("a number of seconds", float),
    bool: ("'on' or 'off'", asBoolean),
    str: ("a word", str.strip),
    str | None: ("a word", str.strip),
    dict: ("a list like 'imports=1 mail=4'", parse_queues),
    frozenset | None: ("names like 'imports mail'", parse_names),
}


def load_settings(environ=os.environ):
    """Return the Settings of this process.

    ``environ``: the environment variables.
    Raises BadOption when a value cannot be read, or a name is unknown; or of a variable
    nearly the name of a setting. It says where that is from.
    """
    product_config = getattr(getConfiguration(), "product_config", None) or {}
    section = product_config.get(SECTION, {})
    known = {setting.name: setting for setting in fields(Settings)}
    unknown = sorted(set(section) - set(known))
    if unknown:
        raise BadOption(
            f"{SECTION_OF} has no setting {', '.join(unknown)}; "
            f"there are: {', '.join(known)}"
        )
    _check_variables(environ, [name.upper() for name in known])
    values = {}
    for name, setting in known.items():
        variable = PREFIX + name.upper()
        if variable in environ:
            values[name] = _read(setting, environ[variable], variable)
        elif name in section:
            values[name] = _read(setting, section[name], SECTION_OF)
    return Settings(**values)


def _check_variables(environ, known):
    """Raise BadOption for a variable that is hardly another's."""
    for name in sorted(environ):
        given = name.removeprefix(PREFIX)
        if given == name or given in known:
            continue
        for nearest in get_close_matches(given, known, n=1, cutoff=NEARLY):
            raise BadOption(
                f"the environment variable {name} is no setting; did you mean "
                f"{PREFIX}{nearest}?"
            )


def _read(setting, text, source):
    """Return the value of a setting. Raises BadOption."""
    expected, parse = PARSERS[setting.type]
    try:
        value = parse(text)
        Settings(**{setting.name: value})  # what is out of range
    except BadOption as error:
        raise BadOption(f"{source}: {error}") from error
    except ValueError as error:
        raise BadOption(
            f"{source}: {setting.name} is {text!r}; expected {expected}"
        ) from error
    return value
