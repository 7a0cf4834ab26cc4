"""What a worker elsewhere reports, and what is sent to it."""

from collective.background.capture.external import capture_external
from collective.background.exceptions import BadOption
from collective.background.exceptions import BadReport
from collective.background.model.config import Settings
from collective.background.model.external import parse_report
from collective.background.model.options import Options
from collective.background.scheduling.external import check_external

import pytest


LEAST = {"run": "one", "number": 1}


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


class TestReport:
    def test_the_least(self):
        report = parse_report(LEAST)
        assert (report.state, report.is_last, report.tells) == (None, False, False)

    def test_a_result_is_left_as_it_is(self):
        for result in (nested(100), {"a": ["text", None]}, "text", 3, None):
            assert parse_report({**LEAST, "result": result}).result == result

    def test_texts_become_harmless(self):
        report = parse_report({**LEAST, "log": ["a\nb"], "title": "x" * 1_000})
        assert report.log == ("a b",)
        assert len(report.title) == 300

    @pytest.mark.parametrize(
        ("report", "text"),
        [
            (None, "must be a JSON object"),
            ({"number": 1}, "run must be"),
            ({"run": "one"}, "number must be"),
        ],
    )
    def test_what_is_needed(self, report, text):
        with pytest.raises(BadReport, match=text):
            parse_report(report)

    @pytest.mark.parametrize(
        ("more", "text"),
        [
            ({"state": "queued"}, "state must be one of"),
            ({"nonsense": 1}, "nonsense"),
            ({"number": 0}, "from 1"),
            ({"number": True}, "whole number"),
            ({"number": 10**30}, "from 1"),
            ({"run": ""}, "without spaces"),
            ({"progress": {"done": "much"}}, "must be a number"),
            ({"progress": {"failed": 1}}, "may have done, total and message"),
            ({"progress": 3}, "JSON object"),
            ({"log": "line"}, "JSON array"),
            ({"log": ["line"] * 201}, "may have 200"),
            ({"messages": [{"text": "a", "type": "loud"}]}, "type of a message"),
            ({"messages": [{}]}, "text of a message"),
            ({"error": {"message": 3}}, "JSON string"),
            ({"result": nested(101)}, "may have 100 levels"),
            ({"result": {"a": [1, nested(99)]}}, "may have 100 levels"),
        ],
    )
    def test_what_is_refused(self, more, text):
        with pytest.raises(BadReport, match=text):
            parse_report({**LEAST, **more})


class TestCall:
    @pytest.mark.parametrize(
        ("name", "payload", "text"),
        [
            ("", {}, "name is ''"),
            ("a b", {}, "without spaces"),
            (None, {}, "name is None"),
            ("a.b", {"a": object()}, "cannot be JSON"),
            ("a.b", float("nan"), "cannot be JSON"),
            ("a.b", "x" * 100_000, "may have 100000"),
        ],
    )
    def test_what_cannot_be_sent(self, name, payload, text):
        with pytest.raises(BadOption, match=text):
            capture_external(name, payload, "celery")

    @pytest.mark.parametrize(
        "option",
        [
            *({"retries": 1}, {"backoff": 1.0}, {"retry_on": ValueError}),
            *({"timeout": 1}, {"hard_timeout": 1}, {"lock": "a"}, {"rerun": True}),
        ],
    )
    def test_options_without_effect(self, option):
        call = capture_external("a.b", None, "celery")
        settings = Settings(celery_broker="memory://")
        with pytest.raises(BadOption, match="has no effect"):
            check_external(call, Options(**option), settings, is_stored=True)
