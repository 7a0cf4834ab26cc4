"""How persistent objects travel: as references, found again in the task."""

from Acquisition import aq_base
from collections import namedtuple
from collective.background import get_scheduler
from collective.background import schedule
from collective.background.exceptions import NotPortable
from collective.background.exceptions import ReplacedError
from collective.background.running import retrying
from dataclasses import dataclass
from helpers import finished
from helpers import jar_of
from helpers import result_of
from helpers import task_jar
from helpers import waiting
from OFS.Folder import Folder
from persistent.mapping import PersistentMapping
from plone import api
from plone.dexterity.utils import createContent
from ZEO.Exceptions import ClientDisconnected
from ZODB.DB import DB
from ZODB.DemoStorage import DemoStorage
from zope.annotation.interfaces import IAnnotations
from zope.component import getGlobalSiteManager
from zope.component import getUtility
from zope.interface import implementer
from zope.interface import Interface
from zope.intid.interfaces import IIntIds
from zope.lifecycleevent.interfaces import IObjectCopiedEvent
from zope.traversing.interfaces import ITraversable

import pytest
import transaction


GONE = "collective.background.exceptions.ReferenceGone"

Pair = namedtuple("Pair", "first second")


@dataclass
class Job:
    target: object
    words: list


class Wobbly(Folder):
    """A folder from which the storage cannot be reached, now and then."""

    errors = ()

    def __bobo_traverse__(self, request, name):
        if self.errors:
            raise self.errors.pop()
        return getattr(self, name)


def look_at(*objects):
    """Return for each object where it is, and whether it belongs to this task."""
    return [
        ("/".join(obj.getPhysicalPath()), jar_of(obj) == task_jar()) for obj in objects
    ]


def look_at_parent(obj):
    return "/".join(obj.getPhysicalPath()), obj.aq_parent.getId()


class Remarks(Folder):
    """A container that is traversed to by its view-like name."""


def remarks_of(content):
    return IAnnotations(content)["remarks"].__of__(content)


@implementer(ITraversable)
class RemarksTraverser:
    """``++remarks++default``"""

    def __init__(self, context, request):
        self.context = context

    def traverse(self, name, further):
        return remarks_of(self.context)


def move(obj, target):
    """Move an object that is no content, as ``manage_pasteObjects`` does."""
    base = aq_base(obj)
    obj.aq_parent._delObject(obj.getId())
    target._setObject(base.getId(), base)
    return target[base.getId()]


def describe(obj):
    return "/".join(obj.getPhysicalPath()), obj.Title()


@pytest.fixture
def document(folder):
    content = api.content.create(folder, "Document", "doc", title="A document")
    transaction.commit()
    return content


@pytest.fixture
def mounted(site):
    """A folder of another database, reached through the site."""
    database = DB(
        DemoStorage(), databases=site._p_jar.db().databases, database_name="mounted"
    )
    connection = site._p_jar.get_connection("mounted")
    connection.root()["top"] = top = Folder("top")
    connection.add(top)
    site._setOb("top", top)
    transaction.commit()
    yield site.top
    transaction.abort()
    database.close()
    del site._p_jar.db().databases["mounted"]


@pytest.fixture(autouse=True)
def remarks_traverser():
    site_manager = getGlobalSiteManager()
    site_manager.registerAdapter(
        RemarksTraverser, (Interface, Interface), ITraversable, name="remarks"
    )
    yield
    site_manager.unregisterAdapter(
        RemarksTraverser, (Interface, Interface), ITraversable, name="remarks"
    )


@pytest.fixture
def unregistered(site):
    """The site has no utility for integer ids."""
    intids = getUtility(IIntIds)
    site.getSiteManager().unregisterUtility(intids, IIntIds)
    transaction.commit()


