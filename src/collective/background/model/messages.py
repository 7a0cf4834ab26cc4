"""The translation domain of the package, and texts that come in from outside.

Titles, messages, progress, log lines, names and errors become plain texts where they
come in: of the builtin class, of bounded length, that UTF-8 can encode, and without
what would spoil a page, a mail or a log. Called by ``options``, ``running/current``,
and wherever else a text is taken in.
"""

from collective.background.model.numbers import LARGEST
from itertools import islice
from zope.i18nmessageid import Message
from zope.i18nmessageid import MessageFactory

import re


_ = MessageFactory("collective.background")

# Characters at the most.
TITLE_LENGTH = 300
NAME_LENGTH = 1_000
TEXT_LENGTH = 2_000
MAX_VALUES = 20  # of a Message

# Control characters, and those that turn the direction of what comes after them.
_UNREADABLE = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff"
)
_OF_TEXTS = re.compile(f"[{_UNREADABLE}]")
_OF_LINES = re.compile(f"[{_UNREADABLE}\t\n ]+")


def portable_text(text, length=TEXT_LENGTH):
    """Return a text that any thread, page, log or database can take.

    ``text``: what is no string becomes one; a Message stays one, its values become
    texts or plain numbers. ``length``: characters at the most; the values of a Message
    have together as many again.
    """
    return _portable(text, length, _tidy_text)


def portable_line(text, length=TITLE_LENGTH):
    """Return the same without line breaks."""
    return _portable(text, length, _tidy_line)


def portable_key(text):
    """Return a plain string for comparing, of which nothing is left out.

    ``text``: a string; what UTF-8 cannot encode of it is written as an escape.
    """
    return _encodable(str.__str__(text))


def _portable(text, length, tidy):
    if isinstance(text, Message):
        return _portable_message(text, length, tidy)
    # Most are, and of progress there are millions.
    if type(text) is str and len(text) <= length and text.isprintable():
        return text
    # Of a class derived from str: a plain one.
    plain = str.__str__(text if isinstance(text, str) else str(text))
    return _cut(tidy(_cut(plain, length)), length)


def _portable_message(message, length, tidy):
    def portable(text):
        return None if text is None else _portable(text, length, tidy)

    left = length
    values = {}
    for name, value in islice((message.mapping or {}).items(), MAX_VALUES):
        if not _is_plain_number(value):
            value = _portable(value, max(left, 1), tidy)
            left -= len(value)
        values[str(name)] = value
    return Message(
        _portable(str.__str__(message), length, tidy),
        domain=message.domain,
        default=portable(message.default),
        mapping=values or None,
        msgid_plural=portable(message.msgid_plural),
        default_plural=portable(message.default_plural),
        number=message.number,
    )


def _is_plain_number(value):
    return value is None or (type(value) in (int, float) and abs(value) <= LARGEST)


def _cut(text, length):
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _tidy_text(text):
    return _encodable(_OF_TEXTS.sub(" ", text.replace("\r\n", "\n")))


def _tidy_line(text):
    return _encodable(_OF_LINES.sub(" ", text).strip())


def _encodable(text):
    return text.encode(errors="backslashreplace").decode()
