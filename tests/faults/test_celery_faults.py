"""What breaks between the database, the broker and a worker: every task ends, once.

Tasks of the kind "create_later" work until there is a file, whose path is their mark.
"""

from base64 import b64decode
from base64 import b64encode
from celery import Celery
from collective.background.celery.messages import broker_queue
from collective.background.celery.messages import TASK
from processes import END
from processes import who

import json
import os
import pytest
import signal


pytestmark = pytest.mark.slow

QUEUE = broker_queue("default")
NUMBER = 12  # tasks; more than two workers have in hand
SEVERAL = 5


@pytest.fixture
def wait_for_message(broker, until):
    """Return a function that waits for a message, and returns what Redis has.

    It stays there.
    """

    def wait_for_message():
        client = broker.client()
        until(lambda: client.llen(QUEUE))
        return client.lindex(QUEUE, -1)

    return wait_for_message


def payload_of(message):
    """Return what the package has sent in a message."""
    ((payload,), _, _) = json.loads(b64decode(json.loads(message)["body"]))
    return payload


def thaw(worker):
    """Let a worker go on that was not frozen for long."""
    worker.thaw()
    worker.is_tampered = False


def schedule(web, name, number=NUMBER, task="create", **options):
    """Schedule so many tasks, and return their ids by their marks."""
    marks = [f"{name} {index}" for index in range(number)]
    return {mark: web.schedule(task, mark, **options) for mark in marks}


def all_succeed_once(web, ids):
    """Wait for tasks, ids by their marks, and look at what they have left behind."""
    states = {mark: web.wait(id)["state"] for mark, id in ids.items()}
    assert states == dict.fromkeys(ids, "succeeded")
    assert {mark: web.done(mark) for mark in ids} == dict.fromkeys(ids, (1, 1))


class TestBroker:
    def test_it_is_away_while_tasks_are_scheduled(self, web, worker, broker):
        broker.stop()
        ids = schedule(web, "without a broker")
        states = {web.scheduler("record", id)["state"] for id in ids.values()}
        assert states == {"queued"}
        broker.start()
        all_succeed_once(web, ids)

    def test_it_loses_all_messages(self, web, worker, broker, wait_for_message):
        worker.freeze()
        ids = schedule(web, "flushed")
        wait_for_message()
        broker.flush()
        thaw(worker)
        all_succeed_once(web, ids)


class TestMessages:
    """While they are made, the worker is frozen."""

    @pytest.fixture
    def sent(self, request, web, worker, wait_for_message):
        """The id, the mark and the message of a task that waits."""
        worker.freeze()
        # It waits for a message, so the first one is not at the broker any more.
        ids = schedule(web, request.node.name, 2)
        message = wait_for_message()
        id = payload_of(message)["task"]
        (mark,) = [mark for mark in ids if ids[mark] == id]
        return id, mark, message

    def test_one_comes_several_times(self, web, worker, broker, sent):
        id, mark, message = sent
        for _ in range(SEVERAL):
            broker.client().lpush(QUEUE, message)
        thaw(worker)
        all_succeed_once(web, {mark: id})
        for _ in range(SEVERAL):
            worker.expect(f"{id} of /Plone is not run at this message")
        assert web.done(mark) == (1, 1)

    def test_one_is_forged(self, web, worker, broker, sent):
        """All that one can make of it, before it; and it is as good as ever."""
        id, mark, message = sent
        broker.client().rpop(QUEUE)
        payload = payload_of(message)
        app = Celery(broker=broker.url, set_as_current=False)

        def send(*args, **options):
            app.send_task(TASK, args, queue=QUEUE, **options)

        forged = [
            {"task": "0" * len(id)},
            {"oid": "00" * 8},
            {"oid": payload["scheduler"]},
            {"fence": payload["fence"] + 1},
            {"scheduler": "00" * 8},
            {"scheduler": "ff" * 8},
            {"database": "another"},
            {"deployment": "another"},
        ]
        for change in forged:
            send(payload | change)
        for odd in ({}, [], "text", payload | {"fence": "1"}, payload | {"more": 1}):
            send(odd)
        send()
        send(payload, payload)
        send(payload, serializer="pickle")
        app.send_task("os.system", ["false"], queue=QUEUE)
        broker.client().lpush(QUEUE, message)
        thaw(worker)
        all_succeed_once(web, {mark: id})
        who([worker], "is not run at this message", times=len(forged))

    def test_one_is_malformed(self, web, worker, broker, sent, tmp_path):
        """It is put back by nobody, ends no worker, and takes none of its slots."""
        id, mark, message = sent
        broker.client().rpop(QUEUE)
        well_formed = json.loads(message)
        for body in ([1, 2], None, 1, "text"):
            body = b64encode(json.dumps(body).encode()).decode()
            broker.client().lpush(QUEUE, json.dumps(well_formed | {"body": body}))
        headers = [{"id": []}, {"expires": {}}, {"timelimit": "text"}]
        limits = ("text", -1, 10**400, [])
        headers += [{"timelimit": [limit, None]} for limit in limits]
        headers += [{"timelimit": [None, limit]} for limit in limits]
        for index, change in enumerate(headers):
            own = well_formed["headers"] | {"id": f"{index}"} | change
            changed = json.dumps(well_formed | {"headers": own})
            broker.client().lpush(QUEUE, changed)
        broker.client().lpush(QUEUE, "no message at all")
        broker.client().lpush(QUEUE, message)
        thaw(worker)
        all_succeed_once(web, {mark: id})
        who([worker], "is ignored: malformed", times=5 + len(headers))
        assert not worker.lines_with("Unrecoverable error")
        files = [tmp_path / name for name in ("one", "two")]
        ids = {str(file): web.schedule("create_later", str(file)) for file in files}
        for file in files:
            who([worker], f"{file} has begun")
        for file in files:
            file.touch()
        all_succeed_once(web, ids)

    def test_one_is_of_a_task_that_is_gone(self, web, worker, sent):
        id, mark, _ = sent
        web.scheduler("cancel", id)
        web.scheduler("remove", id)
        thaw(worker)
        worker.expect(f"{id} of /Plone is not run at this message")
        assert web.done(mark) == (0, 0)


