"""The application of Celery, whose workers execute tasks in the database.

``celery -A collective.background.celery.app worker`` finds ``app`` here. Its settings
are those of the process, which are read when they are first needed; ZOPE_CONF says
where ``zope.conf`` is.
"""

from celery import Celery
from celery.app.registry import TaskRegistry
from collective.background.celery.messages import broker_queue
from collective.background.celery.messages import TASK
from collective.background.executing.starting import configure_if_told
from collective.background.model.brokers import is_redis
from collective.background.model.brokers import REDIS
from collective.background.model.config import DEFAULT_QUEUE
from collective.background.model.loading import load_settings
from kombu import Queue
from kombu.transport import TRANSPORT_ALIASES

import ssl


CONNECTING = 5.0  # seconds for one try to reach the broker
# RabbitMQ does not answer while its memory or its disk is full, not even to who wants
# to go. Seconds for that; Redis has other names for it.
ANSWERING = {"read_timeout": 5.0, "write_timeout": 5.0}
# Without these, anybody would be trusted to be the broker.
TLS = {
    "rediss": {"ssl_cert_reqs": ssl.CERT_REQUIRED},
    "amqps": {"server_hostname": None},  # that of the address
}
BOOTING = 120.0  # seconds that Zope may need until a child of a worker can begin


def configuration():
    """Return the settings of Celery, a dictionary.

    Whether and when a task runs is decided in the database: nothing of that is left to
    the broker, which is not asked for results either.
    """
    configure_if_told()
    settings = load_settings()
    broker = settings.celery_broker
    names = [broker_queue(name) for name in sorted(settings.queues_of_celery)]
    return {
        "broker_url": broker,
        "broker_use_ssl": TLS.get((broker or "").partition(":")[0], False),
        "broker_transport_options": {} if is_redis(broker or "") else ANSWERING,
        "broker_connection_timeout": CONNECTING,
        "broker_connection_retry_on_startup": True,
        # RabbitMQ refuses to have a worker twice, until it sees that one is gone.
        "broker_channel_error_retry": True,
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_backend": None,
        "task_ignore_result": True,
        "task_acks_late": False,
        "task_default_queue": broker_queue(DEFAULT_QUEUE),
        # Each has its own key: with the usual one all would get everything.
        "task_queues": [Queue(name, routing_key=name) for name in names],
        "imports": [
            "collective.background.celery.booting",
            "collective.background.celery.worker",
        ],
        "worker_proc_alive_timeout": BOOTING,
        "worker_consumer": "collective.background.celery.consumer:DroppingConsumer",
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
    }


class OneTask(TaskRegistry):
    """What a message can name. Celery would add its own tasks, and those of add-ons.

    ``@shared_task`` makes them for each application of a process; then who reaches the
    broker could call them here, with any arguments.
    """

    def __setitem__(self, name, task):
        if name == TASK:
            super().__setitem__(name, task)


# Now, since kombu remembers what it has looked up once.
READER = "collective.background.celery.dropping:DroppingTransport"
TRANSPORT_ALIASES.update(dict.fromkeys(REDIS, READER))

# Not the current one of the process: an add-on may have one of its own.
app = Celery("collective.background", set_as_current=False, tasks=OneTask())
app.add_defaults(configuration)
