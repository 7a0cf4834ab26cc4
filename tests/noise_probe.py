"""An application of Celery that reads as ours does, and starts no Zope.

``celery -A noise_probe worker``; the broker is that of the settings.
"""

from celery import Celery
from collective.background.celery.app import configuration
from collective.background.celery.messages import TASK
from collective.background.celery.requests import WellFormed

import logging


logger = logging.getLogger(__name__)

app = Celery("noise_probe", set_as_current=False)
app.add_defaults({**configuration(), "imports": ()})


@app.task(name=TASK, Request=WellFormed)
def run(payload):
    logger.warning("received %s", payload)
