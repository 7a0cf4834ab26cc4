"""Files of tasks in the database: blobs, one for all tasks of a transaction."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background.capture.pickling import pack
from collective.background.capture.unpickling import unpack
from collective.background.database import blobs as module
from collective.background.database import formats
from collective.background.database.blobs import content_of
from collective.background.model.spool import Spool
from helpers import result_of
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from ZODB.blob import Blob
from zope.globalrequest import getRequest
from ZPublisher.HTTPRequest import FileUpload

import os
import pytest
import threading
import transaction


DATA = os.urandom(formats.MAX_INLINE + 1)


def upload_of(data):
    file = BytesIO(data)
    field = SimpleNamespace(file=file, headers={}, filename="a.bin", name="upload")
    return FileUpload(field)


def sizes(upload):
    return len(upload.read()), len(getRequest().form["upload"].read())


@pytest.fixture
def blobs(monkeypatch):
    """The Blobs that are made."""
    made = []

    def make():
        made.append(Blob())
        return made[-1]

    monkeypatch.setattr("collective.background.capture.persistence.Blob", make)
    return made


class TestSharing:
    """The form and the arguments have the same file, of all tasks."""

    @pytest.fixture(autouse=True)
    def upload(self, paused):
        upload = upload_of(DATA)
        getRequest().form["upload"] = upload
        return upload

    def test_one_for_a_transaction(self, paused, upload, blobs):
        ids = [schedule(sizes, upload) for _ in range(3)]
        transaction.commit()
        assert len(blobs) == 1
        paused.resume("default")
        assert [result_of(id) for id in ids] == [(len(DATA), len(DATA))] * 3

    def test_another_one_for_another_transaction(self, upload, blobs):
        schedule(sizes, upload)
        transaction.commit()
        schedule(sizes, upload)
        transaction.commit()
        assert len(blobs) == 2

    def test_the_rollback_of_a_savepoint(self, paused, upload, blobs):
        """What it has undone is not used any more."""
        savepoint = transaction.savepoint()
        schedule(sizes, upload)
        transaction.savepoint()
        savepoint.rollback()
        task_id = schedule(sizes, upload)
        transaction.commit()
        assert len(blobs) == 2
        paused.resume("default")
        assert result_of(task_id) == (len(DATA), len(DATA))

    def test_the_rollback_of_a_later_savepoint(self, paused, upload, blobs):
        kept = schedule(sizes, upload)
        savepoint = transaction.savepoint()
        schedule(sizes, upload)
        savepoint.rollback()
        again = schedule(sizes, upload)
        transaction.commit()
        assert len(blobs) == 1
        paused.resume("default")
        assert result_of(kept) == result_of(again) == (len(DATA), len(DATA))

    def test_a_repeated_request(self, upload, blobs, paused):
        schedule(sizes, upload)
        transaction.abort()
        schedule(sizes, upload)
        transaction.commit()
        assert len(blobs) == 2
        assert not any(blob.opened() for blob in blobs)


def test_a_short_one_is_stored_once(bare):
    """Also where two spools have the same bytes."""
    data = os.urandom(formats.MAX_INLINE)
    spool = Spool.of(data)
    bare.connection.root()["stored"] = formats.store_package(pack([spool, spool]))
    transaction.commit()
    stored, _ = bare.connection._storage.load(bare.connection.root()._p_oid)
    assert len(stored) < 1.5 * len(data)
    package = formats.load_package(bare.connection.root()["stored"])
    assert [found.read() for found in unpack(package, None)] == [data, data]


class TestReading:
    @pytest.fixture
    def blob(self, site):
        blob = site.blob = Blob(DATA)
        transaction.commit()
        return blob

    def test_in_any_thread(self, blob):
        content = content_of(blob)
        found = []

        def read():
            with content.open() as file:
                found.append(file.read())

        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        assert found == [DATA]

    def test_no_file_is_open_meanwhile(self, blob):
        content_of(blob)
        assert not blob.opened()

    def test_a_client_that_has_dropped_it(self, blob, monkeypatch):
        """ZEO and RelStorage keep so many only, and fetch it again."""
        content = content_of(blob)
        path = Path(blob.committed())
        moved = path.rename(path.with_suffix(".moved"))

        def fetch(blob):
            moved.rename(path)
            return path_of(blob)

        path_of = module._path_of
        monkeypatch.setattr(module, "_path_of", fetch)
        with content.open() as file:
            assert file.read() == DATA

    def test_before_it_is_committed(self, site):
        blob = site.blob = Blob(DATA)
        spool = Spool.of_content(content_of(blob), len(DATA))
        assert spool.read() == DATA
        assert not blob.opened()


def test_arguments_of_a_task_that_is_not_committed(paused):
    task_id = schedule(len, upload_of(DATA))
    assert f"{len(DATA)} bytes" in str(get_scheduler().arguments(task_id))
