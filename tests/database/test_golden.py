"""A database with something of all that is stored, as it was made with its release.

``golden/Data.fs``, see ``golden/make.py``: until the first release, whoever changes a
format makes it anew.
"""

from collective.background.capture.unpickling import unpack
from collective.background.database.handed_over import handed_over
from collective.background.database.lines import by_priority
from collective.background.database.locking import line_of
from collective.background.exceptions import BatchFailed
from collective.background.exceptions import ResponseFailed
from collective.background.exceptions import TaskLost
from collective.background.model.records import Progress
from contextlib import closing
from operator import add
from operator import setitem
from pathlib import Path
from processes import run
from ZODB import DB
from ZODB.FileStorage import FileIterator
from ZODB.FileStorage import FileStorage
from ZODB.serialize import referencesf
from ZODB.utils import load_current
from zope.i18nmessageid import Message
from zope.publisher.interfaces.browser import IDefaultBrowserLayer

import io
import pickle
import pickletools
import pytest
import shutil
import sys
import transaction


GOLDEN = Path(__file__).parent / "golden" / "Data.fs"
PACKAGE = "collective.background."

# The states of the tasks, by their names in the database.
TASKS = {
    "waiting": "queued",
    "delayed": "queued",
    "later": "queued",
    "retrying": "retrying",
    "reserved": "queued",
    "running": "running",
    "done": "succeeded",
    "asked": "running",
    "running batch": "running",
    "sent": "queued",
    "reported": "running",
    "succeeded": "succeeded",
    "failed": "failed",
    "lost": "lost",
    "cancelled": "cancelled",
    "view": "succeeded",
    "failed view": "failed",
    "request": "succeeded",
    "failed request": "failed",
    "batch": "succeeded",
    "failed batch": "failed",
    "member": "queued",
    "failed member": "failed",
}


@pytest.fixture
def root(tmp_path):
    """The root of a copy of the database."""
    copy = shutil.copy(GOLDEN, tmp_path)
    database = DB(FileStorage(copy))
    connection = database.open()
    yield connection.root()
    transaction.abort()
    connection.close()
    database.close()


@pytest.fixture
def scheduler(root):
    return root["scheduler"]


@pytest.fixture
def stored(root, scheduler):
    """Return a function that returns the StoredTask with a name."""
    return lambda name: scheduler.shards.find(root["ids"][name])


@pytest.fixture
def record(root, scheduler):
    """Return a function that returns the TaskRecord of a name."""
    return lambda name: scheduler.record(root["ids"][name])


