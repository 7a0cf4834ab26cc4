"""What a visitor has sent to prove who he is, or who he will be: no task keeps that.

The same rule for fields of forms, of their records, and of JSON, however deep. Comes
in: a form or a body. Goes out: whether there is any, or the form without it. Called by
``capture/snapshot.py`` and ``api/rerunning.py``.
"""

from collections.abc import Mapping
from collective.background.capture.secrets import is_password
from copy import copy
from ZPublisher.HTTPRequest import record

import json


LOG_IN = frozenset({"__ac", "__ac_name", "__ac_password"})


def is_credential(name):
    """Whether a field logs a user in, or is any password. ``name``: of the field."""
    return str(name).lower() in LOG_IN or is_password(name)


def has_credentials(value):
    """Whether there is such a field in a form, or anywhere in a value of it."""
    fields = _fields(value)
    if fields is not None:
        return any(
            is_credential(name) or has_credentials(inner)
            for name, inner in fields.items()
        )
    return isinstance(value, list | tuple) and any(map(has_credentials, value))


def has_credentials_in_json(file):
    """Whether there is such a field in a body. ``file``: is left where it stands.

    Only JSON has fields here: what is none has no credentials. It is read whatever it
    is called, as the REST API does.
    """
    position = file.tell()
    file.seek(0)
    try:
        # By the parser, as bodies may be long: nothing is kept of what it has read.
        json.load(file, object_pairs_hook=_look_for_credentials)
    except (_Found, RecursionError):
        return True  # or nobody knows, and it is no honest request
    except ValueError:
        return False
    finally:
        file.seek(position)
    return False


class _Found(Exception):
    """There are credentials."""


def _look_for_credentials(fields):
    if any(is_credential(name) for name, _ in fields):
        raise _Found


def without_credentials(value):
    """Return a form, or a value of it, without such fields."""
    if not has_credentials(value):
        return value  # as it was
    fields = _fields(value)
    if fields is None:
        return type(value)(map(without_credentials, value))
    kept = {
        name: without_credentials(inner)
        for name, inner in fields.items()
        if not is_credential(name)
    }
    if isinstance(value, record):
        shown = copy(value)
        vars(shown).clear()
        vars(shown).update(kept)
        return shown
    return kept


def _fields(value):
    """Return the fields of a mapping or of a record of a form; None of all else."""
    if isinstance(value, record):
        return vars(value)
    return value if isinstance(value, Mapping) else None
