"""Which site is meant, what is asked, and how a command ends."""

from collective.background import schedule
from collective.background.command import sites
from collective.background.command import worker
from collective.background.command.main import main
from collective.background.database.scheduler import PersistentTransactionalScheduler
from collective.background.exceptions import Unreachable
from collective.background.executing import starting as zope_starting
from pathlib import Path
from subprocess import run
from zc.lockfile import LockFile

import os
import pytest
import re
import sys
import transaction


DOCS = Path(__file__).parents[2] / "docs"


class TestSite:
    @pytest.mark.parametrize("given", ["/plone", "plone", "/plone/"])
    def test_by_its_path(self, background, shared, given):
        assert background("--site", given, "list").code == 0
        assert background("list", "--site", given).code == 0

    def test_one_that_is_not_there(self, background, shared):
        done = background("list", "--site", "/other")
        assert done.code == 2
        assert "/other" in done.err and "there are: /plone" in done.err

    def test_none(self, background, shared, monkeypatch):
        monkeypatch.setattr(sites, "site_paths", lambda database: [])
        for arguments in (["list"], ["stats", "--site", "/plone"], ["adopt"]):
            done = background(*arguments)
            assert done.code == 2
            assert "no site of this database has the add-on" in done.err

    def test_which_of_several(self, background, shared, monkeypatch):
        monkeypatch.setattr(sites, "site_paths", lambda database: ["/a", "/b"])
        done = background("list")
        assert done.code == 2
        assert "--site; there are: /a, /b" in done.err

    def test_tasks_in_memory_are_those_of_another_process(self, background, site):
        schedule(str)
        transaction.commit()
        done = background("list")
        assert (done.code, done.out) == (3, "")
        assert "in the memory" in done.err


class TestArguments:
    def test_none(self, background):
        done = background()
        assert done.code == 2
        assert "usage: background" in done.err

    def test_the_documentation_has_every_command(self, background):
        help = background("--help").out
        commands = re.findall("^    ([a-z]+)  ", help, re.MULTILINE)
        assert {"worker", "list", "adopt"} <= set(commands)
        text = (DOCS / "command.rst").read_text()
        assert set(re.findall("^``([a-z]+)[^`]*``  .*", text, re.MULTILINE)) >= set(
            commands
        )

    def test_one_that_is_not_there(self, background):
        assert "argument COMMAND: invalid choice: 'lst'" in background("lst").err

    @pytest.mark.parametrize("wrong", [("--js", "list"), ("list", "--stat", "failed")])
    def test_names_of_options_are_whole(self, background, wrong):
        """A new option is not to change what a script says."""
        assert background(*wrong).code == 2

    def test_help_tells_the_exit_codes(self, background):
        for arguments in (["--help"], ["wait", "--help"]):
            done = background(*arguments)
            assert done.code == 0
            assert "Exit codes: 0 fine" in done.out.replace("\n", " ")


class TestStarting:
    @pytest.fixture
    def folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv(zope_starting.VARIABLE, raising=False)
        return tmp_path

    def test_without_a_configuration(self, folder, capsys):
        assert main(["list"]) == 3
        assert "there is no file etc/zope.conf" in capsys.readouterr().err

    @pytest.mark.parametrize("by", ["option", "variable"])
    def test_with_one_that_cannot_be_read(self, folder, by, capsys, monkeypatch):
        path = folder / "other.conf"
        path.write_text("<nonsense>")
        given = {"option": "elsewhere", "variable": str(path)}
        monkeypatch.setenv(zope_starting.VARIABLE, given[by])
        option = ["-c", str(path)] if by == "option" else []
        assert main(["list", *option]) == 2
        assert "other.conf cannot be used" in capsys.readouterr().err

    def test_transitions_are_not_shown_to_who_has_no_log(self):
        code = (
            "from collective.background.command import starting\n"
            "import logging\n"
            "starting.keep_transitions_quiet()\n"
            "logging.getLogger('collective.background.logs').warning('cancelled')\n"
            "logging.getLogger('collective.background').warning('seen')\n"
        )
        done = run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stderr == "seen\n"

    def test_a_database_that_another_process_has(self, folder):
        path = str(folder / "Data.fs.lock")
        lock = LockFile(path)
        with pytest.raises(Unreachable, match=r"FileStorage.*Data\.fs\.lock"):
            zope_starting.start(lambda: LockFile(path))
        lock.close()

    def test_closes_all_databases_whatever_becomes_of_one(self, monkeypatch, caplog):
        closed = []

        class Database:
            def close(self):
                closed.append(self)
                raise KeyError("a connection")

        database = Database()
        database.databases = {"main": database, "mounted": Database()}
        monkeypatch.setattr(zope_starting, "zope_database", lambda: database)
        zope_starting.close_databases()
        assert closed == list(database.databases.values())
        assert "KeyError: 'a connection'" in caplog.text


@pytest.mark.parametrize("at", ["begin", "meanwhile"])
def test_a_database_that_is_away(background, shared, monkeypatch, at):
    disconnected = pytest.importorskip("ZEO.Exceptions").ClientDisconnected

    def fail(*args):
        raise disconnected("nobody there")

    if at == "begin":
        monkeypatch.setattr(sites, "opened_database", fail)
    else:
        monkeypatch.setattr(PersistentTransactionalScheduler, "wait_all", fail)
    done = background("wait")
    assert (done.code, done.out) == (3, "")
    assert "cannot be reached (ClientDisconnected: nobody there)" in done.err


def test_any_other_error_is_one(background, shared, monkeypatch):
    monkeypatch.setattr(
        PersistentTransactionalScheduler, "wait_all", lambda *args: 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        background("wait")


def test_somebody_does_not_want_to_wait(background, shared, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(PersistentTransactionalScheduler, "wait_all", interrupt)
    assert background("wait").code == 130


class TestWorker:
    """What shows before Zope is started; the rest is tested with real processes."""

    def test_a_log_without_settings(self, tmp_path, capsys):
        missing = tmp_path / "zope.ini"
        assert main(["worker", "--logging", str(missing)]) == 2
        assert str(missing) in capsys.readouterr().err

    def test_variables_that_come_too_late(self, monkeypatch):
        """Modules may have looked at them when they were imported."""
        begun = []
        monkeypatch.setattr(os, "execv", lambda *command: begun.append(command))
        wanted = {"CACHE": "/folder"}
        worker.apply_environment(wanted, {"CACHE": "/folder", "HOME": "/"})
        assert begun == []
        worker.apply_environment(wanted, {"HOME": "/"})
        worker.apply_environment(wanted, {"CACHE": "/other"})
        assert begun == [(sys.executable, sys.orig_argv)] * 2


def test_who_reads_has_seen_enough(background, shared, monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        assert main(["list"]) == 1
