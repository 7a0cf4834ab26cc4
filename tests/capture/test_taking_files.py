"""Files of the request are copied once for a transaction."""

from collective.background.capture.files import take_blob
from collective.background.capture.files import take_file
from collective.background.capture.files import take_upload
from collective.background.model.spool import MEMORY_LIMIT
from helpers import kept_files
from io import BytesIO
from ZODB.blob import Blob
from ZPublisher.HTTPRequest import FileUpload
from ZPublisher.HTTPRequest import FormField

import os
import pytest
import transaction


LARGE = os.urandom(MEMORY_LIMIT + 1)
BOTH = pytest.mark.parametrize("data", [b"0123456789", LARGE], ids=["memory", "disk"])


@pytest.fixture(autouse=True)
def new_transaction():
    transaction.begin()
    yield
    transaction.abort()


def make_upload(data, **headers):
    field = FormField(
        name="upload",
        file=BytesIO(data),
        filename="däta.bin".encode().decode("latin-1"),
        headers=headers,
    )
    return FileUpload(field, charset="utf-8")


@BOTH
class TestOnce:
    def test_in_a_transaction(self, data):
        before = kept_files()
        file = BytesIO(data)
        one, two = take_file(file), take_file(file)
        assert one.content is two.content
        assert one.read() == two.read() == data
        assert len(kept_files() - before) == (data is LARGE)

    def test_each_has_a_life_of_its_own(self, data):
        file = BytesIO(data)
        one, two = take_file(file), take_file(file)
        one.close()
        assert two.read() == data

    def test_again_when_nobody_has_it_any_more(self, data):
        """As after the rollback of a savepoint."""
        file = BytesIO(data)
        before = kept_files()
        take_file(file).close()
        assert kept_files() <= before
        assert take_file(file).read() == data

    def test_not_for_another_transaction(self, data):
        file = BytesIO(data)
        one = take_file(file)
        transaction.abort()
        assert take_file(file).content is not one.content


@BOTH
class TestBlobs:
    def test_once_in_a_transaction(self, data):
        blob = Blob(data)
        one, two = take_blob(blob), take_blob(blob)
        assert one.content is two.content
        assert one.read() == two.read() == data

    def test_again_when_it_was_written_again(self, data):
        """Also with as many bytes."""
        blob = Blob(data)
        spools = [take_blob(blob)]
        for changed in (data[:-1] + b"?", data + b"?", b""):
            with blob.open("w") as file:
                file.write(changed)
            spools.append(take_blob(blob))
            assert spools[-1].read() == changed
        assert spools[0].read() == data


class TestUploads:
    @BOTH
    def test_a_copy_with_name_and_content(self, data):
        original = make_upload(data)
        captured = take_upload(original)
        original.file.close()
        copy = FileUpload(captured, charset="latin-1")
        assert copy.filename == "däta.bin"
        assert vars(copy)["name"] == "upload"
        assert copy.read() == data

    def test_from_the_beginning_and_without_moving_the_original(self):
        original = make_upload(b"0123456789")
        original.seek(4)
        assert take_upload(original).file.read() == b"0123456789"
        assert original.tell() == 4

    def test_headers(self):
        original = make_upload(b"", **{"Content-Type": "text/csv"})
        assert take_upload(original).headers["Content-Type"] == "text/csv"
