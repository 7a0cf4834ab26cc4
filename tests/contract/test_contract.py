"""What an add-on can rely on, whatever executes its tasks."""

from datetime import datetime

import pytest
import requests


pytestmark = pytest.mark.slow

UPLOAD = 3_000_000  # bytes, of which one must not be kept in memory
PUBLIC = "VirtualHostBase/https/www.example.org:443/Plone/VirtualHostRoot"
NAME, PASSWORD = "anna", "a secret of tests"


def contract(web, how, mark):
    """Let the web instance do one of ``instance_probe/contract.py``."""
    return web.get("probe-contract", how=how, mark=mark).text


def as_member(web, name):
    """Return the options of a request of a member, who is added first."""
    web.rest("POST", "@users", username=name, password=PASSWORD, email=f"{name}@ex.org")
    return {"auth": (name, PASSWORD), "headers": {"Accept": "application/json"}}


class TestTransactions:
    def test_a_request_that_fails_has_scheduled_nothing(self, web):
        with pytest.raises(requests.HTTPError, match="500"):
            contract(web, "abort", "aborted")
        assert web.scheduler("records", text="aborted") == []

    def test_nor_has_what_goes_back_to_a_savepoint(self, web):
        id = contract(web, "savepoint", "saved")
        assert web.wait(id)["state"] == "succeeded"
        (record,) = web.scheduler("records", text="saved")
        assert record["id"] == id
        assert web.marks()["saved"] == 1

    def test_a_request_that_is_repeated_has_scheduled_once(self, web):
        id = contract(web, "conflict", "repeated")
        assert web.wait(id)["state"] == "succeeded"
        assert len(web.scheduler("records", text="repeated")) == 1
        assert web.marks()["repeated"] == 1

    def test_it_needs_a_token(self, web):
        with pytest.raises(requests.HTTPError, match="403"):
            web.get("probe-start", task="write", mark="by a link", is_protected="1")
        assert web.scheduler("records", text="by a link") == []


