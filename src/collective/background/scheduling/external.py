"""What is refused of external tasks, when they are scheduled.

Called by the schedulers, in memory and in the database.
"""

from collective.background.capture.call import EXTERNAL
from collective.background.exceptions import BadOption
from collective.background.model.options import Options


NO_OPTIONS = Options()
# A message is sent, and that is all: what its worker does is not ours to repeat or end.
WITHOUT_EFFECT = (
    *("retries", "backoff", "retry_on", "give_up_on", "rerun"),
    *("timeout", "hard_timeout", "lock"),
)


def check_external(call, options, settings, *, is_stored):
    """Raise BadOption for a call of a worker elsewhere that cannot be made from here.

    ``settings``: of the process; ``is_stored``: whether tasks are in the database.
    """
    if call.kind != EXTERNAL:
        return
    if not is_stored:
        raise BadOption(
            "schedule_external() needs tasks that survive a restart; install the "
            'add-on "Background tasks in the database" in this site'
        )
    if settings.celery_broker is None:
        raise BadOption(
            "schedule_external() needs a broker; set celery_broker to its address"
        )
    for name in WITHOUT_EFFECT:
        value = getattr(options, name)
        if value != getattr(NO_OPTIONS, name):
            raise BadOption(
                f"{name} is {value!r}, and has no effect on a worker elsewhere: that "
                "is for the options of its own application of Celery"
            )