class TestWhereTheyAreFound:
    def test_content(self, document):
        task_id = schedule(look_at, document)
        assert result_of(task_id) == [("/plone/folder/doc", True)]

    def test_inside_of_collections(self, document):
        def function(argument):
            return look_at(
                argument[0],
                argument[1][0],
                argument[1][1]["deep"][0].target,
                argument[1][1]["pair"].second,
            )

        inside = {"deep": [Job(document, [])], "pair": Pair(1, document)}
        task_id = schedule(function, [document, (document, inside)])
        assert result_of(task_id) == [("/plone/folder/doc", True)] * 4

    def test_as_keyword_arguments(self, document):
        def function(*, content):
            return look_at(content)

        task_id = schedule(function, content=document)
        assert result_of(task_id) == [("/plone/folder/doc", True)]

    def test_the_site_manager(self, site):
        """It has no name of its own, but acquires that of the site."""

        def function(manager):
            site = api.portal.get()
            return aq_base(manager) is aq_base(site.getSiteManager())

        assert result_of(schedule(function, site.getSiteManager())) is True

    def test_what_is_in_something_without_a_name(self, site):
        """Its path has a name that is acquired, and leads nowhere."""

        def function(index):
            catalog = api.portal.get_tool("portal_catalog")
            return aq_base(index) is aq_base(catalog._catalog.getIndex("UID"))

        index = site.portal_catalog._catalog.getIndex("UID")
        assert index.getPhysicalPath()[-3:] == (
            "portal_catalog",
            "portal_catalog",
            "UID",
        )
        assert result_of(schedule(function, index)) is True

    def test_two_references_are_the_same_object(self, document):
        def function(one, others):
            (other,) = others
            other.title = "Changed"
            return one == other, aq_base(one) is aq_base(other), one.title

        assert result_of(schedule(function, document, [document])) == (
            True,
            True,
            "Changed",
        )

    def test_content_is_wrapped_in_the_request_of_the_task(self, document):
        def function(content):
            request = api.portal.get().REQUEST
            return content.REQUEST is request, content.aq_parent.getId()

        assert result_of(schedule(function, document)) == (True, "folder")

    def test_not_before_the_storage_is_back(self, site, monkeypatch):
        """It is not said to be deleted."""
        monkeypatch.setattr(retrying, "uniform", lambda low, high: 0)
        site._setObject("wobbly", Wobbly("wobbly"))
        site.wobbly._setObject("inner", Folder("inner"))
        task_id = schedule(look_at, site.wobbly.inner)
        monkeypatch.setattr(Wobbly, "errors", [ClientDisconnected("simulated")])
        assert finished(task_id).attempts == 2
        assert result_of(task_id) == [("/plone/wobbly/inner", True)]

    def test_site_application_and_tools(self, site):
        app = site.getPhysicalRoot()
        task_id = schedule(look_at, site, app, site.portal_catalog, app.acl_users)
        assert result_of(task_id) == [
            ("/plone", True),
            ("", True),
            ("/plone/portal_catalog", True),
            ("/acl_users", True),
        ]

    def test_what_is_no_content(self, document):
        """An annotation has no path; it is found by its oid."""
        annotation = IAnnotations(document)["test"] = PersistentMapping(count=1)
        transaction.commit()

        def function(mapping):
            mapping["count"] += 1
            return jar_of(mapping) == task_jar()

        assert result_of(schedule(function, annotation)) is True
        assert annotation["count"] == 2

    def test_what_is_no_content_and_new(self, document):
        annotation = IAnnotations(document)["test"] = PersistentMapping(count=1)
        task_id = schedule(lambda mapping: mapping.update(count=2), annotation)
        finished(task_id)
        assert annotation["count"] == 2

    def test_a_registry_record(self, site):
        name = "plone.site_title"

        def function(record):
            record.value = f"{record.value}!"
            return jar_of(record.__parent__) == task_jar()

        record = site.portal_registry.records[name]
        before = record.value
        assert result_of(schedule(function, record)) is True
        assert record.value == f"{before}!"

    def test_a_member_of_a_mounted_database(self, mounted):
        def function(content):
            content.title = "Mounted"
            jar = aq_base(content)._p_jar
            here = api.portal.get()._p_jar
            return (
                content.getPhysicalPath(),
                jar.db().database_name,
                jar is here.get_connection("mounted"),
            )

        assert result_of(schedule(function, mounted)) == (
            ("", "plone", "top"),
            "mounted",
            True,
        )
        assert mounted.title == "Mounted"

    def test_what_is_no_content_in_a_mounted_database(self, mounted):
        root = aq_base(mounted)._p_jar.root()
        task_id = schedule(lambda mapping: mapping["top"].getId(), root)
        assert result_of(task_id) == "top"

    def test_results_come_back_in_the_connection_of_the_reader(self, document):
        (result,) = result_of(schedule(lambda *args: [*args], document))
        assert aq_base(result) is aq_base(document)
        assert result.REQUEST is api.portal.get().REQUEST

    def test_what_is_not_wrapped(self, document):
        """It has no path, and arrives at its place nevertheless."""
        task_id = schedule(look_at, aq_base(document))
        assert result_of(task_id) == [("/plone/folder/doc", True)]

    def test_what_is_not_wrapped_and_not_in_a_catalog(self, site):
        """Nobody knows where it is: it arrives as it was."""
        site._setObject("plain", Folder("plain"))
        task_id = schedule(look_at, aq_base(site["plain"]))
        assert result_of(task_id) == [("plain", True)]

    def test_what_is_being_copied(self, folder, document, subscribe, tier):
        """Its event has it without a wrapper, and with an id that it does not keep."""
        ids = []
        subscribe(
            IObjectCopiedEvent,
            lambda event: ids.append(schedule(look_at_parent, event.object)),
        )
        api.content.copy(document, folder, id="copied")
        assert result_of(ids[0]) == ("/plone/folder/copied", "folder")

    def test_exceptions_with_content_do_not_leave_their_thread(self, document, caplog):
        """Another one has their text, made while the content can be read."""

        def function(content):
            raise ValueError(content)

        record = finished(schedule(function, document))
        _, exception = get_scheduler().get_result(record.id)
        assert record.error.type == "builtins.ValueError"
        assert isinstance(exception, ReplacedError)
        assert record.error.message == "<Document at doc>"
        assert str(exception) == "builtins.ValueError: <Document at doc>"
        assert "the connection is closed" not in caplog.text


