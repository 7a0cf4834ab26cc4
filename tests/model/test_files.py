"""Temporary files and the folder of the process that has them."""

from collective.background.executing.serving import process_starts
from collective.background.model import files
from collective.background.model.files import NamedFile
from pathlib import Path

import os
import pytest
import signal
import subprocess
import sys
import tempfile


@pytest.fixture(autouse=True)
def parent(monkeypatch, tmp_path):
    """The folder for temporary files of the system, where nothing is yet."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(files, "_folder", None)
    yield tmp_path
    files.remove_folder()


def written(data=b"data"):
    named = NamedFile()
    with named.file as file:
        file.write(data)
    return named


def test_nobody_else_may_look_into_the_folder(parent):
    folder = Path(files.folder())
    assert folder.parent == parent
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_file_is_there_as_long_as_its_object():
    named = written()
    with named.open() as one, named.open() as two:
        assert one.read() == two.read() == b"data"
    assert len(os.listdir(files.folder())) == 1
    del named
    assert os.listdir(files.folder()) == []


def test_the_folder_goes_with_all_that_is_in_it(parent):
    named = written()
    files.remove_folder()
    assert list(parent.iterdir()) == []
    del named  # and that is no error


def test_at_the_end_of_the_process_nothing_is_left_to_do(monkeypatch):
    """Python has taken modules apart by then."""
    named = written()
    files.remove_folder()
    monkeypatch.setattr(files, "os", None)
    named.__del__()


def test_what_a_dead_process_has_left_is_taken_away(parent):
    left = parent / f"{files.PREFIX}dead"
    left.mkdir()
    (left / "file").write_bytes(b"data")
    mine = files.folder()
    files.remove_leftovers()
    assert [str(path) for path in parent.iterdir()] == [mine]


def test_so_it_is_when_zope_starts(functional, parent):
    left = parent / f"{files.PREFIX}dead"
    left.mkdir()
    process_starts(None)
    assert not left.exists()


def test_a_link_and_a_file_by_such_a_name_stay(parent, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "file").write_bytes(b"data")
    (parent / f"{files.PREFIX}link").symlink_to(elsewhere)
    (parent / f"{files.PREFIX}file").write_bytes(b"data")
    files.remove_leftovers()
    assert (elsewhere / "file").exists()
    assert len(list(parent.iterdir())) == 2


SCRIPT = """
from collective.background.model.spool import Spool
import sys
spool = Spool.of(bytes(2_000_000))
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.mark.slow
@pytest.mark.parametrize("is_killed", [True, False])
def test_other_processes(parent, is_killed):
    """What lives is left alone, also while it is about to end."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "TMPDIR": str(parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        (theirs,) = parent.iterdir()
        files.remove_leftovers()
        assert list(parent.iterdir()) == [theirs]
        if is_killed:
            process.send_signal(signal.SIGKILL)
        else:
            process.communicate(b"\n")
    assert theirs.exists() is is_killed
    files.remove_leftovers()
    assert not theirs.exists()


def test_a_child_leaves_the_files_of_its_parent():
    named = written()
    mine = files.folder()
    child = os.fork()
    if not child:
        del named
        is_same = files.folder() == mine
        files.remove_folder()
        os._exit(is_same)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    with named.open() as file:
        assert file.read() == b"data"
