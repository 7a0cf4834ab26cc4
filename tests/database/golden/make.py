"""Make ``Data.fs``, the database with which the stored formats are tested.

It has something of all that the package stores, without Plone; ``test_golden.py`` reads
it. Run by hand, in the environment of the tests; with the path of another file, it
makes that one. Until the first release, whoever changes a format makes it anew. From
then on each release that changes one adds a database of its own, and reads those of all
releases before.
"""

from BTrees.OOBTree import OOBTree
from collective.background.capture.call import capture_batch
from collective.background.capture.call import capture_call
from collective.background.capture.callbacks import capture_callbacks
from collective.background.capture.external import capture_external
from collective.background.capture.pickling import pack
from collective.background.capture.snapshot import RequestSnapshot
from collective.background.capture.snapshot import Snapshot
from collective.background.capture.users import UserReference
from collective.background.capture.web import capture_request
from collective.background.capture.web import capture_view
from collective.background.database.changes import await_others
from collective.background.database.elsewhere import report
from collective.background.database.external import External
from collective.background.database.groups import StoredGroup
from collective.background.database.handed_over import hand_over
from collective.background.database.instances import add_instance
from collective.background.database.instances import Holding
from collective.background.database.instances import Instance
from collective.background.database.reports import Report
from collective.background.database.scheduler import PersistentTransactionalScheduler
from collective.background.database.settling import News
from collective.background.database.settling import settle
from collective.background.database.shard import new_id
from collective.background.database.tasks import StoredTask
from collective.background.exceptions import BatchFailed
from collective.background.exceptions import ResponseFailed
from collective.background.exceptions import TaskCancelled
from collective.background.exceptions import TaskLost
from collective.background.interfaces import INotifier
from collective.background.model.external import digest_of
from collective.background.model.external import LIFETIME
from collective.background.model.external import parse_report
from collective.background.model.options import Options
from collective.background.model.records import BatchFailure
from collective.background.model.records import BatchResult
from collective.background.model.records import Progress
from collective.background.model.records import Response
from collective.background.model.records import TaskMessage
from collective.background.model.spool import Spool
from collective.background.model.trail import CANCEL
from collective.background.model.trail import Intervention
from collective.background.model.trail import note_intervention
from collective.background.model.trail import USER as BY_USER
from collective.background.recurring.state import State
from collective.background.running import outcome
from collective.background.scheduling.groups import Group
from collective.background.scheduling.task import Task
from collective.background.showing.mail import mail_user
from datetime import datetime
from datetime import timedelta
from datetime import UTC
from OFS.Application import Application
from OFS.Folder import Folder
from pathlib import Path
from requests.structures import CaseInsensitiveDict
from types import SimpleNamespace
from ZODB import DB
from ZODB.FileStorage import FileStorage
from zope.component import provideUtility
from zope.i18nmessageid import Message
from zope.publisher.interfaces.browser import IDefaultBrowserLayer
from ZPublisher.HTTPRequest import FileUpload

import io
import operator
import sys
import transaction


HERE = Path(__file__).parent
INSTANCE = "golden-host:1:abcd"
KEEP = 3600.0
BOSS_CANCELS = Intervention(
    action=CANCEL,
    when=datetime(2026, 1, 1, tzinfo=UTC),
    by=BY_USER,
    user_id="boss",
    user_path="/plone/acl_users",
)