class TestWhatChangesMeanwhile:
    def test_added_in_the_same_transaction(self, folder):
        inner = api.content.create(folder, "Folder", "inner", title="Inner")
        document = api.content.create(inner, "Document", "new", title="New")
        task_id = schedule(describe, document)
        assert result_of(task_id) == ("/plone/folder/inner/new", "New")

    def test_renamed_in_the_same_transaction(self, document):
        task_id = schedule(describe, document)
        api.content.rename(document, "renamed")
        assert result_of(task_id) == ("/plone/folder/renamed", "A document")

    def test_added_and_renamed_in_the_same_transaction(self, folder):
        document = api.content.create(folder, "Document", "new", title="New")
        task_id = schedule(describe, document)
        api.content.rename(document, "renamed")
        assert result_of(task_id) == ("/plone/folder/renamed", "New")

    def test_moved_in_the_same_transaction(self, site, document):
        """It is not acquired from there, at its old path."""
        task_id = schedule(look_at_parent, document)
        api.content.move(document, site)
        assert result_of(task_id) == ("/plone/doc", "plone")

    def test_renamed_in_a_later_transaction(self, document):
        with waiting():
            task_id = schedule(describe, document)
            transaction.commit()
            api.content.rename(document, "renamed")
            transaction.commit()
        assert result_of(task_id) == ("/plone/folder/renamed", "A document")

    def test_moved_in_a_later_transaction(self, site, document):
        with waiting():
            task_id = schedule(describe, document)
            transaction.commit()
            api.content.move(document, site)
            transaction.commit()
        assert result_of(task_id) == ("/plone/doc", "A document")

    def test_with_its_container(self, site, folder, document):
        with waiting():
            task_id = schedule(describe, document)
            transaction.commit()
            api.content.rename(folder, "elsewhere")
            transaction.commit()
        assert result_of(task_id) == ("/plone/elsewhere/doc", "A document")

    def test_another_one_at_its_old_place(self, folder, document):
        with waiting():
            task_id = schedule(describe, document)
            transaction.commit()
            api.content.rename(document, "renamed")
            api.content.create(folder, "Document", "doc", title="Another")
            transaction.commit()
        assert result_of(task_id) == ("/plone/folder/renamed", "A document")

    @pytest.mark.parametrize("moved_in", ["the same", "a later"])
    def test_before_the_catalog_knew_of_it(self, site, folder, tier, moved_in):
        """Created, moved and renamed: the catalog has a path that never was."""
        with waiting():
            document = api.content.create(folder, "Document", "before", title="A")
            task_id = schedule(describe, document)
            transaction.savepoint()
            if moved_in == "a later":
                transaction.commit()
            api.content.move(document, site, id="after")
            transaction.commit()
        assert result_of(task_id) == ("/plone/after", "A")

    def test_moved_again_and_again(self, site, folder, document, tier):
        with waiting():
            task_id = schedule(describe, document)
            for place, name in ((site, "b"), (folder, "c"), (site, "d")):
                document = api.content.move(document, place, id=name)
                transaction.savepoint()
            transaction.commit()
            api.content.move(document, folder, id="e")
            transaction.commit()
        assert result_of(task_id) == ("/plone/folder/e", "A document")

    def test_changed_by_the_transaction_that_schedules(self, document):
        document.title = "Changed"
        assert result_of(schedule(describe, document))[1] == "Changed"


