"""Several sites in one database."""

from choosing import only_on_zeo
from operator import itemgetter
from processes import END
from threading import Event
from time import monotonic

import pytest


pytestmark = pytest.mark.slow

TASKS = 80  # more than are reserved ahead
SLOTS = 2
TITLE = "side by side"
HEARTBEATS = 12  # of two instances in the time of a lease


def since(cluster, before):
    """The descriptions of all transactions but for the first ``before``."""
    return cluster.storage.transactions()[before:]


@only_on_zeo
def test_two_sites_share_slots_until_one_is_deleted(instances, cluster, tmp_path):
    a, web = instances
    a.get("probe-add-site", id="Second")
    sites = [a, a.site("Second")]
    files = [tmp_path / str(number) for number in range(SLOTS)]
    for file in files:
        a.begin("create_later", str(file))
    for site in sites:
        site.schedule_many("overlap", [TITLE] * TASKS)
    for file in files:
        file.touch()
    runs = []
    for site in sites:
        site.wait_all()
        for record in site.scheduler("records", text=TITLE, limit=None):
            number = site.scheduler("peek_result", record["id"])
            runs.append((record["started"], record["site_path"], number))
    assert len(runs) == 2 * TASKS
    assert max(number for _, _, number in runs) == SLOTS
    # Neither has to wait until the other one has nothing left.
    order = [path for _, path, _ in sorted(runs, key=itemgetter(0))]
    assert set(order[:TASKS]) == {"/Plone", "/Second"}

    sites[1].scheduler("pause", "default")
    sites[1].schedule("write", "nobody needs it any more")
    web.get("probe-remove-site", id="Second")
    a.expect("the tasks of /Second are gone")
    before = len(cluster.storage.transactions())
    web.wait(web.schedule("write", "the other site goes on"))
    # So long that there is time for looks at what is too old: for some heartbeats.
    end = monotonic() + END
    while sum("is alive" in text for text in since(cluster, before)) < HEARTBEATS:
        assert monotonic() < end
        Event().wait(0.1)
    after = since(cluster, before)
    assert any("Background tasks of /Plone" in text for text in after)
    assert not any("/Second" in text for text in after)
    assert not a.lines_with("Traceback")
