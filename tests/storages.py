"""Databases that several instances share, with a server where there is one.

Comes in: the data of a FileStorage. Goes out: what ``zope.conf`` has to say so that
an instance uses a copy of them. Called by fixtures of tests, and by benchmarks.
"""

from contextlib import closing
from contextlib import contextmanager
from helpers import needed
from pathlib import Path
from persistent import Persistent
from processes import free_port
from processes import Process
from processes import run
from processes import SCRIPTS
from subprocess import TimeoutExpired
from tempfile import TemporaryDirectory
from ZODB import DB
from ZODB.config import storageFromString
from ZODB.FileStorage import FileStorage

import os
import psycopg2
import pwd
import resource
import shutil
import signal


IDS = 10_000  # more than all instances together have in store
STOP = 10.0  # seconds in which a server should have stopped


class ZEO:
    """A ZEO server on a FileStorage; the folder of blobs is shared.

    ``folder``: where it may write; ``data``: the folder ``var`` of an instance.
    """

    def __init__(self, folder, data):
        self._var = folder / "var"
        self._port = free_port()
        self._configuration = folder / "zeo.conf"
        shutil.copytree(data, self._var)
        self._configuration.write_text(
            f"""
            <zeo>
              address 127.0.0.1:{self._port}
            </zeo>
            <filestorage 1>
              path {self._var}/Data.fs
              blob-dir {self._var}/blobstorage
            </filestorage>
            """
        )
        self.start()

    def start(self):
        """Start the server (again); its disk has room."""
        self._skip_ids()
        self.server = Process("ZEO", SCRIPTS / "runzeo", "-C", self._configuration)
        self.server.expect("listening on")

    def stop(self):
        """Stop the server, in order if possible."""
        try:
            self.server.stop(timeout=STOP)
        except TimeoutExpired:
            # It makes an exception of the signal, which gets lost now and then.
            self.server.kill()

    def _skip_ids(self):
        """Let the server give no ids that instances have got from the one before.

        They keep some in store for new objects. An id that two have is an error of a
        transaction, or a wrong object, now and then; it is ZEO that is to blame.
        """
        storage = FileStorage(str(self._var / "Data.fs"))
        with closing(DB(storage)) as database, database.transaction() as connection:
            for _ in range(IDS):
                connection.new_oid()
            connection.add(Persistent())

    def is_back(self, *instances):
        """Wait until instances have noticed that the server was started again."""
        for instance in instances:
            instance.expect("Disconnected from storage")
            instance.expect("Reconnected to storage")

    def section(self, instance):
        """Return the part of ``zope.conf``. ``instance``: the name of an instance."""
        return f"""
            %import ZEO
            <zeoclient>
              server 127.0.0.1:{self._port}
              shared-blob-dir on
              blob-dir {self._var}/blobstorage
            </zeoclient>
            """

    def transactions(self):
        """Return the descriptions of all transactions, the first one first."""
        path = str(self._var / "Data.fs")
        with closing(FileStorage(path, read_only=True)) as storage:
            return [each.description.decode() for each in storage.iterator()]

    @contextmanager
    def full_disk(self):
        """Let ``Data.fs`` grow no more, meanwhile."""
        self._limit((self._var / "Data.fs").stat().st_size)
        try:
            yield
        finally:
            self._limit(resource.RLIM_INFINITY)

    def _limit(self, size):
        _, hard = resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.server.pid, resource.RLIMIT_FSIZE, (size, hard))

    @property
    def servers(self):
        """Its processes, as a list."""
        return [self.server]

    def close(self):
        self.server.kill()


class PostgreSQL:
    """RelStorage on a PostgreSQL server; blobs are in the database, too."""

    def __init__(self, folder, data):
        self._folder = folder
        self._port = free_port()
        self._dsn = f"host=127.0.0.1 port={self._port} user=zope dbname=postgres"
        # The server does not run as root, so the folders of pytest are closed to it.
        self._var = TemporaryDirectory(prefix="postgresql-")
        self._user = {"cwd": self._var.name}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self._var.name, user.pw_uid, user.pw_gid)
            self._user.update(user=user.pw_uid, group=user.pw_gid, extra_groups=[])
        run(
            _postgresql("initdb"),
            *("-D", self._var.name, "-U", "zope"),
            *("--auth=trust", "--no-sync", "--no-instructions"),
            **self._user,
        )
        self.start()
        _fill(self.section("filling"), data)

    def start(self):
        """Start the server (again)."""
        self.server = Process(
            "PostgreSQL",
            *(_postgresql("postgres"), "-D", self._var.name, "-p", str(self._port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
            *("-c", "fsync=off"),
            **self._user,
        )
        self.server.expect("ready to accept connections")

    def stop(self):
        # It does not wait for its clients to go.
        self.server.stop(signal.SIGINT)

    def now(self):
        """Return the moment that it is."""
        return self._ask("SELECT now()")

    def oldest_transaction(self):
        """Return when the oldest one began that is open, but does nothing; or None."""
        return self._ask(
            "SELECT min(xact_start) FROM pg_stat_activity "
            "WHERE state = 'idle in transaction'"
        )

    def _ask(self, query):
        with closing(psycopg2.connect(self._dsn)) as connection:
            cursor = connection.cursor()
            cursor.execute(query)
            return cursor.fetchone()[0]

    def is_back(self, *instances):
        """They find out when they use it."""

    def section(self, instance):
        """See ``ZEO``."""
        return f"""
            %import relstorage
            <relstorage>
              keep-history false
              shared-blob-dir false
              blob-dir {self._folder}/blobs-of-{instance}
              <postgresql>
                dsn {self._dsn}
              </postgresql>
            </relstorage>
            """

    @property
    def servers(self):
        return [self.server]

    def close(self):
        # Its children would outlive a kill.
        self.server.stop(signal.SIGQUIT)
        self._var.cleanup()


def _postgresql(name):
    """Return the path of a program of PostgreSQL, the newest one."""
    programs = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = programs[-1] if programs else shutil.which(name)
    return needed(found, f"PostgreSQL ({name})")


class SQLite:
    """RelStorage on SQLite, which has no server; the folder of blobs is shared.

    With a correction of RelStorage, without which it loses data when tasks conflict.
    """

    servers = ()

    def __init__(self, folder, data):
        self._folder = folder
        _fill(self.section("filling"), data)

    def section(self, instance):
        """See ``ZEO``."""
        return f"""
            %import relstorage
            %import instance_probe.sqlite
            <relstorage>
              keep-history false
              shared-blob-dir true
              blob-dir {self._folder}/blobs
              <sqlite3>
                data-dir {self._folder}/data
              </sqlite3>
            </relstorage>
            """

    def close(self):
        """There is no server."""


def _fill(section, data):
    """Copy all transactions of a FileStorage to another storage."""
    source = FileStorage(
        str(data / "Data.fs"), read_only=True, blob_dir=str(data / "blobstorage")
    )
    with closing(source), closing(storageFromString(section)) as destination:
        destination.copyTransactionsFrom(source)
