"""How many bytes the tasks in memory keep: in all, and of each user."""

from collective.background import get_scheduler
from collective.background import message
from collective.background import schedule
from collective.background import using
from collective.background.exceptions import QueueFull
from collective.background.model.messages import TEXT_LENGTH
from collective.background.model.spool import MEMORY_LIMIT
from collective.background.model.spool import Spool
from collective.background.scheduling.execution import MAX_MESSAGES
from helpers import add_users
from helpers import finished
from helpers import kept_files
from helpers import result_of
from helpers import TIMEOUT
from helpers import waiting
from plone.app.testing import login
from types import SimpleNamespace
from zope.globalrequest import getRequest
from ZPublisher.HTTPRequest import FileUpload

import io
import pytest
import transaction


SIZE = 100_000
DATA = b"x" * SIZE


def fail(*args):
    raise ValueError("It failed.")


def talk():
    for _ in range(MAX_MESSAGES // 2):
        message("x" * TEXT_LENGTH)


def double(data):
    return data + data


def upload(data):
    file = io.BytesIO(data)
    field = SimpleNamespace(file=file, headers={}, filename="a.bin", name="upload")
    return FileUpload(field)


def refuse(function, *args):
    schedule(function, *args)
    with pytest.raises(QueueFull, match="'max_bytes' allows"):
        transaction.commit()
    transaction.abort()


def known(ids):
    """Return which of the tasks there are still; as numbers, from 0."""
    return [number for number, id in enumerate(ids) if get_scheduler().record(id)]


class TestOfAll:
    @pytest.fixture(autouse=True)
    def scheduler(self, make_scheduler):
        """Room for three arguments."""
        return make_scheduler(concurrency=1, max_bytes=3 * SIZE + SIZE // 2)

    @pytest.fixture
    def filled(self, scheduler):
        """Three tasks, which wait."""
        scheduler.pause("default")
        ids = [schedule(len, DATA) for _ in range(3)]
        transaction.commit()
        yield ids
        scheduler.resume("default")

    def test_no_more_may_wait(self, filled):
        refuse(len, DATA)

    def test_what_is_refused_weighs_nothing(self, filled, scheduler):
        for _ in range(3):
            refuse(len, DATA)
        scheduler.remove(filled[0])
        schedule(len, DATA)
        transaction.commit()

    def test_nor_what_is_aborted_or_rolled_back(self, scheduler):
        savepoint = transaction.savepoint()
        for _ in range(3):
            schedule(len, DATA)
        savepoint.rollback()
        for _ in range(3):
            schedule(len, DATA)
        transaction.abort()
        ids = [schedule(len, DATA) for _ in range(3)]
        transaction.commit()
        scheduler.wait_all(TIMEOUT)
        assert known(ids) == [0, 1, 2]

    def test_what_has_succeeded_keeps_no_arguments(self, scheduler):
        ids = [finished(schedule(len, DATA)).id for _ in range(6)]
        assert known(ids) == list(range(6))

    def test_what_has_failed_goes_for_what_is_to_come(self, scheduler):
        ids = [finished(schedule(fail, DATA)).id for _ in range(5)]
        assert known(ids) == [2, 3, 4]

    def test_but_only_as_much_as_is_needed(self, scheduler, filled):
        """The oldest first."""
        scheduler.cancel(filled[1])
        scheduler.cancel(filled[0])
        schedule(len, DATA)
        transaction.commit()
        assert known(filled) == [0, 2]

    def test_results_go_as_well(self, scheduler):
        ids = [finished(schedule(double, DATA[1:])).id for _ in range(3)]
        assert known(ids) == [2]

    def test_what_is_longer_than_all_is_there_for_who_waits(self, scheduler):
        ids = [finished(schedule(len, "x")).id]
        task_id = schedule(double, DATA * 2)
        finished(task_id)
        assert known([*ids, task_id]) == [1]
        assert len(result_of(task_id)) == 4 * SIZE
        schedule(len, DATA)
        transaction.commit()

    def test_a_retry_has_to_find_room(self, scheduler, filled):
        scheduler.cancel(filled[0])
        assert scheduler.retry(filled[0]).state == "queued"

    def test_errors_and_logs_count(self, make_scheduler):
        make_scheduler(concurrency=1, max_bytes=3_000)
        ids = [finished(schedule(fail)).id for _ in range(10)]
        assert len(known(ids)) < 5

    def test_messages_count(self, scheduler):
        ids = [finished(schedule(talk)).id for _ in range(5)]
        assert known(ids) == [2, 3, 4]

    def test_items_that_failed_count(self, make_scheduler):
        make_scheduler(concurrency=1, max_bytes=12_000)
        batches = (using().schedule_batch(fail, range(10)) for _ in range(3))
        ids = [finished(id).id for id in batches]
        assert known(ids) == [2]

    def test_batches_count(self):
        using().schedule_batch(len, [DATA] * 4)
        with pytest.raises(QueueFull, match="'max_bytes' allows"):
            transaction.commit()

    def test_files_count(self, make_scheduler):
        make_scheduler(max_bytes=MEMORY_LIMIT)
        before = kept_files()
        refuse(len, Spool.of(bytes(MEMORY_LIMIT + 1)))
        assert kept_files() <= before

    def test_files_in_variables_of_functions_count(self, filled):
        """Also of functions that know each other."""
        file = upload(DATA)

        def even(number):
            return odd(number - 1) if number else file.read()

        def odd(number):
            return even(number - 1)

        refuse(even, 0)


class TestOfOneUser:
    @pytest.fixture(autouse=True)
    def users(self, site, settings):
        """A quarter is room for two arguments and a half."""
        add_users(site, {"mary": [], "peter": [], "boss": ["Site Administrator"]})
        settings(max_bytes=10 * SIZE)
        with waiting():
            yield site
            transaction.abort()
            for record in get_scheduler().records(limit=None):
                get_scheduler().remove(record.id)

    def let_in(self, number, function=len):
        ids = [schedule(function, DATA) for _ in range(number)]
        transaction.commit()
        return ids

    def test_has_a_quarter(self, users):
        login(users, "mary")
        self.let_in(2)
        refuse(len, DATA)
        login(users, "peter")
        self.let_in(2)

    @pytest.mark.parametrize("name", ["HTTP_ACCEPT_LANGUAGE", "HTTP_USER_AGENT"])
    def test_headers_count(self, users, name):
        """A visitor may send as much of them as the server takes."""
        login(users, "mary")
        getRequest().environ[name] = "x" * SIZE
        schedule(len, "x")
        schedule(len, "x")
        transaction.commit()
        refuse(len, "x")

    def test_managers_are_bound_by_the_whole_only(self, users):
        login(users, "boss")
        self.let_in(9)
        refuse(len, DATA)

    def test_what_he_has_left_goes_and_not_that_of_others(self, users):
        login(users, "mary")
        ids = self.let_in(2)
        login(users, "peter")
        others = self.let_in(2)
        for id in (*others, *ids):
            get_scheduler().cancel(id)
        login(users, "mary")
        again = self.let_in(2)
        assert known(ids) == []
        assert known(again) == known(others) == [0, 1]

    def test_what_tasks_of_a_request_share_counts_once(self, users):
        login(users, "mary")
        file = upload(DATA)
        getRequest().form["upload"] = file
        ids = [schedule(len, file) for _ in range(20)]
        transaction.commit()
        assert len(known(ids)) == 20
        refuse(len, DATA * 2)
        for id in ids:
            get_scheduler().remove(id)
        transaction.begin()
        del getRequest().form["upload"]
        self.let_in(2)


class TestOneWhoseTasksAreManyAndLight:
    @pytest.fixture
    def users(self, site, make_scheduler):
        make_scheduler(keep_count=8)
        add_users(site, {"mary": [], "peter": [], "boss": ["Manager"]})
        return site

    @pytest.mark.parametrize("who,left", [("mary", [0, 1]), ("boss", [])])
    def test_his_own_go_before_those_of_others(self, users, who, left):
        """From a quarter on; but for managers."""
        login(users, "peter")
        others = [finished(schedule(len, "x")).id for _ in range(2)]
        login(users, who)
        ids = [finished(schedule(len, "x")).id for _ in range(12)]
        assert known(others) == left
        assert known(ids) == list(range(12 - 8 + len(left), 12))