class Golden:
    """Fills a database. ``ids``: of the tasks, by their names here."""

    def __init__(self, connection):
        self.root = connection.root()
        self.root["Application"] = app = Application()
        app._setObject("plone", Folder("plone"))
        self.folder = app["plone"]
        self.scheduler = PersistentTransactionalScheduler()
        self.root["scheduler"] = self.scheduler
        self.root["ids"] = self.ids = OOBTree()
        transaction.commit()
        snapshot = Snapshot(site_path="/plone", user=USER, request=request())
        self.group = Group(title=TITLE, callbacks=callbacks(), snapshot=snapshot)

    def fill(self):
        self.add_waiting()
        self.add_reserved()
        self.add_external()
        self.add_ended()
        self.add_group()
        self.scheduler.paused.add("mail")
        add_instance(
            self.scheduler._p_jar,
            Instance(INSTANCE, "all", {"default": 2, "mail": 1}, {"mail": 1}, 60.0),
        )
        state = State(datetime.now(UTC))
        state.started(self.ids["succeeded"], datetime.now(UTC))
        self.root["recurring"] = OOBTree({"a.recurring.task": state})

    # How tasks are made, and changed.

    def add(self, name, call, group=None, **options):
        """Schedule a task."""
        options = Options(**options)
        snapshot = Snapshot(site_path="/plone", user=USER, request=request())
        task = Task(call, snapshot, None, options, KEEP, callbacks(), group)
        scheduler = self.scheduler
        stored = StoredTask(task, *new_id(scheduler._p_jar), scheduler._p_oid)
        if options.delay:
            stored.eta = datetime.now(UTC) + timedelta(seconds=options.delay)
        stored.after = options.after
        scheduler.shards.add(stored)
        await_others(scheduler, stored, News())
        transaction.commit()  # each in a shard of its own
        self.ids[name] = stored.id
        return stored

    def reserve(self, stored, begins=False, is_sent=False):
        """An instance reserves a task; return it, and the Task that runs there."""
        fence = stored.reserve(INSTANCE, is_sent=is_sent)
        task = stored.make_task(None)
        task.attempts, task.started = 1, datetime.now(UTC)
        holding = self.scheduler.holdings.get(INSTANCE) or Holding(INSTANCE)
        report = None
        if begins:
            stored.begin(INSTANCE)
            report = told()
        started = task.started if begins else None
        holding.keep(
            {**holding.tasks, stored.id: (fence, started, report)},
            {**holding.uses, stored.id: (stored.queue, stored.locks)},
            (*holding.sent, *([stored.id] if is_sent else ())),
        )
        self.scheduler.holdings[INSTANCE] = holding
        return stored, task

    def end(self, stored, ended):
        """A task has run, and ended; its end is settled."""
        stored, task = self.reserve(stored, begins=True)
        if ended.state == "succeeded":
            stored.status.succeed(stored.fence, task, ended.result, INSTANCE)
        self.settle(stored, ended, task)

    def settle(self, stored, ended, task):
        holding = self.scheduler.holdings[INSTANCE]
        *_, stored.report = holding.tasks.pop(stored.id)
        holding._p_changed = True
        self.scheduler.shards.leave(stored)
        stored.end(ended, task)
        settle(self.scheduler, stored, News())

    # What there is.

    def add_waiting(self):
        self.add(
            "waiting", a_call(), title=TITLE, priority=3, lock="erp", unique="a key"
        )
        self.add("delayed", a_call(), delay=3600.0)
        self.add("later", a_call(), after=self.ids["waiting"])
        call = capture_call(len, ([self.folder, upload()],), {})
        retrying = self.add("retrying", call)
        _, task = self.reserve(retrying)
        task.failures = 1
        self.scheduler.shards.leave(retrying)
        ended = outcome.failed(ValueError("not yet"), retry_in=60)
        eta = datetime.now(UTC) + timedelta(seconds=60)
        retrying.put_off(ended, task, eta)
        self.scheduler.shards.wait(retrying)
        self.scheduler.holdings[INSTANCE].tasks.pop(retrying.id)

    def add_reserved(self):
        self.reserve(self.add("reserved", a_call()), is_sent=True)
        self.reserve(self.add("running", a_call()), begins=True)
        done, task = self.reserve(self.add("done", a_call()), begins=True)
        done.status.succeed(done.fence, task, outcome.pack_result(5), INSTANCE)
        asked, _ = self.reserve(self.add("asked", a_call(), rerun=True), begins=True)
        asked.is_marked = True
        self.scheduler.shards.request(asked.id, "cancel", BOSS_CANCELS)
        batch = self.add("running batch", a_batch())
        _, task = self.reserve(batch, begins=True)
        batch.status.reach(batch.fence, task, 2, failures()[:1], INSTANCE)

    def add_external(self):
        """One that a worker elsewhere has not begun yet, and one that it has."""
        for name in ("sent", "reported"):
            call = capture_external("ingest.read", {"url": "/a"}, "ingest")
            stored, task = self.reserve(self.add(name, call))
            external = External(digest_of(TOKEN), stored.fence, LIFETIME, 300.0)
            stored.status.send(task, external)
            hand_over(self.scheduler, stored)
            self.scheduler.holdings[INSTANCE].tasks.pop(stored.id)
        told = {"run": "a", "number": 1, "worker": "gpu:1", "log": ["INFO read"]}
        report(self.scheduler, stored.id, TOKEN, parse_report(told), News())

    def add_ended(self):
        self.end(self.add("succeeded", a_call()), succeeded({"a": (1, "ä", b"x")}))
        self.end(self.add("failed", a_call()), failed(ValueError("no ${such}")))
        lost = outcome.failed(TaskLost("the instance has ended"), state="lost")
        self.end(self.add("lost", a_call()), lost)
        stored = self.add("cancelled", a_call())
        note_intervention(stored, BOSS_CANCELS)
        self.scheduler.shards.leave(stored)
        stored.end(outcome.cancelled(TaskCancelled("before it had begun")))
        settle(self.scheduler, stored, News())
        self.add_views()
        self.add_requests()
        self.add_batches()

    def add_views(self):
        headers = CaseInsensitiveDict({"Content-Type": "text/html"})
        answer = Response(status=200, headers=headers, spool=Spool.of(b"<p>Hello</p>"))
        self.end(self.add("view", self.a_view()), succeeded(answer))
        self.end(self.add("failed view", self.a_view()), failed(KeyError("form")))

    def a_view(self):
        form = {"title": "ä", "ids:list": ["a", "b"]}
        headers = {"Content-Type": "application/json"}
        return capture_view(self.folder, "@@view/x", form, "POST", b"{}", headers)

    def add_requests(self):
        headers = CaseInsensitiveDict({"Location": "/elsewhere"})
        answer = Response(status=302, headers=headers, spool=Spool.of(b""))
        self.end(self.add("request", a_request()), succeeded(answer))
        error = ResponseFailed("answered with the status 500", 500)
        answer = Response(status=500, headers=headers, spool=Spool.of(b"Error"))
        ended = outcome.failed(error, outcome.pack_result(answer))
        self.end(self.add("failed request", a_request()), ended)

    def add_batches(self):
        stored, task = self.reserve(self.add("batch", a_batch()), begins=True)
        for cursor, failed_ones in ((2, failures()[:1]), (4, failures()[1:])):
            stored.status.reach(stored.fence, task, cursor, failed_ones, INSTANCE)
            task.cursor = cursor
        result = BatchResult(done=2, failures=failures())
        self.settle(stored, succeeded(result), task)
        error = BatchFailed("all items failed")
        result = BatchResult(done=0, failures=failures())
        ended = outcome.failed(error, outcome.pack_result(result))
        self.end(self.add("failed batch", a_batch()), ended)

    def add_group(self):
        group = StoredGroup(self.group, self.scheduler._p_oid, KEEP)
        self.scheduler.groups[group.id] = group
        self.ids["group"] = self.group.id
        for name in ("member", "failed member"):
            stored = self.add(name, a_call(), group=self.group)
            group.add(stored)
        self.end(stored, failed(ValueError("no")))


