"""What the console script prints: lines for people, JSON for programs."""

from collective.background.model.messages import portable_line
from collective.background.model.messages import portable_text
from collective.background.showing.serializing import serialize
from collective.background.showing.trail import serialize_trail
from zope.i18n import translate

import json
import sys


WIDTH = 80  # characters of a title in a list
LENGTH = 100_000  # characters of any other text
COLUMNS = ("id", "state", "created", "not-before", "queue", "user", "title")


class Output:
    """``request``: for the language of texts; ``as_json``: whether it is for programs.

    Whatever comes from outside can neither begin a line of its own nor move the cursor
    of a terminal.
    """

    def __init__(self, request, as_json):
        self._request = request
        self.as_json = as_json

    def tasks(self, records):
        """Print TaskRecords, one a line; for programs a list."""
        if self.as_json:
            self.values([self._serialized(record) for record in records])
        else:
            self.table(COLUMNS, [self._row(record) for record in records])

    def task(self, record, **more):
        """Print all of a TaskRecord; ``more``: further values by their names."""
        trail = serialize_trail(record, self._request)
        values = {**self._serialized(record), **trail, **more}
        if self.as_json:
            self.values(values)
            return
        error = values.pop("error") or {}
        values |= {f"error_{name}": text for name, text in error.items()}
        for name, value in values.items():
            if value not in (None, "", [], ()):
                self.line(f"{name}:{_plain(value)}")

    def values(self, values):
        """Print what JSON can say."""
        self.line(json.dumps(values, indent=2))

    def table(self, names, rows):
        """Print rows of texts in columns, which have names."""
        rows = [names, *([portable_line(text) for text in row] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
            self.line("  ".join(cells).rstrip())

    def line(self, text):
        """Print a text, whatever the terminal can show."""
        encoding = sys.stdout.encoding or "utf-8"
        shown = text.encode(encoding, "backslashreplace").decode(encoding)
        sys.stdout.write(f"{shown}\n")

    def _serialized(self, record):
        return serialize(record, self._request)

    def _row(self, record):
        title = portable_line(translate(record.title, context=self._request), WIDTH)
        created, eta = _moment(record.created), _moment(record.eta)
        user = record.user_id or "-"
        return record.id, record.state, created, eta, record.queue, user, title


def complain(error):
    """Say on standard error, in one line, what was not possible."""
    sys.stderr.write(f"background: {portable_line(str(error), LENGTH)}\n")


def _moment(moment):
    return "-" if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(value):
    """Return a value for people; what has several lines begins with the next one."""
    values = value if isinstance(value, list | tuple) else [value]
    text = "\n".join(map(_text, values))
    lines = portable_text(text, LENGTH).rstrip("\n").split("\n")
    if len(lines) == 1:
        return f" {lines[0]}"
    return "".join(f"\n    {line}" for line in lines)


def _text(value):
    if isinstance(value, dict):
        return ", ".join(f"{name}={each}" for name, each in value.items())
    return str(value)
