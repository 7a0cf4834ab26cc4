"""Zope's database, and the site in it whose tasks are asked for.

Comes in: the arguments of a command. Goes out: the environment of Zope's own user in
the site. Nothing is begun here that only a process does that serves.
"""

from collective.background.api.scheduling import get_scheduler
from collective.background.command.output import Output
from collective.background.command.starting import opened_database
from collective.background.database.sites import local_scheduler
from collective.background.environment.sites import find_sites
from collective.background.environment.sites import system_environment
from collective.background.exceptions import BadOption
from collective.background.exceptions import Unreachable
from functools import wraps


def in_site(do):
    """Return a function of the arguments of a command, which does something in a site.

    ``do(scheduler, arguments, output)``: what. It returns whether all is fine.
    Raises BadOption if there is no such site, Unreachable.
    """

    @wraps(do)
    def run(arguments):
        with opened_database(arguments.config) as database:
            path = choose_site(database, arguments.site)
            with system_environment(database, path) as env:
                _check_shared(env.site, path)
                output = Output(env.request, arguments.json)
                return do(get_scheduler(), arguments, output)

    return run


def _check_shared(site, path):
    """Raise Unreachable if its tasks are in the memory of other processes."""
    if local_scheduler(site) is None:
        raise Unreachable(
            f"{path} keeps its tasks in the memory of the processes that serve it, and "
            "no other process sees them; use its control panel, or install 'Background "
            "tasks in the database'"
        )


def choose_site(database, wanted):
    """Return the path of a site that has the add-on.

    ``wanted``: its path; None: that of the only one. Raises BadOption.
    """
    paths = site_paths(database)
    shown = ", ".join(paths) or "none"
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
