"""Whatever comes in, by whatever way: work is done, and everything can be shown."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import group
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import schedule_view
from collective.background import using
from collective.background.browser.items import Items
from collective.background.exceptions import TaskFailed
from collective.background.model.messages import _
from collective.background.showing.serializing import serialize
from decimal import Decimal
from endings import upload
from fractions import Fraction
from helpers import finished
from lxml import etree
from zope.globalrequest import getRequest

import json
import logging
import pytest


class Text(str):
    """A text of some library's own class."""


class Metres(float):
    """A number of an add-on."""


ODD = {
    "that UTF-8 cannot encode": "a\udcff\ud800",
    "with control characters": "a\x00\x1b[2J\x85\u2028b\r\nERROR forged",
    "of another class": Text("a"),
    "of lxml": etree.XML("<a>b</a>").xpath("string()"),
    "with megabytes": "a" * 3_000_000,
    "with a value": _("${a}", mapping={"a": Text("\udcff\n" * 100_000)}),
}
NUMBERS = (True, Metres(0.5), Fraction(1, 3), Decimal("0.5"), 10**18, -1, 5e-324)


def tell(folder, text):
    folder.title = "done"
    task = current_task()
    task.title = text
    for number in NUMBERS:
        task.progress(number, number, text)
    task.message(text)
    logging.getLogger("an.add-on").warning("%s", text)


def fail(text):
    raise ValueError(text)


def fail_for_people(text):
    raise TaskFailed(text)


def length(file):
    return len(file.read())


WAYS = {
    "told by a task": lambda folder, text: schedule(tell, folder, text),
    "as a title": lambda folder, text: using(title=text).schedule(int),
    "as the title of a group": lambda folder, text: in_group(text),
    "as a key": lambda folder, text: using(unique=text[:100]).schedule(int),
    "as the name of a view": lambda folder, text: schedule_view(folder, text),
    "in a form": lambda folder, text: schedule_view(folder, "@@x", {"a": text}),
    "as an error": lambda folder, text: schedule(fail, text),
    "as an error for people": lambda folder, text: schedule(fail_for_people, text),
    "as an item": lambda folder, text: schedule_batch(fail, [text, "b"]),
    "as a result": lambda folder, text: schedule(str, text),
    "as the name of a file": lambda folder, text: schedule(length, named(text)),
}


def named(text):
    """Return an upload with a name that no browser gives it."""
    file = upload("a.txt", b"data")
    file.filename = text
    return file


def in_group(title):
    with group(title=title) as made:
        schedule(int)
    return made.id


@pytest.mark.parametrize("way", WAYS)
def test_is_shown(tier, folder, way, caplog):
    has_failed = "error" in way or "item" in way or "view" in way or "form" in way
    for kind, text in ODD.items():
        record = finished(WAYS[way](folder, text))
        assert record.state == ("failed" if has_failed else "succeeded"), kind
        assert size_shown(record) < 100_000, kind
    assert folder.title == ("done" if way == "told by a task" else "A folder")
    lines = [line for line in caplog.records if line.name != "an.add-on"]
    assert sum(len(line.getMessage()) for line in lines) < 100_000


def size_shown(record):
    """Show all of a task; return how many bytes that are."""
    request = getRequest()
    shown = (
        serialize(record, request),
        Items(request).item(record),
        get_scheduler().arguments(record.id),
    )
    return len(json.dumps(shown, ensure_ascii=False).encode())
