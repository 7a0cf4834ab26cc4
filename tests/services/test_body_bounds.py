"""Nobody can fill memory, disk or descriptors with the bodies of his requests."""

from collective.background import get_scheduler
from helpers import kept_files
from helpers import open_files
from helpers import TIMEOUT
from sessions import PREFER

import pytest


MB = 1_000_000
FAILING = {"filler": "x" * (MB + MB // 20)}  # on disk, and without a source


@pytest.fixture
def post(tree, settings):
    """Return a function that makes a task which fails; room for 8 MB of a user."""
    settings(max_bytes=32 * MB)

    def post(session, body=FAILING):
        answer = session.post("target/@copy", json=body, headers=PREFER)
        assert answer.status_code == 202, answer.text
        record = get_scheduler().wait(answer.json()["id"], TIMEOUT)
        assert record.state == "failed"
        return record.id

    return post


def test_many_that_fail(post, editor, boss):
    other = post(boss)
    post(editor)
    files, descriptors = kept_files(), open_files()
    ids = [post(editor) for _ in range(20)]
    assert len(kept_files() - files) <= 7
    assert abs(open_files() - descriptors) < 5
    known = [id for id in ids if get_scheduler().record(id)]
    assert known == ids[-7:]
    assert get_scheduler().record(other) is not None


def test_one_that_is_longer_than_the_share_is_answered_at_once(post, editor):
    answer = editor.post("target/@copy", json={"filler": "x" * 9 * MB}, headers=PREFER)
    assert answer.status_code == 400
    assert get_scheduler().records() == []
