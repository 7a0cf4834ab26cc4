"""The settings of the process: where they come from, and what is refused."""

from App import config as zope_config
from collective.background.exceptions import BackgroundError
from collective.background.exceptions import BadOption
from collective.background.model import brokers
from collective.background.model.config import Settings
from collective.background.model.loading import load_settings
from pathlib import Path
from Zope2.Startup.options import ZopeWSGIOptions

import pytest
import re


NUMBERS = (
    "concurrency",
    "max_waiting",
    "max_waiting_per_user",
    "max_delayed",
    "max_bytes",
    "keep",
    "keep_count",
    "drain_timeout",
    "conflict_attempts",
    "polite_wait",
    "switch_interval",
)
AT_LEAST_ONE = (
    "concurrency",
    "max_waiting",
    "max_waiting_per_user",
    "max_delayed",
    "max_bytes",
    "conflict_attempts",
)


@pytest.fixture
def zope_conf(tmp_path, monkeypatch):
    """Return a function that lets Zope read a zope.conf with these lines."""

    def zope_conf(*lines):
        path = Path(tmp_path, "zope.conf")
        path.write_text(
            f"instancehome {tmp_path}\n"
            "<zodb_db main>\n mount-point /\n"
            " <mappingstorage>\n </mappingstorage>\n</zodb_db>\n"
            "<product-config collective.background>\n"
            + "".join(f"  {line}\n" for line in lines)
            + "</product-config>\n"
        )
        options = ZopeWSGIOptions(configfile=str(path))()
        monkeypatch.setattr(zope_config, "_config", options.configroot)

    return zope_conf


class TestSources:
    def test_defaults(self, zope_conf):
        zope_conf()
        settings = load_settings({})
        assert settings == Settings()
        assert dict(settings.queues) == {"default": 2, "mail": 1}
        assert dict(settings.limits) == {}

    def test_a_process_without_zope_has_the_defaults(self, monkeypatch):
        monkeypatch.setattr(zope_config, "_config", None)
        assert load_settings({}) == Settings()

    def test_zope_conf(self, zope_conf):
        zope_conf(
            "concurrency 3",
            "queues imports=1 mail=4",
            "limits mail=2 elsewhere=1",
            "max_waiting 100",
            "keep 1.5",
            "keep_count 7",
            "drain_timeout 0",
            "conflict_attempts 5",
            "polite_wait 0",
            "switch_interval 0.001",
            "handle_signals off",
        )
        assert load_settings({}) == Settings(
            concurrency=3,
            queues={"imports": 1, "mail": 4},
            limits={"mail": 2, "elsewhere": 1},
            max_waiting=100,
            keep=1.5,
            keep_count=7,
            drain_timeout=0,
            conflict_attempts=5,
            polite_wait=0,
            switch_interval=0.001,
            handle_signals=False,
        )

    @pytest.mark.parametrize("text", ["1000000", "1MB", "1mb", "1024kb"])
    def test_sizes(self, zope_conf, text):
        zope_conf(f"max_bytes {text}")
        assert load_settings({}).max_bytes == (10**6 if text.isdigit() else 2**20)

    def test_environment_variables_win(self, zope_conf):
        zope_conf("concurrency 3", "keep 60")
        settings = load_settings({"BACKGROUND_CONCURRENCY": "4"})
        assert settings.concurrency == 4
        assert settings.keep == 60

    def test_every_setting_has_its_variable(self, zope_conf):
        zope_conf()
        variables = {f"BACKGROUND_{name.upper()}": "17" for name in NUMBERS}
        settings = load_settings({**variables, "BACKGROUND_QUEUES": "imports=17"})
        assert {getattr(settings, name) for name in NUMBERS} == {17}
        assert dict(settings.queues) == {"default": 17, "mail": 1, "imports": 17}

    def test_other_variables_are_none_of_our_business(self, zope_conf):
        zope_conf()
        for name in ("COLOUR", "MODE", "RELEASE", "", "IMAGE"):
            assert load_settings({f"BACKGROUND_{name}": "red"}) == Settings()

    def test_space_around_a_word_is_none_of_it(self, zope_conf):
        zope_conf()
        assert load_settings({"BACKGROUND_ROLE": "worker "}).role == "worker"

    def test_queues_of_celery(self, zope_conf):
        zope_conf("queues imports=3", "celery_queues imports mail")
        assert load_settings({}).queues_of_celery == frozenset()
        assert load_settings({}).queues_of_threads == load_settings({}).queues
        settings = load_settings({"BACKGROUND_CELERY_BROKER": "memory://"})
        assert settings.queues_of_celery == {"imports", "mail"}
        assert settings.queues_of_threads == {"default": 2}

    def test_a_broker_may_be_there_for_other_applications_only(self, zope_conf):
        zope_conf("celery_broker memory://")
        settings = load_settings({"BACKGROUND_CELERY_QUEUES": ""})
        assert settings.queues_of_celery == frozenset()
        assert settings.queues_of_threads == settings.queues

    def test_with_a_broker_all_queues_are_those_of_celery(self):
        settings = Settings(celery_broker="memory://", queues={"imports": 1})
        assert settings.queues_of_celery == {"default", "mail", "imports"}
        assert settings.queues_of_threads == {}

    def test_the_name_of_the_deployment(self, zope_conf):
        zope_conf("deployment production")
        assert load_settings({}).deployment == "production"
        staging = {"BACKGROUND_DEPLOYMENT": "staging"}
        assert load_settings(staging).deployment == "staging"


