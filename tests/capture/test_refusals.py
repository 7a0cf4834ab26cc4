"""What cannot be carried is refused at once, by name, and leaves nothing behind."""

from Acquisition import aq_base
from collective.background import get_scheduler
from collective.background import schedule
from collective.background import schedule_batch
from collective.background import schedule_view
from collective.background import using
from collective.background.exceptions import NotPortable
from collective.background.exceptions import ReplacedError
from collective.background.model.spool import MEMORY_LIMIT
from collective.background.model.spool import Spool
from contextlib import closing
from contextlib import contextmanager
from contextlib import ExitStack
from functools import partial
from helpers import finished
from helpers import open_files
from helpers import result_of
from persistent.mapping import PersistentMapping
from plone import api
from plone.app.testing import TEST_USER_ID
from plone.behavior import AnnotationStorage
from Products.Five.browser import BrowserView
from types import FunctionType
from ZODB.DB import DB
from ZODB.DemoStorage import DemoStorage
from zope.interface import Interface
from zope.interface.interface import InterfaceClass
from ZPublisher.HTTPResponse import WSGIResponse

import io
import os
import pytest
import socket
import sqlite3
import sys
import threading
import transaction


# How each is made, with a site that has a folder, and an ExitStack.
STRANGERS = {
    "brain": lambda site, stack: api.content.find(id="folder")[0],
    "brains": lambda site, stack: api.content.find(id="folder"),
    "request": lambda site, stack: site.REQUEST,
    "response": lambda site, stack: WSGIResponse(),
    "view": lambda site, stack: BrowserView(site, site.REQUEST),
    "form": lambda site, stack: site.restrictedTraverse("@@site-controlpanel"),
    "generator": lambda site, stack: (number for number in (1, 2)),
    "file": lambda site, stack: stack.enter_context(opened()),
    "socket": lambda site, stack: stack.enter_context(socket.socket()),
    "lock": lambda site, stack: threading.Lock(),
    "reentrant lock": lambda site, stack: threading.RLock(),
    "thread": lambda site, stack: threading.current_thread(),
    "SQL connection": lambda site, stack: sql_connection(stack),
    "cursor": lambda site, stack: sql_connection(stack).cursor(),
    "ZODB connection": lambda site, stack: site._p_jar,
    "database": lambda site, stack: site._p_jar.db(),
    "transaction": lambda site, stack: transaction.get(),
    "module": lambda site, stack: os,
    "user": lambda site, stack: site.acl_users.getUserById(TEST_USER_ID),
    "user without wrapper": lambda site, stack: aq_base(
        site.acl_users.getUserById(TEST_USER_ID)
    ),
    "member": lambda site, stack: api.user.get_current(),
    "object of another database": lambda site, stack: stack.enter_context(foreign()),
    "object of another database in a value": lambda site, stack: PersistentMapping(
        inside=stack.enter_context(foreign())
    ),
    "behaviour in annotations": lambda site, stack: in_annotations(site),
}


class IRemark(Interface):
    """A schema whose values are kept in annotations."""


def in_annotations(content):
    return AnnotationStorage(IRemark)(content)


@contextmanager
def foreign():
    """An object of a database that has the name of the site's, and other objects."""
    database = DB(DemoStorage(), database_name="unnamed")
    with closing(database):
        with database.transaction() as connection:
            connection.root()["mapping"] = PersistentMapping()
        with database.transaction() as connection:
            yield connection.root()["mapping"]


@contextmanager
def opened():
    with open(__file__) as file:
        yield file


def sql_connection(stack):
    return stack.enter_context(closing(sqlite3.connect(":memory:")))


def function(first, second=None, *, third=None):
    """What is scheduled, if it is."""


def single(argument):
    """What is scheduled as a function of the main module."""


def class_of_main():
    return sys.modules["__main__"].Class


def fail():
    raise sys.modules["__main__"].Error("simulated")


class View(BrowserView):
    def method(self):
        """What is scheduled, if it is."""


@pytest.fixture(params=STRANGERS)
def stranger(request, site, folder):
    """Something that cannot leave its thread, or this request."""
    with ExitStack() as stack:
        yield STRANGERS[request.param](site, stack)


class TestTheErrorNames:
    def test_the_argument(self, stranger):
        with pytest.raises(NotPortable, match=r"argument 'first' of .*function cannot"):
            schedule(function, stranger)

    def test_a_keyword_argument(self, stranger):
        with pytest.raises(NotPortable, match=r"argument 'third' of .*function cannot"):
            schedule(function, 1, third={"inside": [stranger]})

    def test_a_variable(self, site):
        """Of a function without a name; there, locks and modules are no problem."""
        numbers = (number for number in (1, 2))
        with pytest.raises(NotPortable, match=r"variable 'numbers' .*generator"):
            schedule(lambda: list(numbers))

    def test_the_callable(self, site):
        view = View(site, site.REQUEST)
        for callable_ in (view.method, partial(view.method)):
            with pytest.raises(
                NotPortable, match=r"the callable .*View\.method cannot"
            ):
                schedule(callable_)

    def test_the_argument_of_a_function_without_a_signature(self, site):
        with pytest.raises(NotPortable, match=r"argument 2 of builtins\.max"):
            schedule(max, 1, threading.Lock())

    def test_the_item_of_a_batch(self, site):
        items = [*range(50), threading.Lock()]
        with pytest.raises(NotPortable, match=r"item 50 of .*function"):
            schedule_batch(function, items)

    def test_a_user(self, site):
        with pytest.raises(NotPortable, match=r"pass his id \(user\.getId\(\)\)"):
            schedule(function, api.user.get_current())

    def test_the_database(self, site):
        with (
            foreign() as mapping,
            pytest.raises(NotPortable, match="database 'unnamed' that is none of"),
        ):
            schedule(function, mapping)

    def test_the_field_of_a_form(self, site):
        with pytest.raises(NotPortable, match=r"form\['field'\]"):
            schedule_view(site, "view", {"field": threading.Lock()})


