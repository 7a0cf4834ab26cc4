"""The settings of a site, which its managers change in the control panel.

Those of the process are in ``config.py``.
"""

from collective.background.model.messages import _
from plone.registry.interfaces import IRegistry
from types import SimpleNamespace
from urllib.parse import urlsplit
from zope import schema
from zope.component import queryUtility
from zope.interface import Interface
from zope.schema.vocabulary import SimpleTerm
from zope.schema.vocabulary import SimpleVocabulary

import logging


logger = logging.getLogger(__name__)

PREFIX = "collective.background"

# For whose calls of the REST API the header "Prefer: respond-async" makes tasks.
OFF, MANAGERS, ALL = "off", "managers", "all"


class NoWebAddress(schema.ValidationError):
    __doc__ = _("That is not the address of a site, such as https://www.example.org.")


def is_web_address(text):
    """Return True for the address of a site, or none. Raises NoWebAddress."""
    if not text or _is_web_address(text):
        return True
    raise NoWebAddress(text)


def _is_web_address(text):
    try:
        parts = urlsplit(text)
        is_plain = not (parts.query or parts.fragment or "@" in parts.netloc)
        is_server = bool(parts.hostname) and parts.port != 0  # raises for a bad port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and is_server and is_plain


class IBackgroundSettings(Interface):
    """The records of the registry, below ``PREFIX``."""

    keep = schema.Int(
        title=_("Keep finished tasks"),
        description=_(
            "For how many minutes a task can be seen after it has ended. Goes for "
            "tasks that are scheduled from now on."
        ),
        min=1,
        default=60,
    )

    poll_interval = schema.Int(
        title=_("Refresh"),
        description=_(
            "Every how many seconds a browser asks for news while something changes."
        ),
        min=1,
        max=60,
        default=2,
    )

    show_viewlet = schema.Bool(
        title=_("Show tasks above the content"),
        description=_("Each user sees the tasks of his own."),
        required=False,
        default=True,
    )

    owners_may_cancel = schema.Bool(
        title=_("Users may cancel their own tasks"),
        description=_("If not, only managers of background tasks may cancel any."),
        required=False,
        default=True,
    )

    respond_async = schema.Choice(
        title=_("Calls of the REST API in the background"),
        description=_(
            "Whose calls become tasks, if they ask for it with the header Prefer: "
            "respond-async."
        ),
        vocabulary=SimpleVocabulary(
            [
                SimpleTerm(OFF, title=_("Those of nobody")),
                SimpleTerm(MANAGERS, title=_("Those of managers of background tasks")),
                SimpleTerm(ALL, title=_("Those of all users")),
            ]
        ),
        default=ALL,
    )

    redacted_names = schema.List(
        title=_("Further secret arguments"),
        description=_(
            "One word a line. The value of an argument is not shown if its name has "
            "one of them in it; nor if it is that of a secret, with a word like "
            "password, token, key, session or pin."
        ),
        value_type=schema.TextLine(),
        required=False,
        default=[],
        missing_value=[],
    )

    public_url = schema.TextLine(
        title=_("Public address of the site"),
        description=_(
            "Of its front page, as visitors see it, such as https://www.example.org. "
            "Links in what runs without a visitor (recurring tasks, scripts, and their "
            "mails) begin with it."
        ),
        constraint=is_web_address,
        required=False,
        default="",
        missing_value="",
    )


_DEFAULTS = {
    name: field.default for name, field in schema.getFieldsInOrder(IBackgroundSettings)
}


def background_settings():
    """Return the settings of the current site: an object with their attributes.

    What the site does not have, as it has no add-on, has its default.
    """
    registry = queryUtility(IRegistry) or {}
    return SimpleNamespace(
        **{
            name: registry.get(f"{PREFIX}.{name}", default)
            for name, default in _DEFAULTS.items()
        }
    )


def seconds_to_keep():
    """Return how long the site keeps a finished task; None: as the process does."""
    registry = queryUtility(IRegistry)
    minutes = None if registry is None else registry.get(f"{PREFIX}.keep")
    return None if minutes is None else minutes * 60.0


def public_url():
    """Return the address of the current site for its visitors; "": nobody has said."""
    registry = queryUtility(IRegistry)
    url = "" if registry is None else registry.get(f"{PREFIX}.public_url", "")
    # The registry itself takes any text, from scripts and profiles.
    if url and not _is_web_address(url):
        logger.warning("the public address of the site is %r, which is none", url)
        return ""
    return url
