"""What the tests ask an instance over HTTP, and let it do; most for Managers only."""

from collective.background import current_task
from collective.background import get_scheduler
from collective.background import rerun_in_background
from collective.background import schedule_view
from collective.background import using
from collective.background.database.installing import install
from dataclasses import fields
from dataclasses import is_dataclass
from instance_probe import faults
from instance_probe import tasks
from instance_probe.sites import add_site
from instance_probe.tasks import ITEM_TASKS
from instance_probe.tasks import TASKS
from itertools import cycle
from OFS.Folder import Folder
from plone import api
from plone.namedfile.file import NamedBlobFile
from plone.protect.interfaces import IDisableCSRFProtection
from Products.Five import BrowserView
from ZODB.POSException import ConflictError
from zope.interface import alsoProvides
from zope.interface import implementer
from zope.publisher.interfaces import IPublishTraverse

import json
import sys
import transaction


class Start(BrowserView):
    """Schedules a task with the context; answers with its id.

    ``mark`` is its title as well, ``options`` are JSON. Needs no token, unless
    ``is_protected`` says so.
    """

    def __call__(self, task, mark, options="{}", is_protected=""):
        if not is_protected:
            alsoProvides(self.request, IDisableCSRFProtection)
        function = {f.__name__: f for f in TASKS}[task]
        faults.watch_commit("request")
        calls = using(title=mark, **json.loads(options))
        return calls.schedule(function, self.context, mark)


class StartMany(BrowserView):
    """Schedules many tasks, each in a transaction of its own.

    ``marks`` are theirs, as JSON; the contexts are the folders of the site by turns,
    or the site itself. Answers with the number of conflicts.
    """

    def __call__(self, task, marks, options="{}"):
        alsoProvides(self.request, IDisableCSRFProtection)
        function = {f.__name__: f for f in TASKS}[task]
        folders = self.context.contentValues({"portal_type": "Folder"})
        contexts = cycle(folders or [self.context])
        conflicts = 0
        for mark, context in zip(json.loads(marks), contexts, strict=False):
            calls = using(title=mark, **json.loads(options))
            while True:
                try:
                    calls.schedule(function, context, mark)
                    transaction.commit()
                    break
                except ConflictError:
                    transaction.abort()
                    conflicts += 1
        return str(conflicts)


class StartBatch(BrowserView):
    """Schedules a batch with so many items, two a transaction.

    ``task``: the name of what is done with each.
    """

    def __call__(self, task, mark, items, options="{}"):
        alsoProvides(self.request, IDisableCSRFProtection)
        function = {f.__name__: f for f in ITEM_TASKS}[task]
        calls = using(title=mark, **json.loads(options))
        items = range(int(items))
        return calls.schedule_batch(function, items, self.context, mark, size=2)


class Carry(BrowserView):
    """Schedules a task with a new file, and with an object that no catalog knows.

    ``size``: bytes of the file; ``mark``: also the name that the folder of the object
    gets afterwards, in the same transaction. Answers with the id of the task.
    """

    def __call__(self, mark, size):
        alsoProvides(self.request, IDisableCSRFProtection)
        folder = api.content.create(self.context, "Folder", f"before-{mark}")
        folder._setObject("plain", Folder("plain"))
        file = NamedBlobFile(bytes(int(size)), filename="a.bin")
        calls = using(title=mark)
        id = calls.schedule(tasks.carry, file, folder["plain"], mark)
        api.content.move(folder, self.context, id=mark)
        return id


class Echo(BrowserView):
    """Answers with the file that was sent."""

    def __call__(self, file):
        self.request.response.setHeader("Content-Type", "application/octet-stream")
        return file.read()


class EchoLater(BrowserView):
    """Does the same in the background; answers with the id of the task."""

    def __call__(self, file):
        alsoProvides(self.request, IDisableCSRFProtection)
        return schedule_view(self.context, "probe-echo", {"file": file}, method="POST")


@implementer(IPublishTraverse)
class Later(BrowserView):
    """Makes a task of a form of any member, which fails; at any address below it."""

    def publishTraverse(self, request, name):
        return self

    def __call__(self):
        if current_task() is None:
            alsoProvides(self.request, IDisableCSRFProtection)
            return rerun_in_background(self)
        raise ValueError("no")


class Boast(BrowserView):
    """Schedules a task of any member that says so many characters; answers its id."""

    def __call__(self, size="1"):
        alsoProvides(self.request, IDisableCSRFProtection)
        text = "x" * int(size)
        return using(title=text).schedule(tasks.boast, self.context, text)


class Create(BrowserView):
    """Creates content in the transaction of the request."""

    def __call__(self, title):
        alsoProvides(self.request, IDisableCSRFProtection)
        faults.watch_commit("request")
        api.content.create(self.context, "Document", title=title)


class Scheduler(BrowserView):
    """Calls a method of the scheduler; the call and the answer are JSON."""

    def __call__(self, call):
        alsoProvides(self.request, IDisableCSRFProtection)
        call = json.loads(call)
        method = getattr(get_scheduler(), call["method"])
        result = method(*call["arguments"], **call["options"])
        return json.dumps(result, default=_as_json)


def _as_json(value):
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return str(value)


class Marks(BrowserView):
    """How often tasks have left which mark in the database, as JSON."""

    def __call__(self):
        return json.dumps(dict(self.context.marks))


class Titles(BrowserView):
    """The titles of all content but folders, as JSON."""

    def __call__(self):
        return json.dumps(list(_titles(self.context)))


def _titles(container):
    for item in container.contentValues():
        if item.isPrincipiaFolderish:
            yield from _titles(item)
        else:
            yield item.title


class Fault(BrowserView):
    """The process is to be killed at a point."""

    def __call__(self, point):
        faults.ask(point)


class Persist(BrowserView):
    """Keeps the tasks of the site in the database from now on."""

    def __call__(self):
        alsoProvides(self.request, IDisableCSRFProtection)
        setup = api.portal.get_tool("portal_setup")
        setup.runAllImportStepsFromProfile("profile-collective.background:persistent")


class AddSite(BrowserView):
    """Creates another site beside this one, with its tasks in the database."""

    def __call__(self, id):
        alsoProvides(self.request, IDisableCSRFProtection)
        install(add_site(self.context.getPhysicalRoot(), id))


class RemoveSite(BrowserView):
    """Deletes another site."""

    def __call__(self, id):
        alsoProvides(self.request, IDisableCSRFProtection)
        self.context.getPhysicalRoot().manage_delObjects([id])


class Forget(BrowserView):
    """The process has an older version of the add-on: without this task."""

    def __call__(self, task):
        delattr(tasks, task)


class Pack(BrowserView):
    """Removes from the database what nobody needs; answers with its size.

    That is the number of objects.
    """

    def __call__(self):
        database = self.context._p_jar.db()
        database.pack()
        return str(len(database.storage))


class Modules(BrowserView):
    """The names of the modules that the process has imported, as JSON."""

    def __call__(self):
        return json.dumps(sorted(sys.modules))