class TestRecords:
    def test_states(self, record):
        assert {name: record(name).state for name in TASKS} == TASKS

    def test_lists_and_counts(self, scheduler, root):
        """With the three callbacks that have not begun: those of the ends."""
        ids = {record.id for record in scheduler.records(limit=None)}
        assert ids >= {root["ids"][name] for name in TASKS}
        for state in set(TASKS.values()):
            records = scheduler.records(states=state, limit=None)
            assert len(records) == scheduler.count(states=state)
            assert {record.state for record in records} == {state}
        user = {"user_path": "/plone/acl_users", "user_id": "editor"}
        assert scheduler.count(**user) == scheduler.count() == len(ids)
        assert scheduler.count(states="running") == 4

    def test_a_record(self, record):
        found = record("waiting")
        assert found.title == "title_import"
        assert isinstance(found.title, Message)
        assert found.title.mapping["name"].domain == "an.addon"
        assert found.callable == "_operator.setitem"
        assert (found.queue, found.priority) == ("default", 3)
        assert (found.user_id, found.user_path) == ("editor", "/plone/acl_users")
        assert found.site_path == "/plone"
        assert record("view").context_path == "/plone"
        assert record("delayed").eta > record("delayed").created
        assert record("retrying").error.message == "not yet"
        assert record("asked").cancel_requested
        assert record("succeeded").finished >= record("succeeded").started

    @pytest.mark.parametrize("name", ["running", "succeeded"])
    def test_what_was_told(self, record, name):
        found = record(name)
        assert (found.progress.done, found.progress.total) == (3, 10)
        assert found.progress.message.domain == "an.addon"
        assert [message.type for message in found.messages] == ["warning", "info"]
        assert found.messages[1].text == "ä"
        assert found.log == tuple(f"INFO an.addon line {n}" for n in range(30))

    def test_what_a_worker_elsewhere_has(self, record, scheduler):
        assert {task.id for task in handed_over(scheduler)} == {
            record("sent").id,
            record("reported").id,
        }
        assert record("reported").instance == "gpu:1"
        assert record("reported").log == ("INFO read",)

    def test_attempts(self, record):
        [attempt] = record("retrying").timeline
        assert (attempt.number, attempt.state) == (1, "retrying")
        assert attempt.error.message == "not yet"
        assert record("succeeded").timeline == ()

    @pytest.mark.parametrize("name", ["asked", "cancelled"])
    def test_interventions(self, record, name):
        [intervention] = record(name).interventions
        assert (intervention.action, intervention.user_id) == ("cancel", "boss")

    def test_progress_of_batches(self, record):
        assert record("running batch").progress.done == 3  # as it was told last
        assert record("batch").progress == Progress(
            done=4, total=4, failed=2, message=record("batch").progress.message
        )

    def test_a_group(self, scheduler, root):
        whole = scheduler.record(root["ids"]["group"])
        assert (whole.kind, whole.state, whole.title) == (
            "group",
            "running",
            "title_import",
        )
        assert (whole.progress.done, whole.progress.total) == (1, 2)
        assert scheduler.count(group_id=whole.id) == 2
        group = scheduler.groups[whole.id]
        names = [call.name for call in group.callbacks("succeeded")]
        assert names[0] == "builtins.print"

    def test_queues_and_instances(self, scheduler):
        (instance,) = scheduler.instances()
        assert instance.id == "golden-host:1:abcd"
        assert (instance.slots, instance.running) == ({"default": 2, "mail": 1}, 3)
        assert {status.name: status.paused for status in scheduler.queues()} == {
            "default": False,
            "mail": True,
        }

    def test_a_recurring_task(self, root):
        state = root["recurring"]["a.recurring.task"]
        assert state.enabled
        assert state.task_id == root["ids"]["succeeded"]
        assert state.done.tzinfo is not None


class TestResults:
    @pytest.fixture
    def result(self, root, scheduler):
        return lambda name: scheduler.get_result(root["ids"][name])

    def test_of_a_call(self, result):
        assert result("succeeded") == ({"a": (1, "ä", b"x")}, None)
        assert result("done") == (5, None)

    def test_errors(self, result, record):
        value, error = result("failed")
        assert (value, type(error), str(error)) == (None, ValueError, "no ${such}")
        assert record("failed").error.type == "builtins.ValueError"
        assert type(result("lost")[1]) is TaskLost

    def test_of_views_and_requests(self, result):
        view, _ = result("view")
        assert (view.status, view.body) == (200, b"<p>Hello</p>")
        assert view.headers["content-type"] == "text/html"
        assert result("request")[0].location == "/elsewhere"
        answer, error = result("failed request")
        assert (answer.body, type(error), error.status) == (
            b"Error",
            ResponseFailed,
            500,
        )

    def test_of_batches(self, result):
        done, _ = result("batch")
        assert done.done == 2
        assert [(each.index, each.item) for each in done.failures] == [
            (1, "b"),
            (2, (3,)),
        ]
        assert done.failures[0].error.type == "builtins.TypeError"
        assert type(result("failed batch")[1]) is BatchFailed


