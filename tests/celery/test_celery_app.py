"""The application of Celery: what it takes from the settings, and when."""

from collective.background.exceptions import BadOption
from collective.background.model.brokers import check_broker
from collective.background.model.brokers import shown_broker

import pytest
import subprocess
import sys


def run(code, **environ):
    """Return what a Python process of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_nothing_of_celery_is_imported_without_a_broker():
    code = """
import sys
import collective.background.celery.messages
import collective.background.celery.messenger
import collective.background.celery.relay
import collective.background.database.watch
import collective.background.showing.findings
from collective.background.celery.relay import begin
from collective.background.executing.executor import process_executor
from types import SimpleNamespace
begin(SimpleNamespace(executor=process_executor()))
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"celery", "kombu"}))
"""
    assert run(code) == []


def test_leaves_nothing_to_the_broker():
    code = """
from celery import current_app
from collective.background.celery.app import app
print(app.conf.broker_url, app.conf.accept_content, app.conf.task_serializer)
print(app.conf.task_acks_late, app.conf.worker_prefetch_multiplier)
print(app.conf.task_ignore_result, app.conf.result_backend)
print(current_app._get_current_object() is app)
"""
    url = "redis://localhost:1/0"
    assert run(code, BACKGROUND_CELERY_BROKER=url) == [
        *(url, "['json']", "json"),
        *("False", "1"),
        *("True", "None"),
        "False",
    ]


ZOPE_CONF = """
instancehome {folder}
<zodb_db main>
  mount-point /
  <mappingstorage />
</zodb_db>
<product-config collective.background>
  celery_broker redis://localhost:2/0
</product-config>
"""


def test_finds_the_broker_in_zope_conf(tmp_path):
    """The program ``celery`` has no option for that, only the variable."""
    path = tmp_path / "zope.conf"
    path.write_text(ZOPE_CONF.format(folder=tmp_path))
    code = """
from collective.background.celery.app import app
print(app.conf.broker_url)
"""
    assert run(code, ZOPE_CONF=str(path)) == ["redis://localhost:2/0"]


def test_has_one_task_whatever_add_ons_share():
    code = """
from celery import shared_task
def attack(): pass
shared_task(name="shared.before")(attack)
from collective.background.celery.app import app
import collective.background.celery.worker
app.finalize()
shared_task(name="shared.after")(attack)
print(*app.tasks)
"""
    assert run(code) == ["collective.background.run"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:secret@host/0", "redis://:***@host/0"),
        ("amqp://me:se@cr:et@host//", "amqp://me:***@host//"),
        ("rediss://host/0?ssl_certfile=a&password=secret", "rediss://host/0"),
        ("redis://host?password=secret", "redis://***"),
        ("redis://host?password=se/cr@et", "redis://***"),
        ("memory://", "memory://"),
        ("sentinel://a:1;sentinel://:x@b:2/0", "sentinel://a:1;sentinel://:***@b:2/0"),
    ],
)
def test_the_address_is_shown_without_the_password(url, shown):
    assert shown_broker(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://:secret@host:6379/0",
        "redis://user:secret@host/1",
        "rediss://host?ssl_ca_certs=/path",
        "redis+socket:///path/to/redis.sock",
        "amqp://user:secret@host//",
        "amqps://host/vhost",
        "amqp://one//;amqp://two//",
    ],
)
def test_a_broker_may_be(url):
    check_broker(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("reddis://:secret@host/0", "an address of 'reddis'"),
        ("sentinel://:secret@host:26379", "not by Redis Sentinel"),
        ("redis://:secret@one/0;sqs://", "an address of 'sqs'"),
        ("redis://:secret@one/0;redis://two", "do not share their messages"),
        ("redis://:secret@one/0;amqp://two//", "do not share their messages"),
        ("redis://:secret@one/0;", "no address of a broker"),
    ],
)
def test_a_broker_is_refused(url, reason):
    with pytest.raises(BadOption, match=reason) as raised:
        check_broker(url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("scheme", ["rediss", "amqps"])
def test_certificates_are_verified(scheme):
    code = """
from collective.background.celery.app import app
connection = app.connection_for_read()
print(sorted(connection.ssl))
"""
    [option] = run(code, BACKGROUND_CELERY_BROKER=f"{scheme}://host")
    assert option in ("['ssl_cert_reqs']", "['server_hostname']")


@pytest.mark.parametrize(
    "url", ["redis://host", "rediss://host", "redis+socket:///path"]
)
def test_whoever_reads_from_redis_drops_what_is_no_message(url):
    code = """
from collective.background.celery.app import app
print(type(app.connection_for_read().transport).__name__)
"""
    assert run(code, BACKGROUND_CELERY_BROKER=url) == ["DroppingTransport"]
