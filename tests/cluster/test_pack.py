"""Packing the database: what is needed stays, and what is forgotten goes."""

from choosing import only_on_zeo

import os
import pytest


pytestmark = pytest.mark.slow

MEGABYTES = 3_000_000  # so much goes into a blob


def test_tasks_that_wait_survive_it_with_their_files(instances):
    _, web = instances
    web.scheduler("pause", "default")
    upload = os.urandom(MEGABYTES)
    id = web.request("POST", "probe-echo-later", files={"file": upload}).text
    web.get("probe-pack")
    web.scheduler("resume", "default")
    assert web.wait(id)["state"] == "succeeded"
    web.get("probe-pack")
    assert web.get(f"@@background-result/{id}").content == upload


@only_on_zeo
def test_tasks_that_are_forgotten_leave_nothing(instances):
    """Twice as many of them leave as many objects."""
    _, web = instances

    def objects_after(number):
        web.schedule_many("answer", ["to be forgotten"] * number)
        web.wait_all()
        for record in web.scheduler("records", limit=None):
            web.scheduler("remove", record["id"])
        return int(web.get("probe-pack").text)

    objects_after(20)
    assert objects_after(40) <= objects_after(20)
