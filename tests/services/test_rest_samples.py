"""The samples in ``docs/rest.rst`` are what the server really answers.

The test makes all the requests, and compares. To have it write the samples, after a
change or when there is a new one (it needs no more than its line ``.. sample: name``)::

    WRITE_SAMPLES=1 venv/bin/pytest tests/services/test_rest_samples.py

What differs from one run to the next (addresses, ids, times) is replaced.
"""

from collective.background import get_scheduler
from helpers import TIMEOUT
from helpers import waiting
from pathlib import Path

import json
import os
import pytest
import re


CHAPTER = Path(__file__).parents[2] / "docs" / "rest.rst"
SAMPLE = re.compile(r"\.\. sample: ([a-z-]+)\n(?:(?:    .*|::)?\n)*")
SHOWN = {
    "Accept",
    "Content-Disposition",
    "Content-Security-Policy",
    "Content-Type",
    "Location",
    "Prefer",
    "Preference-Applied",
    "Retry-After",
    "X-Content-Type-Options",
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00")
SECONDS = re.compile(r'("(?:run|wait)_time": )[\d.e-]+')
INSTANCE = re.compile(r'("instance": )".+"')
ID = re.compile(r"\b[0-9a-f]{32}\b")
ERROR_ID = re.compile(r"\b[0-9a-f]{8}\b(?=[\")])")


class Samples:
    """Notes what is asked and answered, as texts by their names.

    ``server``: the address that is replaced.
    """

    def __init__(self, server):
        self._server = server
        self._ids = {}
        self._first = None
        self.texts = {}

    def note(self, name, answer):
        """Note an answer and its request; return the answer."""
        asked = answer.request
        lines = [f"{asked.method} {asked.path_url} HTTP/1.1", *_headers(asked)]
        request = _text(lines, asked.body and json.loads(asked.body))
        lines = [f"HTTP/1.1 {answer.status_code} {answer.reason}", *_headers(answer)]
        body = self._shortened(answer.json()) if answer.content else None
        response = _text(lines, body)
        text = f"\n::\n\n{request}\n::\n\n{response}"
        self.texts[name] = self._normalized(text)
        return answer

    def _shortened(self, body):
        """Return what is new in a record; the first one is shown as a whole."""
        if "items" in body:
            return {**body, "items": [self._shortened(item) for item in body["items"]]}
        if "instance" not in body:
            return body
        if self._first is None:
            self._first = body
            return body
        new = {
            name: value
            for name, value in body.items()
            if name in ("@id", "state") or value != self._first.get(name)
        }
        return {**new, "…": "…"}

    def _normalized(self, text):
        text = text.replace(self._server, "http://localhost:8080")
        text = TIME.sub("2026-11-24T09:30:00.000000+00:00", text)
        text = SECONDS.sub(r"\g<1>0.25", text)
        text = ERROR_ID.sub("5e1d0f2a", text)
        text = INSTANCE.sub(r'\1"www1:4711:0c5a2e"', text)
        return ID.sub(self._replaced_id, text)

    def _replaced_id(self, match):
        number = self._ids.setdefault(match[0], len(self._ids) + 1)
        return f"{number * 0x6B8B4567:032x}"


def _headers(message):
    names = sorted(SHOWN.intersection(message.headers))
    return [f"{name}: {message.headers[name]}" for name in names]


def _text(lines, body):
    if body is not None:
        text = json.dumps(body, indent=2, ensure_ascii=False)
        lines = [*lines, "", *text.split("\n")]
    return "".join(f"    {line}".rstrip() + "\n" for line in lines)


@pytest.fixture
def samples(server, tree, editor, boss):
    """All samples, by their names."""
    noted = Samples(server)
    note = noted.note
    prefer = {"Prefer": "respond-async"}
    copy = {"source": "/folder/inner"}
    with waiting():
        accepted = note(
            "respond-async", editor.post("target/@copy", json=copy, headers=prefer)
        )
        path = f"@tasks/{accepted.json()['id']}"
        note("unfinished", editor.get(path))
        note("no-result-yet", editor.get(f"{path}/result"))
        note("paused", boss.patch("@task-queues/default", json={"paused": True}))
    task_id = path.partition("/")[2]
    get_scheduler().wait(task_id, TIMEOUT)
    note("succeeded", editor.get(path))
    note("result", editor.get(f"{path}/result"))

    with waiting():
        failing = editor.post("target/@copy", json={}, headers=prefer).json()["id"]
        second = editor.post("target/@copy", json=copy, headers=prefer).json()["id"]
        note("cancel", editor.delete(f"@tasks/{second}"))
    get_scheduler().wait(failing, TIMEOUT)
    note("failed-result", editor.get(f"@tasks/{failing}/result"))
    note("list", editor.get("@tasks?state=failed&b_size=1"))
    with waiting():
        note("retry", editor.patch(f"@tasks/{failing}", json={"retry": True}))
    get_scheduler().wait(failing, TIMEOUT)
    note("dismiss", editor.patch(f"@tasks/{failing}", json={"dismissed": True}))
    note("conflict", editor.patch(path, json={"retry": True}))
    note("forget", editor.delete(path))
    note("unknown", editor.get(path))
    note("bad-filter", editor.get("@tasks?state=done"))
    get_scheduler().wait_all(TIMEOUT)  # until the slots are free again
    note("queues", boss.get("@task-queues"))
    return noted.texts


def test_samples_are_up_to_date(samples):
    before = CHAPTER.read_text(encoding="utf-8")
    wanted = set(SAMPLE.findall(before))
    assert wanted and wanted <= samples.keys()

    after = SAMPLE.sub(lambda m: f".. sample: {m[1]}\n{samples[m[1]]}\n", before)
    if os.environ.get("WRITE_SAMPLES"):
        CHAPTER.write_text(after, encoding="utf-8")
    assert before == after, "see the top of this file for how to write them anew"