class TestWhatNoCatalogKnows:
    """Objects without UID, below content that is renamed, or renamed themselves."""

    @pytest.fixture
    def plain(self, folder, tier):
        """An object in an object in content."""
        container = Folder("container")
        folder._setObject("container", container)
        folder["container"]._setObject("plain", Folder("plain"))
        transaction.commit()
        return folder["container"]["plain"]

    @pytest.fixture
    def remark(self, document, tier):
        """What is kept in an annotation, and has a path of its own."""
        remarks = IAnnotations(document)["remarks"] = Remarks("++remarks++default")
        remarks.remark = Folder("remark")
        transaction.commit()
        return remarks_of(document).remark

    def test_below_content_that_is_renamed(self, folder, plain):
        task_id = schedule(look_at, plain)
        api.content.rename(folder, "renamed")
        assert result_of(task_id) == [("/plone/renamed/container/plain", True)]

    def test_below_content_that_is_moved_later(self, site, folder, plain):
        target = api.content.create(site, "Folder", "target")
        with waiting():
            task_id = schedule(look_at, plain)
            transaction.commit()
            api.content.move(folder, target, id="moved")
            transaction.commit()
        assert result_of(task_id) == [("/plone/target/moved/container/plain", True)]

    def test_renamed_with_all_that_is_above(self, folder, plain):
        with waiting():
            task_id = schedule(look_at, plain)
            transaction.commit()
            folder["container"].manage_renameObject("plain", "object")
            folder.manage_renameObject("container", "box")
            api.content.rename(folder, "renamed")
            transaction.commit()
        assert result_of(task_id) == [("/plone/renamed/box/object", True)]

    def test_in_an_annotation_of_content_that_is_renamed(self, document, remark):
        assert "/".join(remark.getPhysicalPath()) == (
            "/plone/folder/doc/++remarks++default/remark"
        )
        task_id = schedule(look_at, remark)
        api.content.rename(document, "renamed")
        assert result_of(task_id) == [
            ("/plone/folder/renamed/++remarks++default/remark", True)
        ]

    def test_what_says_where_it_is(self, site, plain):
        target = api.content.create(site, "Folder", "target")
        with waiting():
            task_id = schedule(look_at, plain)
            transaction.commit()
            moved = move(plain, target)
            aq_base(moved).__parent__ = aq_base(target)
            transaction.commit()
        assert result_of(task_id) == [("/plone/target/plain", True)]

    def test_what_nobody_can_find(self, site, plain):
        target = api.content.create(site, "Folder", "target")
        with waiting():
            task_id = schedule(look_at, plain)
            transaction.commit()
            move(plain, target)
            transaction.commit()
        record = finished(task_id)
        assert record.error.type == GONE
        assert "moved to where no catalog knows it" in record.error.message

    def test_what_took_its_place(self, folder, plain):
        with waiting():
            task_id = schedule(look_at, plain)
            transaction.commit()
            folder["container"]._delObject("plain")
            folder["container"]._setObject("plain", Folder("plain"))
            api.content.rename(folder, "renamed")
            transaction.commit()
        assert finished(task_id).error.type == GONE

    def test_content_of_a_site_without_intids(self, folder, document, unregistered):
        """And with a catalog that has not heard of it."""
        with waiting():
            task_id = schedule(describe, document)
            transaction.commit()
            document.unindexObject()
            folder.manage_renameObject("doc", "renamed")
            document.unindexObject()
            transaction.commit()
        assert result_of(task_id) == ("/plone/folder/renamed", "A document")