class TestRunning:
    """What is stored of a task is enough to run it."""

    def test_a_call(self, stored):
        task = stored("waiting").make_task(None)
        function, args, kwargs = unpack(task.call.package, None)
        assert (function, args[1:], kwargs) == (setitem, ("a", [1, 2.5, None]), {})
        assert task.options.priority == 3
        assert task.options.lock == ("erp",)
        assert task.options.retry_on == (Exception,)

    def test_its_environment(self, stored):
        snapshot = stored("waiting").body.snapshot
        assert (snapshot.site_path, snapshot.user.id) == ("/plone", "editor")
        request = snapshot.request
        assert unpack(request.form, None) == {"title": "ä", "ids": ["a", "b"]}
        assert request.interfaces == (IDefaultBrowserLayer,)
        assert request.virtual_root == ("", "plone")
        assert request.cookies == {"I18N_LANGUAGE": "de"}

    def test_content_and_uploads(self, stored, root):
        call = stored("retrying").make_task(None).call
        _, ((folder, upload),), _ = unpack(call.package, root["Application"])
        assert folder.getPhysicalPath() == ("", "plone")
        assert (upload.filename, upload.read()) == ("a.txt", b"an upload")

    def test_a_view(self, stored, root):
        call = stored("failed view").make_task(None).call
        context, steps, form = unpack(call.package, root["Application"])
        assert (context.id, steps) == ("plone", ["@@view", "x"])
        assert form["ids:list"] == ["a", "b"]
        assert (call.view.method, call.view.body.read()) == ("POST", b"{}")
        assert call.view.headers == {"content-type": "application/json"}

    def test_a_request(self, stored):
        call = stored("failed request").make_task(None).call
        method, url, kwargs = unpack(call.package, None)
        assert (method, kwargs) == ("POST", {"json": {"a": 1}})
        assert url == "https://user:secret@example.org/hook?token=secret"

    def test_a_batch(self, stored):
        task = stored("running batch").make_task(None)
        assert unpack(task.call.package, None) == (add, (5,), {})
        assert [unpack(item, None) for item in task.call.items] == [1, "b", (3,), 4]
        assert (task.cursor, task.call.size) == (2, 2)
        assert [failure.index for failure in task.batch_failures] == [1]

    def test_callbacks(self, stored):
        names = [call.name for call in stored("waiting").body.callbacks("failed")]
        assert names == [
            "builtins.print",
            "collective.background.showing.mail.mail_user",
        ]

    def test_arguments(self, scheduler, root):
        for name in TASKS:
            assert isinstance(scheduler.arguments(root["ids"][name]), list | tuple)

    @pytest.mark.parametrize(
        "name",
        [
            *("failed", "lost", "cancelled", "failed member"),
            *("failed view", "failed request", "failed batch"),
        ],
    )
    def test_trying_again(self, scheduler, root, stored, name):
        id = root["ids"][name]
        assert scheduler.retry(id).state == "queued"
        transaction.begin()
        assert scheduler.record(id).error is None
        in_line = [task.id for _, task in by_priority(scheduler.shards, "default")]
        assert id in in_line
        assert stored(name).make_task(None).id == id

    def test_lines_of_locks(self, scheduler, root):
        ((stand, task),) = line_of(tuple(scheduler.shards), "erp")
        assert task.id == root["ids"]["waiting"]
        assert stand.locks == task.locks == ("erp",)

    def test_what_is_used_by_what_is_reserved(self, scheduler, root):
        (holding,) = filter(None, scheduler.holdings.values())
        assert holding.uses[root["ids"]["running"]] == ("default", ())

    def test_what_was_sent_to_workers_of_celery(self, scheduler, root):
        (holding,) = filter(None, scheduler.holdings.values())
        assert holding.sent == (root["ids"]["reserved"],)

    def test_unique_keys_and_links(self, scheduler, root):
        assert scheduler.shards.holder("a key").id == root["ids"]["waiting"]
        (later,) = scheduler.shards.successors(root["ids"]["waiting"])
        assert later.id == root["ids"]["later"]


