"""What all views of the package have in common: methods, and the fields of a form.

Comes in: whatever a client sends; Zope makes lists, numbers, records and dates of
fields with names like ``ids:list``. Goes out: texts and numbers, or an answer that says
what was wrong. The base of views in ``browser/`` and ``controlpanel/``; services read
their fields with it.
"""

from collective.background.showing.handing_out import keep_private
from Products.Five.browser import BrowserView
from zExceptions import BadRequest
from zExceptions import MethodNotAllowed


METHODS = ("GET", "HEAD", "POST")
MAX_DIGITS = 9  # of a number; with far more neither Python nor a list can do anything


class PageView(BrowserView):
    """A view for browsers. Any method but METHODS is answered with 405.

    What it answers is for the user who asks, and for nobody else.
    """

    def browserDefault(self, request):
        """Called by the publisher at the end of the address."""
        if request.method not in METHODS:
            request.response.setHeader("Allow", ", ".join(METHODS))
            raise MethodNotAllowed(f"{request.method} is not one of {METHODS}")
        keep_private(request.response)
        return self, ()


def read_text(form, name, default=""):
    """Return the text of a field of a form; ``default`` if there is no such field.

    Raises BadRequest.
    """
    return _check_text(name, form.get(name, default))


def read_texts(form, name):
    """Return a list of the texts of a field, which may be there more than once.

    Raises BadRequest.
    """
    values = form.get(name, [])
    if not isinstance(values, list | tuple):
        values = [values]
    return [_check_text(name, value) for value in values]


def read_number(form, name, default):
    """Return the whole number, from 0, that a field of a form has; or ``default``.

    Raises BadRequest. Links between the pages of lists have it as ``b_start:int``.
    """
    text = str(form.get(name, default))
    if not text.isdecimal() or len(text) > MAX_DIGITS:
        raise BadRequest(
            f"{name} is {text!r:.100}; it must be one whole number with at most "
            f"{MAX_DIGITS} digits"
        )
    return int(text)


def _check_text(name, value):
    if not isinstance(value, str):
        raise BadRequest(f"{name} is {value!r:.100}; it must be one text")
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise BadRequest(f"{name} is {value!r:.100}; it must be encoded as UTF-8")
    return value