@pytest.fixture(params=["__main__", "__mp_main__"])
def main(request, monkeypatch):
    """The main module, with things of its own: as if the script had them."""
    module = sys.modules["__main__"]
    monkeypatch.setitem(sys.modules, "__mp_main__", module)
    things = {
        "function": FunctionType(single.__code__, {}, "function"),
        "Class": type("Class", (), {}),
        "Error": type("Error", (ValueError,), {}),
        "IThing": InterfaceClass("IThing", __module__=request.param),
    }
    for name, thing in things.items():
        if name != "IThing":
            thing.__module__, thing.__qualname__ = request.param, name
        monkeypatch.setattr(module, name, thing, raising=False)
    return module


class TestOfTheMainModule:
    """Another process has another one; there, tasks in the database may run."""

    def test_nothing_is_refused_in_memory(self, site, main):
        task_id = schedule(isinstance, main.Class(), main.Class)
        assert result_of(task_id) is True
        assert result_of(schedule(main.function, 1)) is None
        assert result_of(schedule(callable, main.IThing)) is True

    @pytest.mark.parametrize("name", ["Class", "IThing", "Error", "function"])
    def test_arguments(self, persistent, main, name):
        with pytest.raises(NotPortable, match=rf"main__.{name} has no name by which"):
            schedule(function, [vars(main)[name]])
        assert get_scheduler().count() == 0

    def test_objects_of_its_classes(self, persistent, main):
        for thing in (main.Class(), main.Error()):
            with pytest.raises(NotPortable, match="has no name by which another"):
                schedule(function, [thing])

    def test_functions(self, persistent, main):
        with pytest.raises(NotPortable, match="use a function of a module"):
            schedule(main.function, 1)
        with pytest.raises(NotPortable, match="use a function of a module"):
            schedule_batch(partial(main.function), [1])

    def test_options(self, persistent, main):
        for options in ({"retry_on": (main.Error,)}, {"on_success": main.function}):
            with pytest.raises(NotPortable, match="has no name by which another"):
                using(**options).schedule(function, 1)

    def test_results_of_tasks(self, persistent, main):
        record = finished(schedule(class_of_main))
        assert record.state == "failed"
        assert "the result has" in record.error.message

    def test_exceptions_of_tasks(self, persistent, main):
        """They are replaced: whatever a task raises, it ends."""
        record = finished(schedule(fail))
        _, exception = get_scheduler().get_result(record.id)
        assert record.error.type.endswith("main__.Error")
        assert isinstance(exception, ReplacedError)


class TestWhatIsLeftBehind:
    def test_nothing(self, site):
        """Neither a task nor a temporary file; the transaction is as it was."""
        site.title = "Changed before"
        tasks = get_scheduler().count()
        upload = Spool(io.BytesIO(bytes(MEMORY_LIMIT + 1)))
        files = open_files()
        with pytest.raises(NotPortable):
            schedule(function, upload, (number for number in (1, 2)))
        assert open_files() <= files
        assert upload.read(), "a refusal takes nothing from the caller"
        site.description = "Changed after"
        transaction.commit()
        assert get_scheduler().count() == tasks
        assert (site.title, site.description) == ("Changed before", "Changed after")

    def test_other_tasks_of_the_transaction_are_not_concerned(self, site):
        task_id = schedule(function, 1)
        with pytest.raises(NotPortable):
            schedule(function, threading.Lock())
        assert finished(task_id).state == "succeeded"


# As RelStorage has it, which may not be installed.
ReplicaClosed = type(
    "ReplicaClosedException",
    (Exception,),
    {"__module__": "relstorage.adapters.interfaces"},
)


class Away:
    """Cannot be loaded, as the storage is away."""

    def __reduce__(self):
        raise ReplicaClosed


class TestOutages:
    def test_are_no_refusals(self, site):
        with pytest.raises(ReplicaClosed):
            schedule(function, Away())


class TestResults:
    def test_are_refused_too(self, site):
        """The task fails, before anything is committed."""

        def change():
            api.portal.get().title = "Changed"
            return (number for number in (1, 2))

        record = finished(schedule(change))
        assert record.state == "failed"
        assert record.error.type == "collective.background.exceptions.NotPortable"
        assert "the result, a generator, cannot leave the task" in record.error.message
        assert site.title != "Changed"