# What is found by its name in the package; these names stay.
CLASSES = {
    "database.groups.StoredGroup",
    "database.instances.Holding",
    "database.instances.Instance",
    "database.reports.Lines",
    "database.reports.Report",
    "database.scheduler.PersistentTransactionalScheduler",
    "database.shard.Shard",
    "database.shards.Shards",
    "database.body.Body",
    "database.external.External",
    "database.status.Ending",
    "database.status.Failures",
    "database.status.Status",
    "database.tasks.StoredTask",
    "recurring.state.State",
}
FUNCTIONS = {
    "model.values.load_value",
    "showing.mail.mail_user",  # as any other callback
}


class TestPickles:
    def test_objects_are_plain_values(self):
        outer, _ = names_in_file(GOLDEN)
        assert {name for name in outer if name.startswith(PACKAGE)} == {
            f"{PACKAGE}{name}" for name in CLASSES
        }
        others = {name.split(".")[0] for name in outer if not name.startswith(PACKAGE)}
        assert others == {"BTrees", "OFS", "Persistence", "datetime", "persistent"}

    def test_what_is_carried_has_no_other_names_of_the_package(self):
        """But those of its errors, which are public."""
        _, inner = names_in_file(GOLDEN)
        names = {name for name in inner if name.startswith(PACKAGE)}
        errors = {name for name in names if name.startswith(f"{PACKAGE}exceptions.")}
        assert names - errors == {f"{PACKAGE}{name}" for name in FUNCTIONS}

    def test_each_object_has_its_version(self, root):
        for obj in objects_of_package(root):
            assert vars(obj)["version"] == 1

    @pytest.mark.slow
    def test_it_is_that_of_this_code(self, root, tmp_path):
        """Else it is to be made anew."""
        made = tmp_path / "made.fs"
        run(sys.executable, GOLDEN.parent / "make.py", made)
        assert names_in_file(made) == names_in_file(GOLDEN)
        with (
            closing(DB(FileStorage(str(made)))) as database,
            closing(database.open()) as connection,
        ):
            assert attributes(connection.root()) == attributes(root)


def names_in_file(path):
    """Return the names of classes and functions in all pickles of a file: two sets.

    The first one is that of pickles of objects, the second one of those in them.
    """
    outer, inner = set(), set()
    for each in FileIterator(str(path)):
        for record in each:
            for depth, name in names_in(record.data):
                (inner if depth else outer).add(name)
    return outer, inner


def names_in(data, depth=0):
    """Yield (depth, name) of each class or function in pickles, and those in them."""
    stream = io.BytesIO(data)
    while stream.tell() < len(data):
        memo, texts, last = {}, [], None
        for opcode, argument, _ in pickletools.genops(stream):
            name = opcode.name
            if name in ("MEMOIZE", "BINPUT", "LONG_BINPUT"):
                memo[len(memo) if name == "MEMOIZE" else argument] = last
                continue
            last = memo.get(argument) if "GET" in name else argument
            if isinstance(last, str):
                texts.append(last)
            if name == "GLOBAL":
                yield depth, argument.replace(" ", ".")
            elif name == "STACK_GLOBAL":
                yield depth, ".".join(texts[-2:])
            elif isinstance(argument, bytes) and argument[:1] == pickle.PROTO:
                yield from names_in(argument, depth + 1)


def objects_of_package(root):
    """Yield all objects of the package's classes that can be reached."""
    connection = root._p_jar
    todo, seen = [root._p_oid], set()
    while todo:
        oid = todo.pop()
        if oid not in seen:
            seen.add(oid)
            data, _ = load_current(connection.db().storage, oid)
            referencesf(data, todo)
            obj = connection.get(oid)
            if type(obj).__module__.startswith(PACKAGE):
                obj._p_activate()
                yield obj


def attributes(root):
    """Return what is stored, by the name of the class: attributes, and keys in them."""
    found = {}
    for obj in objects_of_package(root):
        names = found.setdefault(type(obj).__name__, set())
        for name, value in vars(obj).items():
            names.add(name)
            if name.startswith("_") and isinstance(value, dict):
                names.update(f"{name}.{key}" for key in value)
    return found
