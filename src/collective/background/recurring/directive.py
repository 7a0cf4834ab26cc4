"""The ZCML directive ``<background:recurring />``, see meta.zcml."""

from collective.background.capture.callables import dotted_name
from collective.background.interfaces import IRecurringTask
from collective.background.recurring.registration import RecurringTask
from collective.background.recurring.schedules import make_schedule
from datetime import timedelta
from zope.component.zcml import utility
from zope.configuration.exceptions import ConfigurationError
from zope.configuration.fields import GlobalObject
from zope.configuration.fields import MessageID
from zope.interface import Interface
from zope.schema import Int
from zope.schema import TextLine


class IRecurringDirective(Interface):
    """Let a function run again and again.

    In each site that has collective.background; or, with ``add_on``, in those
    that have this add-on as well.
    """

    function = GlobalObject(
        title="Function",
        description="The dotted name of a function without arguments.",
    )
    user = TextLine(
        title="User",
        description="The id of the user that it runs as.",
    )
    schedule = TextLine(
        title="Schedule",
        description="A cron expression, in the time zone of the site.",
        required=False,
    )
    seconds = Int(
        title="Seconds",
        description="How long after the last run the next one is; instead of a "
        "schedule.",
        required=False,
    )
    name = TextLine(
        title="Name",
        description="Unique; the dotted name of the function if there is none.",
        required=False,
    )
    title = MessageID(title="Title", description="For people.", required=False)
    queue = TextLine(title="Queue", description="The name of a queue.", required=False)
    add_on = TextLine(
        title="Add-on",
        description="Only in sites that have this add-on.",
        required=False,
    )


def recurring_directive(
    context,
    function,
    user,
    schedule=None,
    seconds=None,
    name=None,
    title=None,
    queue=None,
    add_on="collective.background",
):
    """Handle the directive. With the name of a decorated function, it wins."""
    if schedule is None and seconds is None:
        raise ConfigurationError("either 'schedule' or 'seconds' is needed")
    if schedule is not None and seconds is not None:
        raise ConfigurationError(
            f"schedule is {schedule!r} and seconds is {seconds!r}; give one of them"
        )
    if schedule is None:
        schedule = timedelta(seconds=seconds)
    task = RecurringTask(
        name=dotted_name(function) if name is None else name,
        function=function,
        schedule=make_schedule(schedule),
        user=user,
        title=title,
        queue=queue,
        add_on=add_on,
    )
    utility(context, IRecurringTask, component=task, name=task.name)
