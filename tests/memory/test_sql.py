"""With an SQL database in the same transaction, committed in one phase."""

from collective.background import schedule
from collective.background.exceptions import QueueFull
from helpers import finished
from helpers import result_of
from helpers import TIMEOUT
from sqlalchemy import create_engine
from sqlalchemy import event
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

import pytest
import transaction
import zope.sqlalchemy


# One for each thread; it takes part in the transactions of its thread.
Session = scoped_session(sessionmaker())
zope.sqlalchemy.register(Session)

TABLES = (
    "CREATE TABLE country (name TEXT PRIMARY KEY)",
    # Looked at by the commit only:
    "CREATE TABLE city (country TEXT REFERENCES country DEFERRABLE INITIALLY DEFERRED)",
)


def check_foreign_keys(connection, record):
    connection.execute("PRAGMA foreign_keys = ON")


@pytest.fixture(autouse=True)
def _database(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'data.db'}")
    event.listen(engine, "connect", check_foreign_keys)
    with engine.begin() as connection:
        for table in TABLES:
            connection.execute(text(table))
    Session.configure(bind=engine)
    yield
    transaction.abort()
    Session.remove()
    engine.dispose()


def insert(table, name):
    Session.execute(text(f"INSERT INTO {table} VALUES (:name)"), {"name": name})
    zope.sqlalchemy.mark_changed(Session())


def countries():
    """Return the names that are there for this transaction."""
    return list(Session.execute(text("SELECT name FROM country")).scalars())


def committed_countries():
    transaction.abort()
    names = countries()
    transaction.abort()
    return names


def insert_and_fail(name):
    insert("country", name)
    assert countries() == [name]
    raise ValueError("no commit")


def test_a_task_sees_what_its_transaction_has_committed(scheduler):
    insert("country", "Chad")
    assert result_of(schedule(countries)) == ["Chad"]


def test_a_refused_transaction_leaves_nothing_there(make_scheduler):
    """Ours is refused before the other commits, which cannot be undone."""
    make_scheduler(max_waiting=1)
    insert("country", "Chad")
    schedule(int), schedule(int)
    with pytest.raises(QueueFull):
        transaction.commit()
    assert committed_countries() == []


def test_an_aborted_one_leaves_nothing_there(scheduler):
    insert("country", "Chad")
    schedule(int)
    transaction.abort()
    assert committed_countries() == []


def test_what_fails_there_at_the_commit_starts_no_task(scheduler):
    runs = []
    insert("city", "Atlantis")
    task_id = schedule(lambda: runs.append(1))
    with pytest.raises(IntegrityError):
        transaction.commit()
    transaction.abort()
    scheduler.wait_all(TIMEOUT)
    assert runs == []
    assert scheduler.record(task_id) is None


def test_what_a_task_does_there_is_committed_with_it(scheduler):
    record = finished(schedule(insert, "country", "Chad"))
    assert record.state == "succeeded"
    assert committed_countries() == ["Chad"]


def test_what_a_failed_task_has_done_there_is_undone(scheduler):
    record = finished(schedule(insert_and_fail, "Chad"))
    assert record.error.message == "no commit"
    assert committed_countries() == []
