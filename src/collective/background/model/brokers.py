"""Brokers: how workers of Celery are reached. Nothing of Celery is imported here."""

from collective.background.exceptions import BadOption
from importlib.util import find_spec
from urllib.parse import urlsplit


HIDDEN = "***"
REDIS = ("redis", "rediss")
# "memory" is for tests. Redis Sentinel needs more than an address.
KNOWN = (*REDIS, "redis+socket", "amqp", "amqps", "pyamqp", "memory")


def check_broker(url):
    """Raise BadOption for what is no address of a broker, or if there is no Celery.

    It may have a password in it, so it is not in the message.
    """
    # There may be several of a cluster.
    if not all(map(_is_address, url.split(";"))):
        raise BadOption(
            "celery_broker is no address of a broker; it must be one like "
            "'redis://localhost:6379/0' or 'amqp://user:password@localhost//', with "
            "%2F for a slash in the password"
        )
    schemes = {address.partition("://")[0] for address in url.split(";")}
    for scheme in sorted(schemes.difference(KNOWN)):
        raise BadOption(
            f"celery_broker has an address of {scheme!r}; workers are reached by Redis "
            "(redis, rediss, redis+socket) or RabbitMQ (amqp, amqps), and not by Redis "
            "Sentinel: give the address of a proxy that knows which server is the first"
        )
    if ";" in url and any(map(is_redis, url.split(";"))):
        raise BadOption(
            "celery_broker has several addresses, and that of Redis: servers of Redis "
            "do not share their messages, and workers would wait at another one; give "
            "one address, or those of a cluster of RabbitMQ"
        )
    if find_spec("celery") is None:
        raise BadOption(
            "celery_broker is set, but Celery is not installed: install "
            "collective.background[celery], or remove the setting"
        )


def _is_address(url):
    try:
        parts = urlsplit(url)
        # What is no port may be a part of a password, which others would log.
        return bool(parts.scheme) and "://" in url and parts.port != 0
    except ValueError:
        return False


def is_redis(url):
    """Whether the address is that of Redis."""
    return url.partition(":")[0].partition("+")[0] in REDIS


def shown_broker(url):
    """Return the address of a broker without the passwords that may be in it."""
    return ";".join(map(_shown, url.split(";")))


def _shown(url):
    scheme, _, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    if "?" in place:  # what is a password, and where it ends, is not to be seen
        return f"{scheme}://{HIDDEN}"
    path = path.partition("?")[0]  # there may be passwords, too
    account, at, server = place.rpartition("@")
    if at:
        account = f"{account.partition(':')[0]}:{HIDDEN}"
    return f"{scheme}://{account}{at}{server}{slash}{path}"
