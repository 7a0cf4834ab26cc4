"""Whether an installation is as it should be, and to which deployment sites belong."""

from collective.background.command.output import Output
from collective.background.command.sites import choose_site
from collective.background.command.sites import site_paths
from collective.background.command.starting import opened_database
from collective.background.database.observing import observe
from collective.background.deployment import adopt
from collective.background.deployment import deployment_of
from collective.background.deployment import discard
from collective.background.environment.sites import system_environment
from collective.background.executing.executor import process_executor
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
    yield from findings.of_instances(observed, settings)
    paths = site_paths(database)
    if wanted is not None:
        paths = [choose_site(paths, wanted)]
    for path in paths:
        with system_environment(database, path) as env:
            yield from findings.of_site(env.site, observed)


def adopt_site(env, arguments, output):
    """Let a site belong to the deployment of this process, and commit."""
    before = deployment_of(env.site)
    name = (discard if arguments.discard else adopt)(env.site)
    transaction.commit()
    path = "/".join(env.site.getPhysicalPath())
    if output.as_json:
        output.values({"site": path, "deployment": name, "before": before})
    else:
        output.line(f"{path} belongs to the deployment {name} (before: {before})")
    return True
