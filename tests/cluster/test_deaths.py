"""An instance dies again and again, of one of its tasks: what becomes of the others.

The first time nobody knows which one it was; the other three it was run alone.
"""

from choosing import only_on_zeo

import pytest


pytestmark = pytest.mark.slow

DEATHS = 4


@only_on_zeo
def test_a_task_that_kills_its_process(instances, cluster):
    """It is lost in the end, but no other one that had not begun."""
    a, web = instances
    running = a.begin("hang", "running meanwhile", rerun=True)
    web.scheduler("pause", "default")
    killer = web.schedule("die", "kills its process", rerun=True)
    titles = [f"waits behind it {number}" for number in range(3)]
    others = [
        web.schedule("create", title, rerun=bool(number % 2))
        for number, title in enumerate(titles)
    ]
    web.scheduler("resume", "default")
    for number in range(DEATHS):
        a.has_ended()
        assert web.scheduler("record", killer)["state"] in ("queued", "running")
        if number == 0:
            assert web.scheduler("cancel", running)["cancel_requested"]
        (a,) = cluster.run(a={})
    record = web.wait(killer)
    assert record["state"] == "lost"
    assert (
        "3 processes have ended while the task ran there" in record["error"]["message"]
    )
    for id, title in zip(others, titles, strict=True):
        assert web.wait(id)["state"] == "succeeded"
        assert web.done(title) == (1, 1)
    # What was cancelled has not run again, though it might have.
    assert web.scheduler("record", running)["state"] == "cancelled"
    assert not a.lines_with("running meanwhile has begun")
