"""Bytes that outlive the request, in memory or on disk."""

from collective.background.model import spool as module
from collective.background.model.spool import CapturedUpload
from collective.background.model.spool import MEMORY_LIMIT
from collective.background.model.spool import Spool
from concurrent.futures import ThreadPoolExecutor
from helpers import kept_files
from helpers import open_files
from io import BytesIO
from ZPublisher.HTTPRequest import FileUpload

import io
import os
import pytest


LARGE = os.urandom(MEMORY_LIMIT + 1)

BOTH = pytest.mark.parametrize("data", [b"0123456789", LARGE], ids=["memory", "disk"])


class Chunked:
    """A stream that returns less than it was asked for."""

    def __init__(self, chunks):
        self._chunks = iter(chunks)
        self.asked = 0

    def read(self, size):
        self.asked += 1
        return next(self._chunks, b"")


class TestReading:
    @BOTH
    def test_all_of_it(self, data):
        spool = Spool(BytesIO(data))
        assert spool.read() == data
        assert spool.read() == data
        assert spool.size == len(data)

    def test_nothing(self):
        spool = Spool.of(b"")
        assert spool.read() == b""
        assert spool.size == 0
        assert not spool.truncated

    @BOTH
    def test_from_where_the_stream_stands(self, data):
        stream = BytesIO(data)
        stream.seek(4)
        assert Spool(stream).read() == data[4:]

    def test_a_stream_that_comes_in_pieces(self):
        assert Spool(Chunked([b"one ", b"two ", b"three"])).read() == b"one two three"

    @BOTH
    def test_the_stream_may_be_closed(self, data):
        with BytesIO(data) as stream:
            spool = Spool(stream)
        assert spool.read() == data

    @BOTH
    def test_by_many_threads(self, data):
        spool = Spool.of(data)
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda _: spool.read() == data, range(32)))


class TestFiles:
    """What ``open()`` returns."""

    @BOTH
    def test_is_seekable(self, data):
        file = Spool.of(data).open()
        assert file.readable() and file.seekable()
        assert file.read(3) == data[:3]
        assert file.tell() == 3
        assert file.seek(1, io.SEEK_CUR) == 4
        assert file.read(1) == data[4:5]
        assert file.seek(-2, io.SEEK_END) == len(data) - 2
        assert file.read() == data[-2:]
        assert file.read() == b""
        file.seek(0)
        assert file.read() == data

    @BOTH
    def test_each_has_a_position_of_its_own(self, data):
        spool = Spool.of(data)
        one, two = spool.open(), spool.open()
        assert one.read(4) == two.read(4) == data[:4]

    def test_cannot_be_changed(self):
        with pytest.raises(io.UnsupportedOperation):
            Spool.of(b"text").open().write(b"x")

    def test_has_lines(self):
        assert list(Spool.of(b"a\nb\n").open()) == [b"a\n", b"b\n"]

    def test_no_position_before_the_beginning(self):
        with pytest.raises(ValueError, match="negative"):
            Spool.of(b"text").open().seek(-1)

    @BOTH
    def test_closing_one_leaves_the_spool(self, data):
        spool = Spool.of(data)
        spool.open().close()
        assert spool.read() == data


class TestWhereItIs:
    @pytest.mark.parametrize(
        ("size", "on_disk"), [(MEMORY_LIMIT, False), (MEMORY_LIMIT + 1, True)]
    )
    def test_on_disk_beyond_a_limit(self, size, on_disk):
        assert Spool.of(bytes(size)).on_disk is on_disk

    def test_no_file_stays_open(self):
        Spool.of(LARGE)  # there is the folder of the process now, which does
        before = open_files()
        spools = [Spool.of(LARGE) for _ in range(5)]
        readers = [spool.open() for spool in spools]
        assert {reader.read(3) for reader in readers} == {LARGE[:3]}
        assert open_files() <= before

    def test_closing_takes_the_file_away(self):
        before = kept_files()
        spool = Spool.of(LARGE)
        assert len(kept_files() - before) == 1
        spool.close()
        spool.close()
        assert kept_files() <= before

    def test_so_does_forgetting_it(self):
        before = kept_files()
        spool = Spool.of(LARGE)
        reader = spool.open()
        del spool
        assert reader.read() == LARGE
        del reader
        assert kept_files() <= before

    def test_so_does_an_error_of_the_stream(self):
        def chunks():
            yield LARGE
            raise OSError("the disk is full")

        before = kept_files()
        with pytest.raises(OSError, match="full"):
            Spool(Chunked(chunks()))
        assert kept_files() <= before

    @BOTH
    def test_after_closing_it_cannot_be_read(self, data):
        spool = Spool.of(data)
        file = spool.open()
        spool.close()
        with pytest.raises(ValueError, match="closed"):
            spool.read()
        with pytest.raises(ValueError, match="closed"):
            file.read()

    @BOTH
    def test_one_that_is_shared_outlives_the_other(self, data):
        before = kept_files()
        spool = Spool.of(data)
        shared = spool.share()
        assert shared.content is spool.content
        spool.close()
        assert shared.read() == data
        assert (shared.size, shared.on_disk) == (len(data), data == LARGE)
        shared.close()
        assert kept_files() <= before


class TestLimits:
    @pytest.mark.parametrize(
        ("limit", "kept", "truncated"),
        [
            (0, b"", True),
            (9, b"012345678", True),
            (10, b"0123456789", False),
            (11, b"0123456789", False),
            (None, b"0123456789", False),
        ],
    )
    def test_no_more_is_kept(self, limit, kept, truncated):
        spool = Spool(BytesIO(b"0123456789"), limit=limit)
        assert spool.read() == kept
        assert spool.size == len(kept)
        assert spool.truncated is truncated

    def test_across_pieces(self):
        spool = Spool(Chunked([b"0123", b"4567", b"89"]), limit=6)
        assert spool.read() == b"012345"
        assert spool.truncated

    def test_the_rest_is_not_read(self):
        stream = Chunked([b"0123"] * 100)
        Spool(stream, limit=6)
        assert stream.asked == 2

    def test_on_disk(self, monkeypatch):
        monkeypatch.setattr(module, "MEMORY_LIMIT", 4)
        spool = Spool(BytesIO(b"0123456789"), limit=6)
        assert spool.on_disk
        assert spool.read() == b"012345"


class TestUploads:
    """What a FileUpload of the publisher is made of again."""

    HEADERS = {"content-type": "text/csv"}  # noqa: RUF012

    @BOTH
    def test_name_headers_and_content(self, data):
        captured = CapturedUpload(Spool.of(data), self.HEADERS, "däta.bin", "field")
        copy = FileUpload(captured, charset="latin-1")
        assert copy.filename == "däta.bin"
        assert copy.headers["Content-Type".lower()] == "text/csv"
        assert vars(copy)["name"] == "field"
        assert copy.read() == data
        copy.seek(2)
        assert copy.read(2) == data[2:4]

    def test_each_reader_has_a_file_of_its_own(self):
        captured = CapturedUpload(Spool.of(b"0123456789"), {}, "a.txt", "field")
        assert captured.file.read(4) == captured.file.read(4) == b"0123"
