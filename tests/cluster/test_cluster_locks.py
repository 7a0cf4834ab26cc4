"""Of the tasks with one lock a single one runs, in whichever instance."""

from choosing import only_on_zeo

import pytest


pytestmark = [pytest.mark.slow, only_on_zeo]

TASKS = 40
SLOTS = {"concurrency": 2}
TIMEOUT = 120  # seconds


def test_also_when_the_one_who_has_it_is_killed(cluster, tmp_path):
    """He gives it back with what he has reserved; and nobody takes it before that."""
    workers = cluster.run(a=SLOTS, b=SLOTS, c=SLOTS)
    (web,) = cluster.run(web={"role": "web"})
    file = tmp_path / "lines"
    web.schedule_many("exclude", [str(file)] * TASKS, lock="erp", rerun=True)
    holder = cluster.who(f"{file} has begun")
    holder.kill()
    web.wait_all(TIMEOUT)
    assert holder in workers
    records = web.scheduler("records", text=str(file), limit=None)
    assert [record["state"] for record in records] == ["succeeded"] * TASKS
    others = {record["instance"].split(":")[1] for record in records}
    assert others - {str(holder.pid)}
    assert len(file.read_text().splitlines()) >= TASKS
