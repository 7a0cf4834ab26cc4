"""When a test has failed, its report has what the processes have logged."""

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    cluster = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and cluster is not None:
        for process in cluster.processes:
            report.sections.append((f"log of {process.name}", process.recent_log()))
    return report
