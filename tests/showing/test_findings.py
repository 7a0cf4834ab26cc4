"""What is said to be wrong: of a process, of instances, and of a site."""

from collective.background import get_scheduler
from collective.background import using
from collective.background.database.installing import install
from collective.background.database.observing import Observed
from collective.background.database.status import VERSION
from collective.background.model.config import Settings
from collective.background.showing import findings
from collective.background.testing import queues
from ZODB.DB import DB

import pytest
import transaction


ALIVE = Observed(beating={"a": {"default": 2, "mail": 1}}, silent=frozenset(), offset=0)
NOBODY = Observed(beating={}, silent=frozenset(), offset=None)


def names(found):
    return [finding.name for finding in found]


class TestProcess:
    @pytest.mark.parametrize(
        ("size", "settings", "wrong"),
        [
            (7, {}, False),  # the defaults of both
            (7, {"concurrency": 3}, True),
            (7, {"concurrency": 4, "role": "worker"}, False),
            (7, {"concurrency": 5, "role": "worker"}, True),
            (7, {"queues": {"imports": 1}}, True),
        ],
    )
    def test_connections_for_all_slots(self, size, settings, wrong):
        found = findings.of_process(DB(None, pool_size=size), Settings(**settings))
        assert names(found) == ["pool-size"] * wrong

    def test_a_storage_that_loses_data(self, monkeypatch):
        monkeypatch.setattr(findings, "is_on_sqlite", lambda database: True)
        [finding] = findings.of_process(DB(None), Settings())
        assert finding.name == "storage"
        assert "PostgreSQL" in finding.remedy


class TestCelery:
    def observed(self, **values):
        return Observed(silent=frozenset(), offset=0, **values)

    def test_all_is_well(self):
        observed = self.observed(
            beating={"a": {}, "b": {"default": 4}}, relayed=frozenset({"default"})
        )
        assert list(findings.of_instances(observed, Settings())) == []

    def test_the_broker_is_away(self):
        observed = self.observed(
            beating={"a": {}, "b": {"default": 4}},
            relayed=frozenset({"default"}),
            cut_off=frozenset({"a"}),
        )
        [finding] = findings.of_instances(observed, Settings())
        assert finding.name == "broker"
        assert "the instance a cannot reach the broker" in finding.text

    def test_there_is_no_worker(self):
        observed = self.observed(
            beating={"a": {}, "b": {"mail": 4}}, relayed=frozenset({"default", "mail"})
        )
        [finding] = findings.of_instances(observed, Settings())
        assert finding.name == "workers"
        assert "of the queue default" in finding.text

    def test_that_is_not_said_twice(self, shared, waiting):
        observed = self.observed(beating={"a": {}}, relayed=frozenset({waiting.queue}))
        assert "executing" not in names(findings.of_site(shared, observed))
        assert "queue" not in names(findings.of_site(shared, observed))


class TestInstances:
    def test_all_is_well(self):
        assert list(findings.of_instances(ALIVE, Settings())) == []
        assert list(findings.of_instances(NOBODY, Settings())) == []

    def test_one_is_silent(self):
        observed = Observed(beating={}, silent=frozenset({"host:1:x"}), offset=None)
        [finding] = findings.of_instances(observed, Settings(lease=20))
        assert finding.name == "stale"
        assert "host:1:x" in finding.text and "20 s" in finding.remedy

    def test_it_may_have_a_longer_lease(self):
        observed = Observed(
            beating={}, silent=frozenset({"a"}), offset=None, leases={"a": 90.0}
        )
        [finding] = findings.of_instances(observed, Settings())
        assert "90 s" in finding.remedy

    def test_their_leases_differ(self):
        observed = Observed(
            beating={"a": {}, "b": {}, "old": {}},
            silent=frozenset(),
            offset=None,
            leases={"a": 60.0, "b": 5.0},
        )
        [finding] = findings.of_instances(observed, Settings())
        assert finding.name == "lease"
        assert "b has 5 s, a has 60 s" in finding.text

    def test_whatever_the_lease_of_one_that_is_silent(self):
        observed = Observed(
            beating={"a": {}, "b": {}},
            silent=frozenset({"c"}),
            offset=None,
            leases={"a": 60.0, "b": 60.0, "c": 5.0},
        )
        assert names(findings.of_instances(observed, Settings())) == ["stale"]

    @pytest.mark.parametrize(("offset", "word"), [(90, "behind"), (-90, "ahead of")])
    def test_clocks(self, offset, word):
        observed = Observed(beating={}, silent=frozenset(), offset=offset)
        [finding] = findings.of_instances(observed, Settings())
        assert finding.name == "clock"
        assert f"90 seconds {word}" in finding.text