class TestRefusals:
    """Each names the setting and its value."""

    def test_of_a_setting_that_does_not_exist(self, zope_conf):
        zope_conf("slots 3")
        with pytest.raises(BadOption, match="has no setting slots; there are: concurr"):
            load_settings({})

    @pytest.mark.parametrize(
        ("wrong", "right"),
        [("CONCURENCY", "CONCURRENCY"), ("QUEUE", "QUEUES"), ("ROLES", "ROLE")],
    )
    def test_of_a_variable_that_is_nearly_a_setting(self, zope_conf, wrong, right):
        zope_conf()
        match = f"BACKGROUND_{wrong} is no setting; did you mean BACKGROUND_{right}?"
        with pytest.raises(BadOption, match=re.escape(match)):
            load_settings({f"BACKGROUND_{wrong}": "3"})

    @pytest.mark.parametrize("name", ["queues", "limits"])
    def test_of_a_queue_that_is_there_twice(self, zope_conf, name):
        zope_conf(f"{name} imports=1 imports=2")
        with pytest.raises(BadOption, match="has imports twice; give it once"):
            load_settings({})

    @pytest.mark.parametrize("name", ["", "my production", "1"])
    def test_of_what_is_no_name_of_a_deployment(self, zope_conf, name):
        zope_conf()
        with pytest.raises(BadOption, match=f"deployment is {name!r}"):
            load_settings({"BACKGROUND_DEPLOYMENT": name})

    @pytest.mark.parametrize("name", NUMBERS)
    @pytest.mark.parametrize("text", ["many", "", "1,5"])
    def test_of_what_is_no_number(self, zope_conf, name, text):
        zope_conf()
        variable = f"BACKGROUND_{name.upper()}"
        match = f"^{variable}: {name} is {text!r}; expected a "
        with pytest.raises(BadOption, match=match):
            load_settings({variable: text})

    def test_of_what_is_no_number_in_zope_conf(self, zope_conf):
        zope_conf("keep long")
        with pytest.raises(
            BadOption, match=r"background>: keep is 'long'; expected a n"
        ):
            load_settings({})

    @pytest.mark.parametrize("name", NUMBERS)
    def test_of_less_than_nothing(self, name):
        with pytest.raises(BadOption, match=f"^{name} is -1; it must be .* at least"):
            Settings(**{name: -1})

    @pytest.mark.parametrize("name", AT_LEAST_ONE)
    def test_of_none_where_one_is_needed(self, name):
        with pytest.raises(BadOption, match=f"^{name} is 0; it must be .* at least 1"):
            Settings(**{name: 0})

    def test_of_an_interval_that_is_none(self):
        with pytest.raises(BadOption, match=r"^switch_interval is 0; it must be"):
            Settings(switch_interval=0)

    @pytest.mark.parametrize(
        "name", ["keep", "drain_timeout", "polite_wait", "switch_interval"]
    )
    @pytest.mark.parametrize("text", ["nan", "inf"])
    def test_of_numbers_that_are_no_time(self, zope_conf, name, text):
        zope_conf()
        variable = f"BACKGROUND_{name.upper()}"
        with pytest.raises(BadOption, match=f"^{variable}: {name} is {text}; it must"):
            load_settings({variable: text})

    @pytest.mark.parametrize("setting", ["queues", "limits"])
    @pytest.mark.parametrize("text", ["imports", "imports=", "imports=one", "a b=1"])
    def test_of_queues_without_a_number(self, zope_conf, setting, text):
        zope_conf()
        match = f": {setting} is '{text}'; expected a list"
        with pytest.raises(BadOption, match=match):
            load_settings({f"BACKGROUND_{setting.upper()}": text})

    @pytest.mark.parametrize("setting", ["queues", "limits"])
    def test_of_a_queue_with_no_slot(self, setting):
        with pytest.raises(BadOption, match=f"^{setting}: imports is 0; it must be"):
            Settings(**{setting: {"imports": 0}})

    @pytest.mark.parametrize("name", ["", "1st", "a/b", "a b", "-x", "x" * 65, "ü"])
    def test_of_names_that_are_no_names_of_queues(self, name):
        """They become part of the names of threads, and of addresses."""
        for setting in ("queues", "limits"):
            with pytest.raises(BadOption, match=f"^{setting}: .* is not a queue name"):
                Settings(**{setting: {name: 1}})

    def test_of_names_that_are_names_of_no_queue(self, zope_conf):
        zope_conf("celery_broker memory://", "celery_queues default import")
        with pytest.raises(BadOption, match=r"^celery_queues: there is no queue 'im"):
            load_settings({})

    @pytest.mark.parametrize(
        "url",
        ["localhost", "user:secret@host", "//host/0", "", "amqp://me:se/secret@host//"],
    )
    def test_of_what_is_no_address_of_a_broker(self, zope_conf, url):
        with pytest.raises(BadOption, match="celery_broker is no address") as caught:
            load_settings({"BACKGROUND_CELERY_BROKER": url})
        assert "secret" not in str(caught.value)

    def test_of_a_broker_without_celery(self, monkeypatch):
        monkeypatch.setattr(brokers, "find_spec", lambda name: None)
        with pytest.raises(BadOption, match=r"install collective.background\[celery\]"):
            Settings(celery_broker="redis://localhost/0")

    def test_a_password_is_not_in_what_is_printed(self):
        settings = Settings(celery_broker="redis://:secret@localhost/0")
        assert "secret" not in repr(settings)

    def test_are_errors_of_the_package_and_value_errors(self):
        with pytest.raises(BackgroundError):
            Settings(keep=-1)
        with pytest.raises(ValueError, match="keep"):
            Settings(keep=-1)
