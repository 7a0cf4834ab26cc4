"""What is found to be wrong with an installation, and adopting a copy."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background import using
from collective.background.command import checking
from collective.background.database.observing import Observed
from collective.background.deployment import deployment_of
from collective.background.executing.deployment import assign
from collective.background.recurring.state import get_state
from collective.background.testing import serving
from datetime import datetime
from datetime import UTC

import pytest
import transaction


def names(done):
    return [finding["name"] for finding in done.values]


class TestCheck:
    def test_nothing_is_wrong(self, background, shared, staging):
        background("adopt")
        with serving():
            schedule(len, "x")
            transaction.commit()
            get_scheduler().wait_all(60)
            done = background("check")
            assert background("check", "--json").values == []
        assert (done.code, done.out) == (0, "nothing is wrong\n")

    def test_each_has_its_remedy(self, background, shared):
        done = background("check")
        assert done.code == 1
        assert "executing (/plone): no process executes tasks" in done.out
        assert "    start background worker" in done.out

    def test_for_programs(self, background, shared):
        done = background("check", "--json")
        assert (done.code, names(done)) == (1, ["deployment", "executing"])
        assert all(finding["site"] == "/plone" for finding in done.values)

    def test_what_is_not_wrong_here(self, background, shared):
        done = background("check", "--ignore", "executing", "--ignore", "deployment")
        assert done.code == 0

    def test_a_site_with_tasks_in_memory(self, background, site):
        assert names(background("check", "--json")) == ["deployment"]

    def test_no_site(self, background, site, monkeypatch):
        monkeypatch.setattr(checking, "site_paths", lambda database: [])
        assert names(background("check", "--json")) == ["site"]
        assert background("check", "--site", "plone").code == 2

    @pytest.mark.parametrize(
        ("deployment", "found"), [("a", ["foreign"]), ("staging", ["stale"])]
    )
    def test_silent_instances_of_an_original_are_nobodys_here(
        self, background, site, staging, monkeypatch, deployment, found
    ):
        assign(site, deployment)
        transaction.commit()
        observed = Observed(beating={}, silent=frozenset({"host:1:x"}), offset=None)
        monkeypatch.setattr(checking, "observe", lambda *args: observed)
        assert names(background("check", "--json")) == found

    def test_one_site_of_several(self, background, site, monkeypatch):
        monkeypatch.setattr(checking, "site_paths", lambda database: ["/a", "/plone"])
        assert names(background("check", "--site", "plone", "--json")) == ["deployment"]
        assert background("check", "--site", "b").code == 2


class TestAdopt:
    def test_goes_on_here(self, background, copied):
        done = background("adopt", "--json")
        assert done.values == {
            "site": "/plone",
            "deployment": "staging",
            "before": "production",
        }
        transaction.begin()
        assert deployment_of(copied) == "staging"

    def test_tells_people(self, background, copied):
        assert background("adopt").out == (
            "/plone belongs to the deployment staging (before: production)\n"
        )

    def test_discards(self, background, shared, copied):
        id = schedule(len, "x")
        transaction.commit()
        done = background("adopt", "--discard")
        assert done.lines == [
            "/plone belongs to the deployment staging (before: production)",
            "1 task cancelled, 0 recurring tasks switched off",
        ]
        transaction.begin()
        assert get_scheduler().record(id).state == "cancelled"
        assert deployment_of(copied) == "staging"

    def test_says_how_much_it_has_discarded(self, background, shared, copied):
        get_state(copied, "our.report", datetime.now(UTC))
        first = schedule(len, "x")
        using(after=first).schedule(len, "y")
        transaction.commit()
        done = background("adopt", "--discard", "--json")
        assert (done.values["cancelled"], done.values["switched_off"]) == (2, 1)

    def test_of_no_deployment_before(self, background, site, staging):
        assert background("adopt").out.endswith("(before: none)\n")

    def test_a_process_without_a_name(self, background, site):
        done = background("adopt")
        assert done.code == 1
        assert "BACKGROUND_DEPLOYMENT" in done.err
