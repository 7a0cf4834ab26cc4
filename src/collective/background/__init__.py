"""Background tasks for Plone, in threads of the same process."""

from collective.background.api import get_scheduler
from collective.background.api import schedule
from collective.background.api import schedule_batch
from collective.background.api import schedule_request
from collective.background.api import schedule_view
from collective.background.api import using
from collective.background.functions import task
from collective.background.groups import group
from collective.background.recurring import recurring
from collective.background.rerunning import rerun_in_background
from collective.background.running.current import current_task


__all__ = [
    "current_task",
    "get_scheduler",
    "group",
    "recurring",
    "rerun_in_background",
    "schedule",
    "schedule_batch",
    "schedule_request",
    "schedule_view",
    "task",
    "using",
]
