"""``begin_by``: what has not begun in time does not begin at all."""

from collective.background import get_scheduler
from collective.background import using
from collective.background.exceptions import BadOption
from helpers import finished
from helpers import waiting

import pytest
import transaction


SOON = 0.000001  # seconds; no task begins as soon as that


class TestBeginBy:
    @pytest.fixture
    def calls(self):
        return []

    def test_one_whose_turn_comes_too_late_fails_without_having_run(self, site, calls):
        late = using(begin_by=SOON, retries=3)
        record = finished(late.schedule(lambda: calls.append(1)))
        assert record.state == "failed"
        assert record.error.type.endswith("TooLate")
        assert record.attempts == 1
        assert calls == []

    def test_a_batch_as_well(self, site, calls):
        late = using(begin_by=SOON)
        record = finished(late.schedule_batch(lambda item: calls.append(item), [1, 2]))
        assert record.error.type.endswith("TooLate")
        assert calls == []

    def test_one_in_time_runs(self, site, calls):
        assert finished(using(begin_by=3600).schedule(int)).state == "succeeded"

    def test_who_tries_it_again_begins_it(self, site, calls):
        late = using(begin_by=SOON)
        task_id = finished(late.schedule(lambda: calls.append(1))).id
        get_scheduler().retry(task_id)
        assert finished(task_id).state == "succeeded"

    def test_also_if_it_was_cancelled_while_it_waited(self, tier):
        scheduler = get_scheduler()
        with waiting():
            task_id = using(begin_by=SOON).schedule(int)
            transaction.commit()
            scheduler.cancel(task_id)
            scheduler.retry(task_id)
        assert finished(task_id).state == "succeeded"

    def test_what_could_never_begin_is_refused(self):
        with pytest.raises(BadOption, match="could not begin in time"):
            using(begin_by=5, delay=10)

    @pytest.mark.parametrize("value", [0, -1, "1", True, None])
    def test_what_is_no_time_is_refused(self, value):
        with pytest.raises(BadOption, match=r"begin_by is .*; it must be seconds"):
            using(begin_by=value)
