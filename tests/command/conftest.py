"""The console script in the process of the tests, on the database of the layer."""

from collective.background.capture.snapshot import find_database
from collective.background.command import checking
from collective.background.command import sites
from collective.background.command.main import main
from collective.background.database.installing import install
from contextlib import nullcontext
from dataclasses import dataclass

import json
import pytest
import transaction


@dataclass
class Ended:
    """How a command has ended: its exit code, and what it has said."""

    code: int
    out: str
    err: str

    @property
    def values(self):
        return json.loads(self.out)

    @property
    def lines(self):
        return self.out.splitlines()


@pytest.fixture
def background(monkeypatch, capsys, site):
    """Return a function that runs a command, and returns how it has ended."""
    database = find_database()
    for module in (sites, checking):
        monkeypatch.setattr(
            module, "opened_database", lambda path: nullcontext(database)
        )

    def background(*arguments):
        capsys.readouterr()
        try:
            code = main([str(each) for each in arguments])
        except SystemExit as error:
            code = error.code
        return Ended(code, *capsys.readouterr())

    return background


@pytest.fixture
def shared(site):
    """The site, whose tasks are in the database."""
    install(site)
    transaction.commit()
    return site
