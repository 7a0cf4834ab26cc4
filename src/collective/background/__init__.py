"""Background tasks for Plone, in threads of the same process."""

from collective.background.api.functions import task
from collective.background.api.groups import group
from collective.background.api.inside import check_cancelled
from collective.background.api.inside import message
from collective.background.api.inside import progress
from collective.background.api.inside import track
from collective.background.api.rerunning import rerun_in_background
from collective.background.api.scheduling import get_scheduler
from collective.background.api.scheduling import schedule
from collective.background.api.scheduling import schedule_batch
from collective.background.api.scheduling import schedule_external
from collective.background.api.scheduling import schedule_request
from collective.background.api.scheduling import schedule_view
from collective.background.api.scheduling import using
from collective.background.recurring import recurring
from collective.background.running.current import current_task


__all__ = [
    "check_cancelled",
    "current_task",
    "get_scheduler",
    "group",
    "message",
    "progress",
    "recurring",
    "rerun_in_background",
    "schedule",
    "schedule_batch",
    "schedule_external",
    "schedule_request",
    "schedule_view",
    "task",
    "track",
    "using",
]
