"""The arguments of the console script: which commands there are, and what they take."""

from collective.background.command import celery_worker
from collective.background.command import tasks
from collective.background.command.checking import adopt_site
from collective.background.command.checking import check
from collective.background.command.sites import in_site
from collective.background.command.sites import with_scheduler
from collective.background.command.worker import work
from collective.background.model.selection import SORT_KEYS
from collective.background.model.states import STATES
from datetime import datetime

import argparse


PAGE = 50  # tasks of a list, if nothing else is said
PATIENCE = 3600.0  # seconds that somebody waits, if nothing else is said
EPILOG = (
    "Exit codes: 0 fine; 1 not (no such task, its state does not allow it, it has not "
    "succeeded, something is wrong); 2 the arguments or settings cannot be used; "
    "3 the tasks cannot be reached (no zope.conf, no database); 4 the time to wait is "
    "up; 130 interrupted."
)


def make_parser():
    """Return the ArgumentParser. What it parses has ``run(arguments)``.

    That returns whether all is fine, and raises BackgroundError.
    """
    parser = argparse.ArgumentParser(
        prog="background",
        description="Background tasks of the Plone sites of a Zope installation.",
        epilog=EPILOG,
        allow_abbrev=False,
    )
    _add_common(parser, None, False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name, help, run):
        command = commands.add_parser(
            name, help=help, description=help, epilog=EPILOG, allow_abbrev=False
        )
        # Before and after the name of the command.
        _add_common(command, argparse.SUPPRESS, argparse.SUPPRESS)
        command.set_defaults(run=run)
        return command

    _add_worker(add)
    _add_celery_worker(commands)
    _add_check(add)
    _add_adopt(add)
    _add_list(add)
    show = add("show", "tell all that is known of a task", with_scheduler(tasks.show))
    show.add_argument("id", help="of the task")
    for name, help, run in (
        ("retry", "queue failed, cancelled or lost tasks again", tasks.retry),
        ("cancel", "cancel tasks; running ones are asked to stop", tasks.cancel),
        ("delete", "forget tasks; running ones are asked to stop", tasks.delete),
    ):
        command = add(name, help, with_scheduler(run))
        command.add_argument("ids", nargs="+", metavar="id", help="of a task, or group")
    wait = add("wait", "wait until tasks have ended", with_scheduler(tasks.wait))
    wait.add_argument(
        "ids", nargs="*", metavar="id", help="of a task, or group; none: all tasks"
    )
    wait.add_argument(
        "--timeout",
        type=float,
        default=PATIENCE,
        help="seconds, for all together (default: %(default)g)",
    )
    add(
        "stats",
        "count tasks, and show queues and instances",
        with_scheduler(tasks.stats),
    )
    return parser


def _add_common(parser, nothing, no):
    parser.add_argument(
        "-c",
        "--config",
        default=nothing,
        metavar="FILE",
        help="zope.conf (default: $ZOPE_CONF, or etc/zope.conf)",
    )
    parser.add_argument(
        "--site",
        default=nothing,
        metavar="PATH",
        help="of the site, like /Plone (default: the only one)",
    )
    parser.add_argument(
        "--json", action="store_true", default=no, help="for programs; times are UTC"
    )


def _add_worker(add):
    command = add("worker", "execute tasks, without a web server, until SIGTERM", work)
    option = command.add_argument
    option(
        "--health-port",
        type=int,
        metavar="PORT",
        help="answer probes at /live and /ready over HTTP",
    )
    option(
        "--health-host",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="the address to listen at (default: %(default)s)",
    )
    option(
        "--logging",
        metavar="FILE",
        help="settings of logging, like zope.ini (default: to standard error)",
    )


def _add_celery_worker(commands):
    """Not as the others: ``-c`` is what it is for Celery."""
    help = "execute tasks that a broker sends, as a worker of Celery, until SIGTERM"
    command = commands.add_parser(
        "celery-worker", help=help, description=help, epilog=EPILOG, allow_abbrev=False
    )
    command.set_defaults(run=celery_worker.work)
    option = command.add_argument
    option(
        "zope_conf",
        nargs="?",
        metavar="FILE",
        help="zope.conf (default: $ZOPE_CONF, or etc/zope.conf)",
    )
    option("--config", default=argparse.SUPPRESS, metavar="FILE", help="the same")
    option(
        "-c",
        "--concurrency",
        type=int,
        metavar="NUMBER",
        help="of tasks that run at once (default: that of processors)",
    )
    option(
        "--pool",
        choices=("prefork", "threads"),
        default="prefork",
        help="where they run: each in a process of its own, or in threads of one "
        "process (default: %(default)s)",
    )
    option(
        "--queues",
        type=lambda text: text.split(","),
        metavar="NAMES",
        help="the queues that it serves, like imports,mail (default: all that go to "
        "Celery)",
    )
    option("--hostname", metavar="NAME", help="of the worker, as Celery shows it")
    option(
        "--max-tasks-per-child",
        type=int,
        metavar="NUMBER",
        help="of tasks after which a process of prefork is replaced",
    )
    option(
        "--max-memory-per-child",
        type=int,
        metavar="KIB",
        help="of memory, with more of which it is replaced",
    )
    option("--task-events", action="store_true", help="send events, as for Flower")
    option(
        "--logging",
        metavar="FILE",
        help="settings of logging, like zope.ini (default: to standard error)",
    )


def _add_check(add):
    command = add("check", "tell what is wrong, and what to do about it", check)
    command.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="NAME",
        help="what is not wrong here, like deployment; may be given more than once",
    )


def _add_adopt(add):
    help = "let a site belong to the deployment of this process, as after a copy"
    command = add("adopt", help, in_site(adopt_site))
    command.add_argument(
        "--discard",
        action="store_true",
        help="cancel all of its tasks, and switch its recurring tasks off",
    )


def _add_list(add):
    command = add(
        "list", "list tasks, the newest first", with_scheduler(tasks.list_tasks)
    )
    option = command.add_argument
    option(
        "--state", action="append", choices=STATES, help="may be given more than once"
    )
    option("--queue", help="its name")
    option("--user", dest="user_id", metavar="ID", help="whose tasks")
    option("--group", dest="group_id", metavar="ID", help="of which group")
    option("--context", dest="context_path", metavar="PATH", help="of the content")
    option("--below", metavar="PATH", help="of content, with all that is in it")
    option("--callable", metavar="NAME", help="of the function, or the end of it")
    option("--error", metavar="CLASS", help="dotted name of that of the exception")
    option("--text", help="in title, callable, path, user, id of the task or its error")
    option(
        "--since",
        dest="created_after",
        type=_moment,
        metavar="TIME",
        help="scheduled after that, like 2026-03-01 or 2026-03-01T12:00+01:00",
    )
    option("--sort", dest="sort_on", choices=tuple(SORT_KEYS), default="created")
    option("--ascending", action="store_true", help="the other way round")
    option("--start", type=int, default=0, help="leave so many out")
    option(
        "--limit", type=int, default=PAGE, help="so many (default: %(default)s); 0: all"
    )
    option("--ids", action="store_true", help="ids only, one a line")


def _moment(text):
    """Return an aware datetime; without a time zone it is that of this machine."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no date or time") from error
