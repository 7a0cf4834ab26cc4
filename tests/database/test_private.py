"""Connections beside that of the caller: they come back, whatever happens."""

from collective.background.database.private import own_connection
from contextlib import suppress
from transaction import TransactionManager
from ZODB.POSException import StorageError

import pytest
import ZODB


@pytest.fixture
def database():
    database = ZODB.DB(None)
    yield database
    database.close()


@pytest.mark.parametrize("is_away", [False, True])
def test_one_is_used_again(database, monkeypatch, is_away):
    """Also when the transaction cannot even be aborted, as with RelStorage."""

    def fail(manager):
        raise StorageError("it is gone")

    with monkeypatch.context() as patch, suppress(StorageError):
        if is_away:
            patch.setattr(TransactionManager, "abort", fail)
        with own_connection(database) as (first, _):
            pass
    with own_connection(database) as (second, _):
        assert second is first


def test_each_transaction_sees_what_is_there_then(database):
    with own_connection(database) as (connection, manager):
        manager.begin()
        with database.transaction() as other:
            other.root()["new"] = 1
        assert "new" not in connection.root()
        manager.begin()
        assert connection.root()["new"] == 1
