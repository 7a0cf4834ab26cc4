"""What is said of a trouble that lasts."""

from collective.background.telling.troubles import REMINDER
from collective.background.telling.troubles import Troubles
from contextlib import closing
from ZODB.DB import DB
from ZODB.FileStorage import FileStorage
from ZODB.POSException import ReadOnlyError

import logging
import pytest
import transaction


@pytest.fixture
def troubles():
    return Troubles(logging.getLogger("an.add-on"))


@pytest.fixture
def read_only(tmp_path):
    """What a commit raises on a database that is read-only."""
    path = str(tmp_path / "Data.fs")
    DB(FileStorage(path)).close()
    manager = transaction.TransactionManager()
    with (
        closing(DB(FileStorage(path, read_only=True))) as database,
        closing(database.open(manager)) as connection,
    ):
        connection.root()["changed"] = True
        with pytest.raises(ReadOnlyError) as caught:
            manager.commit()
        manager.abort()
    return caught.value


def fail():
    try:
        raise ValueError("no\nERROR forged")
    except ValueError as error:
        return error


def said(caplog):
    return [
        (line.levelname, line.getMessage(), bool(line.exc_info))
        for line in caplog.records
        if line.name == "an.add-on"
    ]


def test_all_of_it_once_and_a_line_now_and_then(troubles, clock, caplog):
    line = "It cannot be done, for now: ValueError: no ERROR forged"
    for _second in range(int(REMINDER) + 1):
        troubles.tell("It cannot be done", fail())
        clock.now += 1
    assert said(caplog) == [("ERROR", line, True), ("WARNING", line, False)]


def test_a_new_one_at_once(troubles, clock, caplog):
    for error in (fail(), KeyError("other"), fail(), KeyError("other")):
        troubles.tell("It cannot be done", error)
    troubles.tell("Nor this", fail())
    assert [level for level, _text, _traceback in said(caplog)] == ["ERROR"] * 3


def test_one_that_comes_again_is_new(troubles, clock, caplog):
    troubles.tell("It cannot be done", fail())
    troubles.is_over("It cannot be done")
    troubles.tell("It cannot be done", fail())
    assert [has_traceback for _level, _text, has_traceback in said(caplog)] == [
        True
    ] * 2


def test_a_database_that_is_read_only_needs_no_traceback(
    troubles, clock, caplog, read_only
):
    for _second in range(10):
        troubles.tell("The tasks cannot be seen to", read_only)
        clock.now += 5
    (line,) = said(caplog)
    assert line[0] == "ERROR"
    assert "the database is read-only" in line[1]
    assert not line[2]
