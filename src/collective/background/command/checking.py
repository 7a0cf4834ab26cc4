"""Whether an installation is as it should be, and to which deployment sites belong."""

from collective.background.command.output import Output
from collective.background.command.sites import choose_site
from collective.background.command.sites import site_paths
from collective.background.command.starting import opened_database
from collective.background.database.observing import observe
from collective.background.database.sites import local_scheduler
from collective.background.deployment import adopt
from collective.background.deployment import deployment_of
from collective.background.deployment import discard
from collective.background.environment.sites import system_environment
from collective.background.executing.executor import process_executor
from collective.background.model import states
from collective.background.recurring.control import enabled_names
from collective.background.showing import findings
from dataclasses import asdict

import transaction


def check(arguments):
    """Print what is wrong, each with its remedy; return whether nothing is.

    Raises BadOption, also for settings that cannot be used, and Unreachable.
    """
    with opened_database(arguments.config) as database:
        found = [
            finding
            for finding in _find(database, arguments.site)
            if finding.name not in arguments.ignore
        ]
    output = Output(None, arguments.json)
    if output.as_json:
        output.values([asdict(finding) for finding in found])
        return not found
    for finding in found:
        place = f" ({finding.site})" if finding.site else ""
        output.line(f"{finding.name}{place}: {finding.text}")
        output.line(f"    {finding.remedy}")
    if not found:
        output.line("nothing is wrong")
    return not found


def _find(database, wanted):
    """Yield Findings; of all sites if None is wanted."""
    settings = process_executor().settings
    yield from findings.of_process(database, settings)
    observed = observe(database, settings.lease)
    paths = site_paths(database)
    if wanted is not None:
        paths = [choose_site(paths, wanted)]
    elif not paths:
        yield findings.no_site()
    of_sites = []
    for path in paths:
        with system_environment(database, path) as env:
            of_sites += findings.of_site(env.site, observed)
    foreign = {found.site for found in of_sites if found.name == "foreign"}
    works = not paths or not foreign.issuperset(paths)
    yield from findings.of_instances(observed, settings, works)
    yield from of_sites


def adopt_site(env, arguments, output):
    """Let a site belong to the deployment of this process, and commit."""
    before = deployment_of(env.site)
    if arguments.discard:
        name, discarded = _discard(env.site)
    else:
        name, discarded = adopt(env.site), {}
        transaction.commit()
    path = "/".join(env.site.getPhysicalPath())
    if output.as_json:
        values = {"site": path, "deployment": name, "before": before}
        output.values(values | discarded)
        return True
    former = before or "none"
    output.line(f"{path} belongs to the deployment {name} (before: {former})")
    if discarded:
        cancelled = _counted(discarded["cancelled"], "task")
        off = _counted(discarded["switched_off"], "recurring task")
        output.line(f"{cancelled} cancelled, {off} switched off")
    return True


def _discard(site):
    """Discard the tasks of a site, and commit.

    Returns the name of the deployment, and numbers by what was done.
    """
    enabled = len(enabled_names(site))
    before = _cancelled(site)
    name = discard(site)
    transaction.commit()
    cancelled = _cancelled(site) - before
    return name, {"cancelled": cancelled, "switched_off": enabled}


def _cancelled(site):
    # No others: what is in the memory of a process is not known here.
    scheduler = local_scheduler(site)
    return 0 if scheduler is None else scheduler.count(states=states.CANCELLED)


def _counted(number, what):
    return f"{number} {what}{'' if number == 1 else 's'}"
