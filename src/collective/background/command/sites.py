"""Zope's database, and the site in it whose tasks are asked for.

Comes in: the arguments of a command. Goes out: the environment of Zope's own user in
the site. Nothing is begun here that only a process does that serves.
"""

from collective.background.command.output import Output
from collective.background.command.starting import opened_database
from collective.background.database.sites import local_scheduler
from collective.background.environment.sites import find_sites
from collective.background.environment.sites import system_environment
from collective.background.exceptions import BadOption
from collective.background.exceptions import Unreachable
from collective.background.model.trail import COMMAND
from collective.background.scheduling.actors import acting
from functools import wraps


NO_SITE = "no site of this database has the add-on"


def in_site(do):
    """Return a function of the arguments of a command, which does something in a site.

    ``do(env, arguments, output)``: what, in the Environment of the site. It returns
    whether all is fine. Raises BadOption if there is no such site, Unreachable.
    """

    @wraps(do)
    def run(arguments):
        with opened_database(arguments.config) as database:
            path = choose_site(site_paths(database), arguments.site)
            with system_environment(database, path) as env, acting(COMMAND):
                return do(env, arguments, Output(env.request, arguments.json))

    return run


def with_scheduler(do):
    """Return the same for ``do(scheduler, arguments, output)``.

    The scheduler is that of the site. Raises Unreachable also if that is in the memory
    of other processes.
    """

    @in_site
    @wraps(do)
    def run(env, arguments, output):
        scheduler = local_scheduler(env.site)
        if scheduler is None:
            path = "/".join(env.site.getPhysicalPath())
            raise Unreachable(
                f"{path} keeps its tasks in the memory of the processes that serve it, "
                "and no other process sees them; use its control panel, or install "
                "'Background tasks in the database'"
            )
        return do(scheduler, arguments, output)

    return run


def choose_site(paths, wanted):
    """Return the path of the site that is wanted.

    ``paths``: of those that have the add-on; ``wanted``: one of them, however it is
    written; None: the only one. Raises BadOption.
    """
    if not paths:
        raise BadOption(NO_SITE)
    shown = ", ".join(paths)
    if wanted is None:
        if len(paths) != 1:
            raise BadOption(f"say which site with --site; there are: {shown}")
        return paths[0]
    path = f"/{wanted.strip('/')}"
    if path not in paths:
        raise BadOption(
            f"there is no site {wanted} in which the add-on is installed; there are: "
            f"{shown}"
        )
    return path


def site_paths(database):
    """Return the paths of all sites that have the add-on, as a list."""
    with system_environment(database) as env:
        return ["/".join(site.getPhysicalPath()) for site in find_sites(env.app)]
