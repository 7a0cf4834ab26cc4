"""What becomes of a copy: its tasks are adopted, or discarded."""

from collective.background import deployment
from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import using
from collective.background.database.installing import install
from collective.background.deployment import adopt
from collective.background.deployment import deployment_of
from collective.background.deployment import discard
from collective.background.deployment import is_foreign
from collective.background.deployment import own_deployment
from collective.background.exceptions import NoDeployment
from zope.annotation.interfaces import IAnnotations

import pytest
import transaction


@pytest.fixture(params=["memory", "database"])
def waiting(request, site, resumed):
    """The site, in which nothing starts; in either tier."""
    if request.param == "database":
        install(site)
        transaction.commit()
    else:
        get_scheduler().pause("default")
    return site


@pytest.fixture
def switched_off(monkeypatch):
    """Receives the sites whose recurring tasks are switched off."""
    sites = []
    monkeypatch.setattr(deployment, "switch_off_all", sites.append)
    return sites


def states_of(*ids):
    transaction.begin()
    return [get_scheduler().record(id).state for id in ids]


class TestBelonging:
    def test_to_none_in_the_beginning(self, site, staging):
        assert deployment_of(site) is None
        assert own_deployment() == "staging"
        assert not is_foreign(site)

    def test_to_that_of_the_process(self, site, staging):
        assert adopt(site) == "staging"
        assert deployment_of(site) == "staging"
        assert not is_foreign(site)

    def test_to_another_one(self, copied):
        assert is_foreign(copied)

    def test_a_process_without_any_is_foreign_to_every_name(self, copied, settings):
        settings(deployment=None)
        assert is_foreign(copied)

    def test_a_process_without_any_cannot_adopt(self, copied, settings):
        settings(deployment=None)
        with pytest.raises(NoDeployment, match="BACKGROUND_DEPLOYMENT"):
            adopt(copied)
        with pytest.raises(NoDeployment):
            discard(copied)
        assert deployment_of(copied) == "production"

    def test_is_a_plain_value_with_a_version(self, copied):
        stored = IAnnotations(copied)["collective.background.deployment"]
        assert stored == {"version": 1, "name": "production"}

    def test_adopting_is_part_of_the_transaction(self, copied):
        adopt(copied)
        transaction.abort()
        assert is_foreign(copied)


class TestDiscarding:
    def test_all_that_waits_is_cancelled(self, waiting, staging):
        first = schedule(len, "x")
        ids = [
            first,
            using(delay=3600).schedule(len, "x"),
            using(after=first).schedule(len, "x"),
        ]
        transaction.commit()
        discard(waiting)
        transaction.commit()
        assert states_of(*ids) == ["cancelled"] * 3
        assert deployment_of(waiting) == "staging"

    def test_callbacks_are_so_as_well(self, waiting, staging):
        """Who waits for what is cancelled has failed, so his callbacks come in."""
        first = schedule(len, "x")
        using(after=first, on_failure=len).schedule(len, "x")
        with group(on_failure=len):
            schedule(len, "y")
        transaction.commit()
        discard(waiting)
        transaction.commit()
        assert get_scheduler().count(states=("queued", "running", "retrying")) == 0

    def test_recurring_tasks_are_switched_off(self, copied, switched_off):
        discard(copied)
        assert switched_off == [copied]
