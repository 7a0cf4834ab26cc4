"""What is relied on of Zope and Plone without having been promised.

A test for each function of ``zopecompat.py``, by its name, with Zope's own behaviour
around it. Who brings the package to a new Zope begins here.
"""

from AccessControl import getSecurityManager
from AccessControl import SpecialUsers
from AccessControl import users
from AccessControl.SecurityManagement import newSecurityManager
from AccessControl.users import UnrestrictedUser
from Acquisition import aq_base
from Acquisition import aq_parent
from App import config
from collective.background import zopecompat
from collective.background.environment.request import make_request
from collective.background.interfaces import ICollectiveBackgroundLayer
from collective.background.model.spool import CapturedUpload
from collective.background.model.spool import Spool
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from inspect import isfunction
from io import BytesIO
from OFS.Application import Application
from OFS.SimpleItem import SimpleItem
from pathlib import Path
from plone import api
from plone.app.testing import TEST_USER_ID
from plone.behavior import AnnotationStorage
from plone.rest.interfaces import IAPIRequest
from Products.CMFCore import explicitacquisition
from Products.Five.browser import BrowserView
from Products.SiteAccess.VirtualHostMonster import manage_addVirtualHostMonster
from Products.statusmessages.interfaces import IStatusMessage
from types import SimpleNamespace
from zExceptions import BadRequest
from zExceptions import NotFound
from ZODB.config import databaseFromString
from zope.component import getGlobalSiteManager
from zope.component import queryMultiAdapter
from zope.component.interfaces import ISite
from zope.event import notify
from zope.i18n.interfaces import IUserPreferredLanguages
from zope.interface import alsoProvides
from zope.interface import classImplements
from zope.interface import directlyProvidedBy
from zope.interface import Interface
from zope.publisher.interfaces import IPublishTraverse
from zope.publisher.interfaces import NotFound as PublisherNotFound
from zope.schema import TextLine
from zope.security.management import endInteraction
from zope.security.management import newInteraction
from zope.security.management import queryInteraction
from zope.traversing.interfaces import BeforeTraverseEvent
from zope.traversing.interfaces import IBeforeTraverseEvent

import ast
import pytest
import requests
import sys
import transaction
import Zope2


PACKAGE = Path(zopecompat.__file__).parent
# Python documents sys._getframe() and os._exit().
FRIENDS = ("self", "sys", "os")


class IMarker(Interface):
    """Something that a request may provide."""


class IRemark(Interface):
    """A behaviour."""

    remark = TextLine(title="Remark")


def published(path, **variables):
    """Return a request that is about to be published at ``path``."""
    request = make_request(None, {"PATH_INFO": path, **variables})
    request.processInputs()
    return request


@pytest.fixture
def request_at(site):
    """A function: a request on its way through the site, as ``published`` has it."""

    def request_at(path="", **variables):
        request = published(f"/plone{path}", **variables)
        app = zopecompat.wrap_in_request(site.getPhysicalRoot(), request)
        request["PARENTS"] = [app.plone, app]
        return request

    return request_at