class TestWhatIsGone:
    def test_deleted(self, folder, document):
        with waiting():
            task_id = schedule(describe, document)
            transaction.commit()
            api.content.delete(document)
            transaction.commit()
        record = finished(task_id)
        assert record.state == "failed"
        assert record.error.type == GONE
        assert record.error.message == (
            "'A document' at /plone/folder/doc no longer exists: it was deleted "
            "after the task was scheduled"
        )

    def test_deleted_and_another_one_in_its_place(self, folder, document):
        with waiting():
            task_id = schedule(describe, document)
            transaction.commit()
            api.content.delete(document)
            api.content.create(folder, "Document", "doc", title="Another")
            transaction.commit()
        assert finished(task_id).error.type == GONE

    def test_what_could_be_acquired_in_its_place(self, site, folder, document):
        """A content of the same name further up is another one."""
        api.content.create(site, "Document", "doc", title="Above")
        with waiting():
            task_id = schedule(describe, document)
            transaction.commit()
            api.content.delete(document)
            transaction.commit()
        assert finished(task_id).error.type == GONE

    def test_with_its_container(self, folder, document):
        with waiting():
            task_id = schedule(describe, document)
            transaction.commit()
            api.content.delete(folder)
            transaction.commit()
        assert finished(task_id).error.type == GONE

    def test_one_among_others(self, folder, document):
        """Nothing of the task is done."""
        calls = []
        with waiting():
            task_id = schedule(lambda *objects: calls.append(1), folder, [document])
            transaction.commit()
            api.content.delete(document)
            transaction.commit()
        assert finished(task_id).error.type == GONE
        assert calls == []

    def test_in_a_closure(self, document):
        with waiting():
            task_id = schedule(lambda: document.Title())
            transaction.commit()
            api.content.delete(document)
            transaction.commit()
        assert finished(task_id).error.type == GONE

    def test_the_database(self, mounted):
        """A mount point that is no longer configured."""
        databases = mounted._p_jar.db().databases
        root = aq_base(mounted)._p_jar.root()
        with waiting():
            task_id = schedule(lambda mapping: len(mapping), root)
            transaction.commit()
            database = databases.pop("mounted")
        record = finished(task_id)
        databases["mounted"] = database
        assert record.error.type == GONE
        assert "there is no database 'mounted'" in record.error.message


class TestWhatIsNotStored:
    def test_a_new_mapping_is_a_value(self, site, document):
        mapping = PersistentMapping(count=1, content=document)

        def function(mapping):
            return mapping["count"], *look_at(mapping["content"])

        assert result_of(schedule(function, mapping)) == (
            1,
            ("/plone/folder/doc", True),
        )
        assert mapping._p_jar is None

    def test_new_content_is_refused(self, site):
        content = createContent("Document", title="Loose")
        with pytest.raises(NotPortable) as caught:
            schedule(describe, content)
        assert "a Document 'Loose' is not stored in the database" in str(caught.value)
        assert "argument 'obj'" in str(caught.value)