TOKEN = "a token"
TITLE = Message(
    "title_import",
    "an.addon",
    default="Import of ${name}, ${number} rows",
    mapping={"name": Message("a file", "an.addon"), "number": 7},
)
USER = UserReference(kind="user", id="editor", folder="/plone/acl_users")


def request():
    return RequestSnapshot(
        method="POST",
        form=pack({"title": "ä", "ids": ["a", "b"]}),
        server_url="https://www.example.org",
        script=("cms",),
        virtual_root=("", "plone"),
        url="https://www.example.org/cms/edit",
        actual_url="https://www.example.org/cms/edit",
        language="de",
        skin="Plone Default",
        headers={"HTTP_USER_AGENT": "a browser"},
        cookies={"I18N_LANGUAGE": "de"},
        interfaces=(IDefaultBrowserLayer,),
    )


def upload():
    """Return a file as the publisher gives it to views."""
    headers = {"content-type": "text/plain"}
    file = io.BytesIO(b"an upload")
    field = SimpleNamespace(filename="a.txt", file=file, headers=headers, name="file")
    return FileUpload(field)


def callbacks():
    """All that can be called at the end."""
    options = Options(on_success=print, on_failure=print, notify="mail")
    return capture_callbacks(options)


def a_call():
    moment = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    return capture_call(operator.setitem, ({"when": moment}, "a", [1, 2.5, None]), {})


def a_request():
    url = "https://user:secret@example.org/hook?token=secret"
    return capture_request("POST", url, {"json": {"a": 1}})


def a_batch():
    return capture_batch(operator.add, [1, "b", (3,), 4], (5,), {}, 2)


def failures():
    """BatchFailures of two items."""
    error = outcome.describe_error(TypeError("unsupported"))
    return tuple(
        BatchFailure(index=index, item=item, error=error)
        for index, item in ((1, "b"), (2, (3,)))
    )


def told():
    """Return the Report of a task that has told all that it can."""
    snapshot = Snapshot(site_path=None, user=USER, request=None)
    task = Task(a_call(), snapshot, None, Options(title=TITLE), KEEP)
    task.progress = Progress(done=3, total=10, message=Message("rows", "an.addon"))
    task.messages = (TaskMessage(text=TITLE, type="warning"), TaskMessage(text="ä"))
    task.log = [f"INFO an.addon line {number}" for number in range(30)]
    task.lines = 30
    report = Report()
    report.tell(task, None)
    return report


def succeeded(result):
    return outcome.succeeded(outcome.pack_result(result))


def failed(error):
    return outcome.failed(error)


def make(path):
    """Make the database at ``path``, a Path."""
    for old in path.parent.glob(f"{path.name}*"):
        old.unlink()
    provideUtility(mail_user, INotifier, "mail")
    database = DB(FileStorage(str(path), create=True))
    connection = database.open()
    Golden(connection).fill()
    transaction.commit()
    connection.close()
    database.pack()
    database.close()
    for beside in path.parent.glob(f"{path.name}.*"):
        beside.unlink()


if __name__ == "__main__":
    make(Path(sys.argv[1]) if sys.argv[1:] else HERE / "Data.fs")