def in_thread(function):
    """Call it in a thread in which nothing has been done."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(function).result()


class TestProcess:
    def test_is_configured(self, monkeypatch):
        monkeypatch.setattr(config, "_config", None)
        assert not zopecompat.is_configured()
        monkeypatch.setattr(config, "_config", config.DefaultConfiguration())
        assert not zopecompat.is_configured()
        monkeypatch.setattr(config, "_config", object())
        assert zopecompat.is_configured()


class TestDatabase:
    def test_zope_database(self, functional, monkeypatch):
        database = zopecompat.zope_database()
        assert database is Zope2.DB
        with closing(database.open()) as connection:
            assert "Application" in connection.root()
        monkeypatch.delitem(sys.modules, "Zope2")
        assert zopecompat.zope_database() is None

    def test_is_of_test_layer(self, functional):
        assert zopecompat.is_of_test_layer(zopecompat.zope_database())
        assert not zopecompat.is_of_test_layer(functional["zodbDB"])
        assert not zopecompat.is_of_test_layer(None)

    def test_application_of(self, app):
        with closing(zopecompat.zope_database().open()) as connection:
            found = zopecompat.application_of(connection)
            assert type(found) is Application
            assert found._p_oid == app._p_oid

    @pytest.mark.parametrize(
        ("storage", "is_so"),
        [
            ("<relstorage>\n<sqlite3>\ndata-dir {}\n</sqlite3>\n</relstorage>", True),
            ("<filestorage>\npath {}/Data.fs\n</filestorage>", False),
        ],
    )
    def test_is_on_sqlite(self, tmp_path, storage, is_so):
        text = f"%import relstorage\n<zodb>\n{storage.format(tmp_path)}\n</zodb>"
        with closing(databaseFromString(text)) as database:
            assert zopecompat.is_on_sqlite(database) == is_so


class TestThread:
    def test_has_transaction(self):
        def look():
            before = zopecompat.has_transaction()
            transaction.begin()
            during = zopecompat.has_transaction()
            transaction.abort()
            return before, during, zopecompat.has_transaction()

        assert in_thread(look) == (False, True, False)

    def test_own_transaction_manager(self):
        outer = transaction.begin()
        with zopecompat.own_transaction_manager():
            assert not zopecompat.has_transaction()
            assert transaction.get() is not outer
            transaction.commit()
        assert transaction.get() is outer

    def test_begin_interaction(self):
        newInteraction()
        before = queryInteraction()
        zopecompat.begin_interaction()
        assert queryInteraction() not in (None, before)
        endInteraction()

    def test_restore_interaction(self):
        newInteraction()
        before = queryInteraction()
        zopecompat.begin_interaction()
        zopecompat.begin_interaction()
        zopecompat.restore_interaction(before)
        assert queryInteraction() is before
        zopecompat.restore_interaction(None)
        assert queryInteraction() is None

    @pytest.fixture
    def skinned(self, site):
        """The site with a skin that is not the usual one."""
        site.portal_skins.addSkinSelection("Other", "custom")
        site.changeSkin("Other", site.REQUEST)
        assert site.getCurrentSkinName() == "Other"
        yield site
        zopecompat.take_skin()

    def test_take_skin(self, skinned):
        assert zopecompat.take_skin() is not None
        assert skinned.getCurrentSkinName() == skinned.portal_skins.getDefaultSkin()
        assert zopecompat.take_skin() is None

    def test_restore_skin(self, skinned):
        zopecompat.restore_skin(zopecompat.take_skin())
        assert skinned.getCurrentSkinName() == "Other"
        zopecompat.restore_skin(None)
        assert skinned.getCurrentSkinName() != "Other"


class TestUsers:
    def test_system_user(self, site):
        assert users.system is zopecompat.system_user()
        newSecurityManager(None, zopecompat.system_user())
        assert getSecurityManager().checkPermission("Manage portal", site)

    def test_emergency_user(self, monkeypatch):
        assert SpecialUsers.emergency_user is not None, "nothing stands for none"
        assert zopecompat.emergency_user() is None
        rescue = UnrestrictedUser("rescue", "secret", ("manage",), [])
        monkeypatch.setattr(SpecialUsers, "emergency_user", rescue)
        assert zopecompat.emergency_user() is rescue

    def test_anonymous_user(self, site):
        user = zopecompat.anonymous_user(site)
        assert aq_base(user) is users.nobody
        assert aq_base(aq_parent(user)) is aq_base(site.acl_users)
        assert user.getRoles() == ("Anonymous",)
        assert user.getId() is None

    def test_is_special(self, site):
        assert zopecompat.is_special(zopecompat.system_user())
        assert zopecompat.is_special(zopecompat.anonymous_user(site))
        assert zopecompat.is_special(UnrestrictedUser("rescue", "", (), []))
        assert not zopecompat.is_special(site.acl_users.getUserById(TEST_USER_ID))

    def test_user_folder_in(self, site, folder):
        for container in (site, site.getPhysicalRoot()):
            found = zopecompat.user_folder_in(container)
            assert found is not None, "Zope finds user folders by something else"
            assert found.getPhysicalPath() == (
                *container.getPhysicalPath(),
                "acl_users",
            )
        assert zopecompat.user_folder_in(folder) is None


class TestRequests:
    def test_virtual_names(self, request_at):
        request = request_at()
        assert zopecompat.virtual_names(request) == ()
        request.setVirtualRoot(["our intranet"])
        assert zopecompat.virtual_names(request) == ("our%20intranet",)
        assert request["URL"].endswith("/our%20intranet")

    def test_wrap_in_request(self, site):
        request = published("/")
        app = zopecompat.wrap_in_request(aq_base(site.getPhysicalRoot()), request)
        assert app.REQUEST is request
        assert app.plone.REQUEST is request

    def test_directly_provided(self):
        class Plain:
            """Provides nothing."""

        class Marked:
            """Provides something by its class."""

        classImplements(Marked, ICollectiveBackgroundLayer)
        both = Marked()
        alsoProvides(both, IMarker)
        marked = published("/")
        alsoProvides(marked, IMarker, ICollectiveBackgroundLayer)
        assert IMarker in zopecompat.directly_provided(both)
        for obj in (Plain(), Marked(), both, published("/"), marked):
            expected = tuple(directlyProvidedBy(obj))
            assert zopecompat.directly_provided(obj) == expected

    def test_keep_layers(self, site, request_at):
        request = request_at()
        notify(BeforeTraverseEvent(site, request))
        assert ICollectiveBackgroundLayer.providedBy(request)
        request = request_at()
        zopecompat.keep_layers(request)
        notify(BeforeTraverseEvent(site, request))
        assert not ICollectiveBackgroundLayer.providedBy(request), (
            "plone.browserlayer goes by something else now"
        )

    @pytest.fixture
    def negotiated(self, site, request_at):
        request = request_at()
        assert zopecompat.language_of(request) is None
        notify(BeforeTraverseEvent(site, request))
        return request

    def test_language_of(self, negotiated):
        assert zopecompat.language_of(negotiated) == "en"

    def test_set_language(self, negotiated):
        zopecompat.set_language(negotiated, "de")
        assert zopecompat.language_of(negotiated) == "de"
        preferred, *_ = IUserPreferredLanguages(negotiated).getPreferredLanguages()
        assert preferred == "de", "texts are in another language"
        assert negotiated["LANGUAGE"] == "de"
        without = published("/")
        zopecompat.set_language(without, "de")
        assert "LANGUAGE" not in without.other

    @pytest.fixture
    def upload(self):
        """A file as the publisher makes it of what a browser has sent."""
        files = {"table": ("Länder.csv", b"a,b", "text/csv")}
        sent = requests.Request("POST", "http://localhost", files=files).prepare()
        environ = {
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": sent.headers["Content-Type"],
            "CONTENT_LENGTH": sent.headers["Content-Length"],
        }
        request = make_request(None, environ, BytesIO(sent.body))
        request.processInputs()
        return request.form["table"]

    def test_upload_name(self, upload):
        assert zopecompat.upload_name(upload) == "table"

    def test_make_upload(self, upload):
        field = CapturedUpload(
            Spool.of(b"a,b"), upload.headers, upload.filename, "table"
        )
        made = zopecompat.make_upload(field)
        assert type(made) is type(upload)
        assert made.filename == "Länder.csv"
        assert made.headers["Content-Type"] == "text/csv"
        assert zopecompat.upload_name(made) == "table"
        assert made.read() == b"a,b"

    def test_has_messages(self, site, request_at):
        request = request_at()
        notify(BeforeTraverseEvent(site, request))
        assert not zopecompat.has_messages(request)
        IStatusMessage(request).add("Done.")
        assert zopecompat.has_messages(request)
        assert [message.message for message in IStatusMessage(request).show()]

    def test_status_reason(self):
        assert zopecompat.status_reason(404) == "Not Found"
        assert zopecompat.status_reason(503) == "Service Unavailable"


class TestNotCarried:
    def test_is_annotations_behavior(self, folder):
        remark = AnnotationStorage(IRemark)(folder)
        assert zopecompat.is_annotations_behavior(remark)
        assert not zopecompat.is_annotations_behavior(folder)

    def test_is_of_catalog(self, folder):
        found = api.portal.get_tool("portal_catalog")(id="folder")
        assert zopecompat.is_of_catalog(found), "a catalog's results are no Lazy"
        assert zopecompat.is_of_catalog(found[0])
        assert not zopecompat.is_of_catalog([folder])


class TestPublishing:
    def test_allow_post_traverse(self, request_at):
        request = request_at().clone()
        with pytest.raises(RuntimeError):
            request.post_traverse(list)
        zopecompat.allow_post_traverse(request)
        request.post_traverse(list)

    def test_run_post_traverse(self):
        request = published("/")
        zopecompat.allow_post_traverse(request)
        called = []
        request.post_traverse(called.append, ("first",))
        request.post_traverse(str, ("instead",))
        request.post_traverse(called.append, ("never",))
        assert zopecompat.run_post_traverse(request) == "instead"
        assert called == ["first"]

    def test_refuse_acquired_content(self, monkeypatch, site, folder):
        other = api.content.create(site, "Folder", "other")
        request = published("/")
        request["PARENTS"] = [folder, site]
        zopecompat.refuse_acquired_content(request)
        request["PARENTS"] = [other.folder, other, site]
        zopecompat.refuse_acquired_content(request)  # as Plone has it by default
        monkeypatch.setattr(explicitacquisition, "SKIP_PTA", False)
        with pytest.raises(NotFound):
            zopecompat.refuse_acquired_content(request)

    def test_enter(self, site, folder, request_at):
        entered = []

        def note(site, event):
            entered.append(event.request)

        request = request_at()
        zopecompat.set_names_ahead(request, ["folder"])
        handlers = getGlobalSiteManager()
        handlers.registerHandler(note, (ISite, IBeforeTraverseEvent))
        try:
            zopecompat.enter(site, request)
            zopecompat.enter(folder, request)  # has no such hook
        finally:
            handlers.unregisterHandler(note, (ISite, IBeforeTraverseEvent))
        assert entered == [request], "sites have another hook than they had"

    @pytest.fixture
    def hosting(self, site):
        """The application, with what takes virtual hosts out of addresses."""
        app = site.getPhysicalRoot()
        if "virtual_hosting" not in app:
            manage_addVirtualHostMonster(app)
        return app

    NAMES = ("VirtualHostBase", "http", "example.org:80", "plone", "VirtualHostRoot")

    def test_names_ahead(self, hosting, request_at):
        request = request_at()
        zopecompat.set_names_ahead(request, ["page", *reversed(self.NAMES)])
        zopecompat.enter(hosting, request)
        ahead = zopecompat.names_ahead(request)
        assert request["SERVER_URL"] == "http://example.org"
        assert ahead[0] == "page"
        assert ahead[-1] == "plone"
        assert ahead is request.path

    def test_set_names_ahead(self, site, request_at):
        names = ["two", "one"]
        request = request_at()
        zopecompat.set_names_ahead(request, names)
        assert request["TraversalRequestNameStack"] is names
        assert zopecompat.names_ahead(request) is names

    def test_quote_name(self):
        assert zopecompat.quote_name("++api++") == "++api++"
        assert zopecompat.quote_name("@@a view") == "@@a%20view"

    def test_set_address(self, request_at):
        request = request_at()
        request.setServerURL("http", "example.org")
        request.setVirtualRoot(["intranet"])
        zopecompat.set_address(request, ["a folder", "page"])
        assert request["URL"] == "http://example.org/intranet/a%20folder/page"
        assert request["URL1"] == "http://example.org/intranet/a%20folder"
        zopecompat.set_address(request, ())
        assert request["URL"] == "http://example.org/intranet"

    def test_extend_address(self):
        request = published("/")
        request.setServerURL("http", "example.org")
        zopecompat.set_address(request, ["folder"])
        zopecompat.extend_address(request, "a page")
        assert request["URL"] == "http://example.org/folder/a%20page"
        assert request["URL0"] == request["URL"]
        assert request["URL1"] == "http://example.org/folder"

    def test_roles_of(self, site):
        class View(BrowserView):
            __roles__ = ("Owner",)

        assert zopecompat.roles_of(None, None, View(site, None)) == ("Owner",)
        assert zopecompat.roles_of(site, "manage_main", site.manage_main) == (
            "Manager",
        )
        unsaid = zopecompat.roles_of(None, None, SimpleNamespace())
        assert not unsaid
        assert zopecompat.roles_of(None, None, SimpleNamespace(), ("Reader",)) == (
            "Reader",
        )

    def test_browser_publisher(self, site, request_at):
        request = request_at()
        notify(BeforeTraverseEvent(site, request))
        view = site.restrictedTraverse("@@plone")
        assert zopecompat.browser_publisher(view, request) is view
        found = zopecompat.browser_publisher(site, request)
        _, names = found.browserDefault(request)
        assert tuple(names) == (site.getLayout(),)
        # Nobody has an adapter for these.
        found = zopecompat.browser_publisher(SimpleItem(), request)
        assert found.browserDefault(request)[1] in ((), [], None)

    def test_null_resource(self, folder):
        found = zopecompat.null_resource(folder, "new", published("/"))
        assert found.__null_resource__
        assert aq_parent(found) is folder
        assert callable(found.PUT)

    def test_call_published(self, request_at):
        def view(name, times=2, *, request=None):
            return name * times

        request = request_at(QUERY_STRING="name=ab&times:int=3&strange=1")
        assert zopecompat.call_published(view, request) == "ababab"
        with pytest.raises(BadRequest):
            zopecompat.call_published(view, request_at(QUERY_STRING="times:int=3"))

    def test_http_class_of(self):
        class Own(Exception):
            """Zope has none of this name."""

        assert zopecompat.http_class_of(PublisherNotFound(None, "page")) is NotFound
        assert zopecompat.http_class_of(KeyError()) is KeyError
        assert zopecompat.http_class_of(Own()) is Own


class TestREST:
    @pytest.fixture
    def api_request(self, site, request_at):
        request = request_at(HTTP_ACCEPT="application/json")
        notify(BeforeTraverseEvent(site, request))
        zopecompat.choose_service(request)
        return request

    def test_choose_service(self, api_request):
        assert IAPIRequest.providedBy(api_request)
        api_request.environ["HTTP_ACCEPT"] = "text/html"
        zopecompat.choose_service(api_request)
        assert not IAPIRequest.providedBy(api_request)

    def test_service_name(self, site, api_request, request_at):
        name = zopecompat.service_name(api_request)
        assert name is not None, "plone.rest keeps the service's name elsewhere"
        assert queryMultiAdapter((site, api_request), name=name) is not None
        assert zopecompat.service_name(request_at()) is None

    def test_without_rest(self, site, folder, api_request):
        traverse = queryMultiAdapter((site, api_request), IPublishTraverse)
        found = traverse.publishTraverse(api_request, "folder")
        assert aq_base(found) is not aq_base(folder), "plone.rest wraps no content"
        assert aq_base(zopecompat.without_rest(found)) is aq_base(folder)
        assert zopecompat.without_rest(folder) is folder


class TestCompleteness:
    def test_each_function_has_a_test(self):
        functions = {
            name
            for name, value in vars(zopecompat).items()
            if value.__class__.__name__ == "function"
            and value.__module__ == zopecompat.__name__
            and not name.startswith("_")
        }
        tested = {
            name.removeprefix("test_")
            for group in globals().values()
            if isinstance(group, type) and group.__name__.startswith("Test")
            for name, value in vars(group).items()
            if isfunction(value)
        }
        assert functions - tested == set()

    def test_nobody_else_uses_private_names(self):
        """Of other packages; ``_p_…`` of persistent objects is documented."""
        trees = {
            path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text())
            for path in PACKAGE.rglob("*.py")
        }
        own = set().union(*map(own_names, trees.values()))
        used = {
            f"{name}:{node.lineno}: {node.attr}"
            for name, tree in trees.items()
            if name != "zopecompat.py"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and not is_name(node.value, *FRIENDS)
            if node.attr.startswith("_") and not node.attr.startswith(("__", "_p_"))
            if node.attr not in own
        }
        assert used == set(), "put them into zopecompat.py"


def own_names(tree):
    """Yield the names of attributes that a module of the package has of its own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and is_name(node.value, "self")
        ):
            yield node.attr


def is_name(node, *names):
    return isinstance(node, ast.Name) and node.id in names