@pytest.fixture
def shared(site):
    install(site)
    transaction.commit()
    return site


@pytest.fixture
def waiting(shared):
    """A task that waits in the queue "imports"."""
    with queues(imports=1):
        id = using(queue="imports").schedule(len, "x")
        transaction.commit()
    return get_scheduler().shards.find(id)


class TestSite:
    def found(self, site, observed=ALIVE):
        """Return {name: text}, but for that of a deployment."""
        found = list(findings.of_site(site, observed))
        assert {finding.site for finding in found} == {"/plone"}
        return {each.name: each.text for each in found if each.name != "deployment"}

    def test_one_without_a_deployment(self, site):
        [finding] = findings.of_site(site, NOBODY)
        assert finding.name == "deployment"

    def test_what_is_to_be_done_first(self, site, settings):
        [finding] = findings.of_site(site, NOBODY)
        assert finding.remedy.startswith("give every instance the setting")
        settings(deployment="production")
        [finding] = findings.of_site(site, NOBODY)
        assert finding.remedy == "call background adopt"

    def test_a_process_without_a_deployment(self, copied, settings):
        settings(deployment=None)
        [finding] = findings.of_site(copied, NOBODY)
        assert "this process to none:" in finding.text

    def test_a_copy_says_only_that(self, shared, copied):
        [finding] = findings.of_site(copied, NOBODY)
        assert finding.name == "foreign"
        assert "'production'" in finding.text and "'staging'" in finding.text

    def test_nobody_executes(self, shared):
        assert set(self.found(shared, NOBODY)) == {"executing"}
        web = Observed(beating={"web": {}}, silent=frozenset(), offset=0)
        assert set(self.found(shared, web)) == {"executing"}
        assert self.found(shared) == {}

    def test_a_queue_that_nobody_has(self, shared, waiting):
        assert self.found(shared) == {
            "queue": "1 task waits in the queue imports, which no instance has"
        }

    def test_and_nobody_else_executes_at_the_moment(self, shared, waiting):
        """Workers of Celery have another one, and none of them is alive."""
        observed = Observed(
            beating={"web": {}},
            silent=frozenset(),
            offset=0,
            relayed=frozenset({"default"}),
        )
        assert set(self.found(shared, observed)) == {"queue"}

    def test_a_later_release(self, shared, waiting):
        waiting.queue = "default"
        waiting.version = VERSION + 1
        waiting.callable = "no.such"  # which that one may have
        assert self.found(shared) == {
            "version": "1 task waits that a later release has scheduled"
        }

    @pytest.mark.parametrize(
        "name", ["no_such_package.function", "os.path.no_such", "os.PathLike.no_such"]
    )
    def test_code_that_is_gone(self, shared, waiting, name):
        waiting.queue = "default"
        waiting.callable = name
        [text] = self.found(shared).values()
        assert f"function {name} cannot" in text

    def test_code_that_fails_at_its_import(
        self, shared, waiting, tmp_path, monkeypatch, caplog
    ):
        (tmp_path / "fails_at_import.py").write_text("1 / 0")
        monkeypatch.syspath_prepend(tmp_path)
        waiting.queue = "default"
        waiting.callable = "fails_at_import.function"
        assert set(self.found(shared)) == {"code"}
        assert "ZeroDivisionError" in caplog.text

    def test_methods_and_builtins_are_there(self, shared):
        using().schedule(shared.getId)
        using().schedule(str.upper, "x")
        using().schedule(print)
        transaction.commit()
        assert self.found(shared) == {}
