"""The translation domain of the package, and texts that are shown elsewhere.

``portable_text`` takes what people are to read (titles, messages, progress) from
one thread to others. Called by ``options.py`` and ``running/current.py``.
"""

from zope.i18nmessageid import Message
from zope.i18nmessageid import MessageFactory


_ = MessageFactory("collective.background")

# What a translation takes as it is.
VALUES = (str, int, float, type(None))


def portable_text(text):
    """Return the text, without any objects that belong to the current thread.

    ``text``: a string. The values of a Message may be anything, content too; those
    that are neither texts nor numbers become texts.
    """
    if not isinstance(text, Message) or not text.mapping:
        return text
    values = {name: _portable_value(value) for name, value in text.mapping.items()}
    return Message(text, mapping=values)


def _portable_value(value):
    if isinstance(value, Message):
        return portable_text(value)
    return value if type(value) in VALUES else str(value)