class TestWhatIsCarried:
    def test_it_sees_what_was_committed_wherever_that_is_now(self, web):
        """With a new file, which is carried, and a folder that was moved meanwhile."""
        id = web.get("probe-carry", mark="carried", size=str(UPLOAD)).text
        assert web.wait(id)["state"] == "succeeded"
        assert web.marks()[f"a.bin {UPLOAD} /Plone/carried/plain"] == 1

    def test_uploads_and_answers_are(self, web):
        upload = bytes(range(256)) * (UPLOAD // 256)
        id = web.request("POST", "probe-echo-later", files={"file": upload}).text
        web.wait(id)
        assert web.get(f"@@background-result/{id}").content == upload

    def test_what_is_gone_is_told(self, web):
        record = web.wait(contract(web, "gone", "vanished"))
        assert record["state"] == "failed"
        assert "vanished" in record["error"]["message"]


class TestEnvironment:
    def test_it_is_that_of_the_request(self, web):
        as_member(web, NAME)
        public = web.site(PUBLIC)
        id = public.schedule("surroundings", "in public", user=NAME)
        web.wait(id)
        assert web.scheduler("peek_result", id) == {
            "user": NAME,
            "url": "https://www.example.org",
            "site": "/Plone",
            "manages": False,
        }

    def test_nothing_of_it_is_left(self, web):
        id = web.schedule("surroundings", "as usual")
        web.wait(id)
        result = web.scheduler("peek_result", id)
        assert (result["user"], result["manages"]) == ("admin", True)
        assert result["url"] == web.url

    def test_what_follows_a_request_follows_a_task(self, web, executor):
        id = web.schedule("write", "published")
        executor.cluster.who(f"success of {id} is published")


class TestAttempts:
    def test_an_error_undoes_all(self, web, tmp_path):
        mark = str(tmp_path / "failed")
        id = web.schedule("fail_first", mark)
        record = web.wait(id)
        assert (record["state"], record["attempts"]) == ("failed", 1)
        assert record["error"]["message"] == "not yet"
        assert mark not in web.marks()
        assert web.scheduler("retry", id)["state"] == "queued"
        assert web.wait(id)["state"] == "succeeded"
        assert web.marks()[mark] == 1

    def test_an_error_is_tried_again(self, web, tmp_path):
        mark = str(tmp_path / "tried again")
        id = web.schedule("fail_first", mark, retries=1, backoff=0)
        record = web.wait(id)
        assert (record["state"], record["attempts"]) == ("succeeded", 2)
        assert web.marks()[mark] == 1

    def test_those_that_conflict_all_get_through(self, web):
        web.schedule_many("write", ["all the same"] * 20)
        web.wait_all()
        assert web.marks()["all the same"] == 20

    def test_a_batch_has_several_transactions(self, web):
        record = web.wait(web.schedule_batch("a batch", 7))
        assert (record["state"], record["progress"]["done"]) == ("succeeded", 7)
        assert [web.marks()[f"a batch {number}"] for number in range(7)] == [1] * 7


class TestOrder:
    def test_slots_are_a_limit(self, web, executor):
        web.schedule_many("overlap", ["overlapping"] * 8)
        web.wait_all()
        results = executor.results("overlapping")
        assert len(results) == 8
        assert max(results) <= 2

    def test_a_lock_lets_one_run_at_a_time(self, web, tmp_path):
        file = tmp_path / "locked"
        web.schedule_many("exclude", [str(file)] * 8, lock="erp")
        web.wait_all()
        assert file.read_text() == "done\n" * 8

    def test_so_does_a_limit(self, web, tmp_path):
        file = tmp_path / "limited"
        web.schedule_many("exclude", [str(file)] * 8, queue="imports")
        web.wait_all()
        assert file.read_text() == "done\n" * 8

    def test_a_higher_priority_is_first(self, web):
        """But for every tenth start, which is that of the oldest."""
        web.scheduler("pause", "imports")
        ids = [
            web.schedule("write", f"of {priority}", queue="imports", priority=priority)
            for priority in range(4)
        ]
        web.scheduler("resume", "imports")
        starts = {id: web.wait(id)["started"] for id in ids}
        assert ids[-1] in sorted(ids, key=starts.get)[:2]

    def test_one_follows_another(self, web):
        web.scheduler("pause", "default")
        first = web.schedule("create_if_allowed", "leads")
        second = web.schedule("write", "follows", after=[first])
        web.scheduler("resume", "default")
        assert web.wait(first)["state"] == "failed"
        assert web.wait(second)["state"] == "cancelled"
        assert "follows" not in web.marks()

    def test_a_delay_is_kept(self, web):
        record = web.wait(web.schedule("answer", "delayed", delay=0.5))
        began, created = map(
            datetime.fromisoformat, (record["started"], record["created"])
        )
        assert (began - created).total_seconds() >= 0.5

    def test_a_key_is_unique(self, web):
        web.scheduler("pause", "default")
        first = web.schedule("write", "unique", unique="u")
        assert web.schedule("write", "unique", unique="u") == first
        web.scheduler("resume", "default")
        web.wait(first)
        assert web.marks()["unique"] == 1
        assert web.schedule("answer", "unique once more", unique="u") != first


class TestEnds:
    def test_a_running_task_is_cancelled(self, web, executor, until):
        id = executor.begin("cooperate", "cancelled while it runs")
        # The web instance may learn of it a moment later.
        until(lambda: web.scheduler("record", id)["state"] == "running")
        assert web.scheduler("cancel", id)["cancel_requested"]
        assert web.wait(id)["state"] == "cancelled"

    def test_a_waiting_task_is_cancelled(self, web):
        web.scheduler("pause", "default")
        id = web.schedule("write", "cancelled while it waits")
        assert web.scheduler("cancel", id)["state"] == "cancelled"
        web.scheduler("resume", "default")
        web.wait(web.schedule("answer", "the next one"))
        assert "cancelled while it waits" not in web.marks()

    def test_a_task_behind_others_is_cancelled(self, web, executor):
        """Though an executor may have it in hand already."""
        running = [executor.begin("cooperate", f"in front {n}") for n in range(2)]
        waiting = [web.schedule("write", f"behind {number}") for number in range(5)]
        for id in waiting + running:
            web.scheduler("cancel", id)
        assert {web.wait(id)["state"] for id in waiting + running} == {"cancelled"}
        assert not any(mark.startswith("behind") for mark in web.marks())

    def test_it_takes_too_long(self, web):
        record = web.wait(web.schedule("cooperate", "too long", timeout=0.2))
        assert record["state"] == "failed"
        assert record["error"]["type"].endswith("TaskTimedOut")

    def test_whatever_is_raised(self, web):
        record = web.wait(web.schedule("leave", "leaving"))
        assert record["state"] == "failed"
        assert web.wait(web.schedule("answer", "after it"))["state"] == "succeeded"

    def test_callbacks_follow(self, web):
        web.wait(contract(web, "callback", "called back"))
        web.wait_all()
        assert web.marks()["called back was followed"] == 1

    def test_a_group_ends_with_its_last_member(self, web):
        record = web.wait(contract(web, "group", "grouped"))
        assert record["state"] == "succeeded"
        assert [web.marks()[f"grouped {number}"] for number in range(3)] == [1] * 3

    def test_what_it_says_is_shown(self, web):
        id = web.get("probe-boast", size="1").text
        record = web.wait(id)
        assert (record["title"], record["progress"]["done"]) == ("x", 1)
        assert {message["text"] for message in record["messages"]} == {"x"}

    def test_it_is_forgotten(self, web):
        id = web.schedule("answer", "forgotten")
        web.wait(id)
        web.scheduler("remove", id)
        assert web.scheduler("records", text="forgotten") == []


class TestPrivacy:
    def test_others_do_not_find_it(self, web):
        owner, other = as_member(web, "owner"), as_member(web, "other")
        id = web.request("GET", "probe-boast", auth=owner["auth"]).text
        web.wait(id)
        assert (
            web.request("GET", f"@tasks/{id}", **owner).json()["state"] == "succeeded"
        )
        with pytest.raises(requests.HTTPError, match="404"):
            web.request("GET", f"@tasks/{id}", **other)


class TestUndo:
    def test_of_what_it_did(self, web, executor):
        id = web.schedule("write", "undone")
        web.wait(id)
        assert web.get("probe-undo", text="undone").text == "1"
        assert "undone" not in web.marks()
        assert web.scheduler("record", id)["state"] == "succeeded"
        web.wait(web.schedule("answer", "after undo"))
        assert "undone" not in web.marks()
