"""What the console script does with tasks.

Each function takes the scheduler of the site, the arguments of the command, and the
Output; it returns whether all is fine. They raise as the scheduler does.
"""

from collective.background.command.output import complain
from collective.background.exceptions import BackgroundError
from collective.background.exceptions import BadOption
from collective.background.model import states
from collective.background.scheduling.rules import check_timeout
from collective.background.scheduling.rules import not_found
from dataclasses import asdict
from time import monotonic


FILTERS = (
    *("queue", "user_id", "group_id", "context_path", "below"),
    *("callable", "error", "text", "created_after"),
)


def list_tasks(scheduler, arguments, output):
    """Print the tasks that are wanted."""
    if arguments.start < 0 or arguments.limit < 0:
        raise BadOption(
            f"--start is {arguments.start} and --limit is {arguments.limit}; neither "
            "can be negative"
        )
    filters = {name: getattr(arguments, name) for name in FILTERS}
    records = scheduler.records(
        start=arguments.start,
        limit=arguments.limit or None,
        states=arguments.state,
        sort_on=arguments.sort_on,
        descending=not arguments.ascending,
        **filters,
    )
    if arguments.ids:
        for record in records:
            output.line(record.id)
    else:
        output.tasks(records)
    return True


def show(scheduler, arguments, output):
    """Print all that is known of a task."""
    record = _find(scheduler, arguments.id)
    shown = [f"{name}={text}" for name, text in scheduler.arguments(record.id) or ()]
    output.task(record, arguments=shown)
    return True


def retry(scheduler, arguments, output):
    """Queue tasks again; print what could be."""
    return _each(arguments.ids, scheduler.retry, output)


def cancel(scheduler, arguments, output):
    """Cancel tasks; print what could be."""
    return _each(arguments.ids, scheduler.cancel, output)


def delete(scheduler, arguments, output):
    """Forget tasks; print what they were."""

    def remove(id):
        record = _find(scheduler, id)
        scheduler.remove(id)
        return record

    return _each(arguments.ids, remove, output)


def wait(scheduler, arguments, output):
    """Wait until tasks have ended, or all of them; print how; fine: they succeeded."""
    check_timeout(arguments.timeout)
    end = monotonic() + arguments.timeout
    if not arguments.ids:
        scheduler.wait_all(arguments.timeout)
        return True
    records = [scheduler.wait(id, max(0.0, end - monotonic())) for id in arguments.ids]
    output.tasks(records)
    return all(record.state == states.SUCCEEDED for record in records)


def stats(scheduler, arguments, output):
    """Print how many tasks there are, the queues and the instances."""
    counts = {state: scheduler.count(states=state) for state in states.STATES}
    queues = [asdict(queue) for queue in scheduler.queues()]
    instances = [asdict(instance) for instance in scheduler.instances()]
    if output.as_json:
        output.values({"states": counts, "queues": queues, "instances": instances})
        return True
    output.table(("state", "tasks"), [(name, str(n)) for name, n in counts.items()])
    output.line("")
    names = ("name", "slots", "running", "waiting", "paused")
    output.table(names, [[_text(queue[name]) for name in names] for queue in queues])
    output.line("")
    rows = [
        (each["id"], _text(each["running"]), _slots(each["slots"]))
        for each in instances
    ]
    output.table(("instance", "running", "slots"), rows)
    return True


def _text(value):
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _slots(slots):
    return " ".join(f"{name}={count}" for name, count in slots.items())


def _find(scheduler, id):
    record = scheduler.record(id)
    if record is None:
        raise not_found(id)
    return record


def _each(ids, do, output):
    """Do something to each task; say for which it was not possible, and why."""
    done = []
    for id in ids:
        try:
            done.append(do(id))
        except BackgroundError as error:
            complain(error)
    output.tasks(done)
    return len(done) == len(ids)
