"""The tasks of a site are the same whichever instance is asked.

One instance schedules only, so it is the other one that executes.
"""

import os
import pytest


pytestmark = pytest.mark.slow

MEGABYTES = 3_000_000  # of which one must not be kept in memory


def test_what_one_schedules_another_executes(instances):
    a, web = instances
    id = web.schedule("create", "by another one")
    a.expect(f"task {id}", "succeeded")
    record = web.wait(id)  # it learns of it a moment later
    assert record == a.scheduler("record", id)
    assert record["state"] == "succeeded"
    assert web.titles().count("by another one") == 1


def test_a_result_is_read_where_the_task_did_not_run(instances):
    _, web = instances
    id = web.schedule("answer", "42")
    web.wait(id)
    assert web.scheduler("peek_result", id) == "42"


def test_uploads_and_large_results_go_from_instance_to_instance(instances):
    _, web = instances
    upload = os.urandom(MEGABYTES)
    id = web.request("POST", "probe-echo-later", files={"file": upload}).text
    web.wait(id)
    assert web.get(f"@@background-result/{id}").content == upload


def test_a_running_task_is_cancelled_through_another_instance(instances, until):
    a, web = instances
    id = web.schedule("cooperate", "cancelled elsewhere")
    a.expect("cancelled elsewhere has begun")
    until(lambda: web.scheduler("record", id)["state"] == "running")
    assert web.scheduler("cancel", id)["cancel_requested"]
    assert a.wait(id)["state"] == "cancelled"


def test_a_waiting_task_is_cancelled_through_another_instance(instances):
    a, web = instances
    web.scheduler("pause", "default")
    id = a.schedule("write", "never")
    assert web.scheduler("cancel", id)["state"] == "cancelled"
    assert a.scheduler("record", id)["state"] == "cancelled"
    a.scheduler("resume", "default")
    a.wait_all()
    assert "never" not in a.marks()


def test_a_failed_task_is_retried_through_another_instance(instances):
    a, web = instances
    id = a.schedule("create_if_allowed", "at the second try")
    record = a.wait(id)
    assert record["state"] == "failed"
    assert record["error"]["message"] == "it was not allowed"
    a.wait(a.schedule("write", "allowed"))
    assert web.scheduler("retry", id)["state"] == "queued"
    assert a.wait(id)["state"] == "succeeded"
    assert web.titles().count("at the second try") == 1
