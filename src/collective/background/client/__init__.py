"""For workers without Plone: they tell Plone how far a background task is.

This package needs ``requests`` and nothing else. It is also a distribution of its own,
``collective.background.client``. It is for what ``schedule_external()`` has sent.
"""

from collective.background.client.decorator import background_task
from collective.background.client.decorator import NotFromPlone
from collective.background.client.task import BackgroundTask
from collective.background.client.task import Stopped
from collective.background.client.task import TaskFailed


__all__ = [
    "BackgroundTask",
    "NotFromPlone",
    "Stopped",
    "TaskFailed",
    "background_task",
]
