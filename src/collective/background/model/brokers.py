"""Brokers: how workers of Celery are reached. Nothing of Celery is imported here."""

from collective.background.exceptions import BadOption
from importlib.util import find_spec
from urllib.parse import urlsplit


HIDDEN = "***"


def check_broker(url):
    """Raise BadOption for what is no address of a broker, or if there is no Celery.

    It may have a password in it, so it is not in the message.
    """
    try:
        is_address = bool(urlsplit(url).scheme) and "://" in url
    except ValueError:
        is_address = False
    if not is_address:
        raise BadOption(
            "celery_broker is no address of a broker; it must be one like "
            "'redis://localhost:6379/0' or 'amqp://user:password@localhost//'"
        )
    if find_spec("celery") is None:
        raise BadOption(
            "celery_broker is set, but Celery is not installed: install "
            "collective.background[celery], or remove the setting"
        )


def shown_broker(url):
    """Return the address of a broker without the password that may be in it."""
    scheme, _, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    path = path.partition("?")[0]  # there may be passwords, too
    account, at, server = place.rpartition("@")
    if at:
        account = f"{account.partition(':')[0]}:{HIDDEN}"
    return f"{scheme}://{account}{at}{server}{slash}{path}"