class TestDeaths:
    POINTS = ("started", "task-voted", "task-committed")

    def test_with_rerun_all_is_done_once(self, cluster, web, worker):
        for point in self.POINTS:
            (cluster.faults / point).touch()
        ids = schedule(web, "dies and runs again", rerun=True)
        all_succeed_once(web, ids)
        assert list(cluster.faults.iterdir()) == []

    def test_without_it_only_what_is_committed_is_done(self, cluster, web, worker):
        for point in self.POINTS:
            (cluster.faults / point).touch()
        ids = schedule(web, "dies")
        states = {mark: web.wait(id)["state"] for mark, id in ids.items()}
        assert sorted(set(states.values())) == ["lost", "succeeded"]
        assert list(states.values()).count("lost") == 2  # but the one that committed
        numbers = {"lost": (0, 0), "succeeded": (1, 1)}
        done = {mark: web.done(mark) for mark in ids}
        assert done == {mark: numbers[state] for mark, state in states.items()}

    def test_the_parent_is_killed(self, cluster, web, worker, until, tmp_path):
        """Its children do not go on; what may run again is done elsewhere."""
        children = worker.pids()[1:]
        again, once = marks = tmp_path / "again", tmp_path / "once"
        ids = [
            web.schedule("create_later", str(again), rerun=True),
            web.schedule("create_later", str(once)),
        ]
        for mark in marks:
            worker.expect(f"{mark} has begun")
        worker.send(signal.SIGKILL)
        worker.is_tampered = True
        until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children))
        for mark in marks:
            mark.touch()
        cluster.run(two={})
        assert [web.wait(id)["state"] for id in ids] == ["succeeded", "lost"]
        assert [web.done(str(mark)) for mark in marks] == [(1, 1), (0, 0)]

    def test_it_is_silent_for_longer_than_the_lease(self, cluster, web, tmp_path):
        """Another one takes the task over; what the first one did is refused."""
        one, two = cluster.run(one={}, two={})
        file = tmp_path / "go on"
        id = web.schedule("create_later", str(file), rerun=True)
        first = cluster.who(f"{file} has begun")
        (second,) = {one, two} - {first}
        first.freeze()
        second.expect(f"{file} has begun")
        file.touch()
        assert web.wait(id)["state"] == "succeeded"
        first.thaw()
        first.expect(f"task {id}", "was taken over")
        assert web.scheduler("record", id)["state"] == "succeeded"
        assert web.done(str(file)) == (1, 1)


def test_the_server_of_the_database_is_started_again(cluster, web, worker, tmp_path):
    file = tmp_path / "running meanwhile"
    ids = {str(file): web.schedule("create_later", str(file))}
    worker.expect(f"{file} has begun")
    cluster.storage.stop()
    cluster.storage.start()
    cluster.storage.is_back(web)
    file.touch()
    ids |= schedule(web, "after that")
    all_succeed_once(web, ids)


def test_who_sends_is_killed(cluster, web, worker):
    """While a worker runs what it has sent."""
    ids = schedule(web, "by one that is killed")
    ids |= schedule(web, "by one that is killed, and may run again", rerun=True)
    web.kill()
    (web,) = cluster.run(web={"role": "web"})
    all_succeed_once(web, ids)


def test_a_cold_shutdown(cluster, web, worker, tmp_path):
    """Celery ends its processes then, wherever they are."""
    file = tmp_path / "running"
    id = web.schedule("create_later", str(file), rerun=True)
    worker.expect(f"{file} has begun")
    worker.send(signal.SIGQUIT)
    worker.has_ended(END)
    file.touch()
    cluster.run(two={})
    all_succeed_once(web, {str(file): id})
