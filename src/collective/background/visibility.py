"""Who may see which task: the documented name of ``showing/visibility.py``."""

from collective.background.showing.visibility import cancel_task
from collective.background.showing.visibility import count_visible
from collective.background.showing.visibility import dismiss_task
from collective.background.showing.visibility import find_visible
from collective.background.showing.visibility import forget_task
from collective.background.showing.visibility import is_trusted
from collective.background.showing.visibility import may_cancel
from collective.background.showing.visibility import may_have_tasks
from collective.background.showing.visibility import may_manage
from collective.background.showing.visibility import retry_task
from collective.background.showing.visibility import task_arguments
from collective.background.showing.visibility import task_result
from collective.background.showing.visibility import visible_record
from collective.background.showing.visibility import visible_records


__all__ = [
    "cancel_task",
    "count_visible",
    "dismiss_task",
    "find_visible",
    "forget_task",
    "is_trusted",
    "may_cancel",
    "may_have_tasks",
    "may_manage",
    "retry_task",
    "task_arguments",
    "task_result",
    "visible_record",
    "visible_records",
]
