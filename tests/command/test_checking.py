"""What is found to be wrong with an installation, and adopting a copy."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background.command import checking
from collective.background.deployment import deployment_of
from collective.background.testing import serving

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
        assert background("adopt", "--discard").code == 0
        transaction.begin()
        assert get_scheduler().record(id).state == "cancelled"
        assert deployment_of(copied) == "staging"

    def test_a_process_without_a_name(self, background, site):
        done = background("adopt")
        assert done.code == 1
        assert "BACKGROUND_DEPLOYMENT" in done.err
