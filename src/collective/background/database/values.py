"""What the database keeps of texts, progress, messages and errors: plain values.

See ``formats.py``, which has the same for calls, snapshots and results.
"""

from collective.background.model.records import ErrorInfo
from collective.background.model.records import Progress
from collective.background.model.records import TaskMessage
from dataclasses import fields
from zope.i18nmessageid import Message


def to_dict(obj):
    """Return the fields of a dataclass, by their names."""
    return {field.name: getattr(obj, field.name) for field in fields(obj)}


def from_dict(cls, values):
    """Return an object of a dataclass again."""
    # Another version may have had more of them.
    return cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values})


def store_text(text):
    """Return a text, or what can be stored of a Message."""
    if not isinstance(text, Message):
        return None if text is None else str(text)
    mapping = text.mapping or {}
    return {
        "text": str(text),
        "domain": text.domain,
        "default": store_text(text.default),
        "mapping": {name: _store_value(value) for name, value in mapping.items()},
        "plural": store_text(text.msgid_plural),
        "default_plural": store_text(text.default_plural),
        "number": text.number,
    }


def _store_value(value):
    """The same of a value in a Message, which may be a number as well."""
    return store_text(value) if isinstance(value, str) else value


def load_text(stored):
    """Return the text, or the Message, or whatever else it was, again."""
    if not isinstance(stored, dict):
        return stored
    return Message(
        stored["text"],
        stored["domain"],
        load_text(stored["default"]),
        {name: load_text(value) for name, value in stored["mapping"].items()} or None,
        load_text(stored.get("plural")),
        load_text(stored.get("default_plural")),
        stored.get("number"),
    )


def store_progress(progress):
    """Return what can be stored of a Progress."""
    return {**to_dict(progress), "message": store_text(progress.message)}


def load_progress(stored):
    """Return the Progress again; one of nothing for None."""
    if stored is None:
        return Progress()
    return from_dict(Progress, {**stored, "message": load_text(stored["message"])})


def store_message(message):
    """Return what can be stored of a TaskMessage."""
    return {"text": store_text(message.text), "type": message.type}


def load_message(stored):
    """Return the TaskMessage again."""
    return from_dict(TaskMessage, {**stored, "text": load_text(stored["text"])})


def store_error(error):
    """Return what can be stored of an ErrorInfo, or None for None."""
    return error and {**to_dict(error), "public": store_text(error.public)}


def load_error(stored):
    """Return the ErrorInfo again."""
    return stored and from_dict(
        ErrorInfo, {**stored, "public": load_text(stored.get("public"))}
    )
