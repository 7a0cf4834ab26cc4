"""What the package uses of Zope and Plone that nobody has promised to keep.

A function for each private or undocumented name, grouped by what it is about, so that
a new Zope breaks this file, and ``tests/test_zopecompat.py`` says where. Each says
which module it depends on. What is documented is used directly where it is needed:
``_p_jar``, ``_p_oid`` and the like of persistent objects, ``request.steps``,
``request["PARENTS"]``, ``SERVER_URL`` and the other variables of a request.
"""

from AccessControl import SpecialUsers
from AccessControl.users import NullUnrestrictedUser
from AccessControl.users import SpecialUser
from AccessControl.ZopeSecurityPolicy import getRoles
from Acquisition import aq_base
from App import config
from contextlib import contextmanager
from functools import lru_cache
from plone.behavior.annotation import AnnotationsFactoryImpl
from plone.rest.events import mark_as_api_request
from plone.rest.interfaces import IAPIRequest
from plone.rest.traverse import RESTWrapper
from Products.CMFCore.explicitacquisition import after_traversal_hook
from Products.CMFCore.Skinnable import SKINDATA
from Products.ZCatalog.interfaces import ICatalogBrain
from threading import get_ident
from transaction import TransactionManager
from types import NoneType
from webdav.NullResource import NullResource
from zExceptions import upgradeException
from ZODB.DB import DB
from zope.component import queryMultiAdapter
from zope.interface import Declaration
from zope.interface import noLongerProvides
from zope.interface.declarations import Implements
from zope.publisher.interfaces.browser import IBrowserPublisher
from zope.security.management import endInteraction
from zope.security.management import newInteraction
from zope.security.management import thread_local as interactions
from ZPublisher.BaseRequest import DefaultPublishTraverse
from ZPublisher.BaseRequest import exec_callables
from ZPublisher.BaseRequest import quote
from ZPublisher.BaseRequest import RequestContainer
from ZPublisher.BaseRequest import UNSPECIFIED_ROLES
from ZPublisher.HTTPRequest import FileUpload
from ZPublisher.HTTPResponse import status_reasons
from ZPublisher.mapply import mapply
from ZPublisher.pubevents import PubAfterTraversal
from ZPublisher.WSGIPublisher import call_object
from ZPublisher.WSGIPublisher import dont_publish_class
from ZPublisher.WSGIPublisher import missing_name
from ZTUtils.Lazy import Lazy

import sys
import transaction


# The process.


def is_configured():
    """Whether ``zope.conf`` was read (App.config, its ``_config``).

    Whoever asks for the configuration before gets a default one, which is kept.
    """
    return not isinstance(config._config, NoneType | config.DefaultConfiguration)


# The database.


def zope_database():
    """Return the database that Zope has opened, or None (Zope2, its ``DB``)."""
    return getattr(sys.modules.get("Zope2"), "DB", None)


def is_of_test_layer(database):
    """Whether a database is only a name for that of the present layer of a test.

    (plone.testing.zope, the facade that it lets Zope have; anything else is a DB.)
    """
    return database is not None and not isinstance(database, DB)


def is_on_sqlite(database):
    """Whether a database is on SQLite (relstorage: ``_adapter`` of its storage)."""
    adapter = getattr(database.storage, "_adapter", None)
    return type(adapter).__module__.startswith("relstorage.adapters.sqlite")


def application_of(connection):
    """Return the application in a ZODB connection, bare (App.ZApplication)."""
    return connection.root()["Application"]


# What belongs to a thread.


def has_transaction():
    """Whether this thread is in a transaction, without beginning one.

    transaction, the ``_txn`` of its managers.
    """
    return transaction.manager.manager._txn is not None


@contextmanager
def own_transaction_manager():
    """Give this thread another transaction manager within a ``with`` block.

    transaction, the ``manager`` of its manager for threads.
    """
    usual = transaction.manager.manager
    transaction.manager.manager = TransactionManager()
    try:
        yield
    finally:
        transaction.manager.manager = usual


def begin_interaction():
    """Begin a new interaction in this thread, whether or not there is one.

    zope.security.management refuses to begin a second one.
    """
    interactions.interaction = None
    newInteraction()


def restore_interaction(interaction):
    """End the interaction of this thread, and go on with this one, or with None.

    zope.security.management can itself only go back to the last one.
    """
    endInteraction()
    if interaction is not None:
        interactions.interaction = interaction


def take_skin():
    """Return the skin of this thread, or None; it has none then.

    Products.CMFCore.Skinnable, whose ``SKINDATA`` has them by thread.
    """
    return SKINDATA.pop(get_ident(), None)


def restore_skin(skin):
    """Give this thread the skin that ``take_skin()`` has returned."""
    if skin is None:
        take_skin()
    else:
        SKINDATA[get_ident()] = skin


# Users.


def system_user():
    """Return the user that Zope itself is (AccessControl.SpecialUsers)."""
    return SpecialUsers.system


def emergency_user():
    """Return the emergency user, or None if there is none.

    AccessControl.SpecialUsers; AccessControl.users has a NullUnrestrictedUser for none.
    """
    user = SpecialUsers.emergency_user
    return None if isinstance(user, NullUnrestrictedUser) else user


def anonymous_user(container):
    """Return the visitor who has not logged in, wrapped in the container's user folder.

    AccessControl.SpecialUsers, its ``nobody``.
    """
    return aq_base(SpecialUsers.nobody).__of__(container.acl_users)


def is_special(user):
    """Whether a user is in no user folder, but made on the spot.

    AccessControl.users: SpecialUser.
    """
    return isinstance(aq_base(user), SpecialUser)


def user_folder_in(container):
    """Return the user folder of a container's own, wrapped in it, or None.

    OFS.userfolder and Products.PluggableAuthService: ``__allow_groups__``.
    """
    folder = getattr(aq_base(container), "__allow_groups__", None)
    return None if folder is None else aq_base(folder).__of__(container)


# Requests.


def virtual_names(request):
    """Return the names that a virtual host puts before every path, quoted; a tuple.

    ZPublisher.HTTPRequest: ``_script``.
    """
    return tuple(request._script)


def wrap_in_request(app, request):
    """Return the application, from which ``REQUEST`` is acquired.

    ZPublisher.BaseRequest: RequestContainer.
    """
    return app.__of__(RequestContainer(REQUEST=request))


def directly_provided(obj):
    """Return the interfaces that ``obj`` provides besides those of its class; a tuple.

    As ``directlyProvidedBy`` of zope.interface has them, which takes longer than all
    the rest of a snapshot; requests have the same few sets of them. Depends on
    ``__provides__`` and on zope.interface.declarations.
    """
    provides = getattr(obj, "__provides__", None)
    if provides is None or isinstance(provides, Implements):
        return ()
    return _interfaces_of(provides.__bases__)


@lru_cache(maxsize=128)
def _interfaces_of(bases):
    *direct, _implemented = bases
    return tuple(Declaration(*direct))


def keep_layers(request):
    """Let the request have the layers that it has, and not those of the site as well.

    plone.browserlayer.layer marks requests that it has seen.
    """
    request._plonebrowserlayer_ = True


def language_of(request):
    """Return the language that was negotiated, or None.

    plone.i18n.utility keeps it in the request's ``LANGUAGE_TOOL``.
    """
    # Not by request.get(), which looks in half a dozen places.
    return getattr(request.other.get("LANGUAGE_TOOL"), "LANGUAGE", None)


def set_language(request, language):
    """Let the language be another one, if any was negotiated (plone.i18n.utility)."""
    binding = request.other.get("LANGUAGE_TOOL")
    if binding is not None:
        binding.LANGUAGE = request["LANGUAGE"] = language


def upload_name(upload):
    """Return the name of the field of a FileUpload.

    ZPublisher.HTTPRequest: ``upload.name`` is that of its temporary file, if any.
    """
    return vars(upload)["name"]


def make_upload(field):
    """Return a FileUpload of a field, which has ``file``, ``headers`` and two names.

    ZPublisher.HTTPRequest, which decodes the names unless they are said to be latin-1.
    """
    return FileUpload(field, charset="latin-1")


def has_messages(request):
    """Whether there may be status messages that were added in the request.

    Products.statusmessages.adapter puts them into a cookie of the response.
    """
    return bool(request.response.cookies)


def status_reason(status):
    """Return "Not Found" for 404 (ZPublisher.HTTPResponse)."""
    return status_reasons[status]


# What cannot be carried.


def is_annotations_behavior(obj):
    """Whether it is a behaviour that keeps its values in annotations.

    plone.behavior.annotation: the factory's class has no public name.
    """
    return isinstance(obj, AnnotationsFactoryImpl)


def is_of_catalog(obj):
    """Whether it is what a catalog has found, or one of these (ZTUtils.Lazy)."""
    return isinstance(obj, Lazy) or ICatalogBrain.providedBy(obj)


# Publishing: the steps of ``traverse()`` of ZPublisher.BaseRequest, and what
# ZPublisher.WSGIPublisher does with what that has found.


def allow_post_traverse(request):
    """Let ``request.post_traverse()`` be called: traversal is about to begin."""
    request._post_traverse = []


def run_post_traverse(request):
    """Call what was given to ``request.post_traverse()``.

    Returns what is published instead of what was found, or None.
    """
    return exec_callables(request._post_traverse)


def refuse_acquired_content(request):
    """Raise NotFound for content that was found by acquisition, where that is wanted.

    Products.CMFCore.explicitacquisition, a subscriber to the event of the publisher.
    """
    after_traversal_hook(PubAfterTraversal(request))


def enter(obj, request):
    """Call the hook of an object that traversal comes to, as sites have one.

    ZPublisher.BeforeTraverse: ``__before_publishing_traverse__``.
    """
    hook = getattr(obj, "__before_publishing_traverse__", None)
    if hook is not None:
        hook(obj, request)


def names_ahead(request):
    """Return the names that are still to be traversed, the next one last; a list.

    Hooks may have replaced the list of ``set_names_ahead()``.
    """
    request.path = request["TraversalRequestNameStack"]
    return request.path


def set_names_ahead(request, names):
    """Let these names be traversed, the next one last. ``names``: a list."""
    request["TraversalRequestNameStack"] = request.path = names


def quote_name(name):
    """Return a name as it is in the addresses of the publisher."""
    return quote(name)


def set_address(request, names):
    """Let ``request["URL"]`` be the server's address and these names, not yet quoted.

    ZPublisher.HTTPRequest: ``_steps`` and ``_resetURLS``.
    """
    request._steps[:] = map(quote, names)
    request._resetURLS()


def extend_address(request, name):
    """Append a name to ``request["URL"]``."""
    request._steps.append(quote(name))
    request["URL"] = f"{request['URL']}/{quote(name)}"


def roles_of(container, name, obj, roles=UNSPECIFIED_ROLES):
    """Return the roles that may publish ``obj``, found by ``name`` in ``container``.

    ``roles``: those of the container, which hold where nothing else is said.
    AccessControl.ZopeSecurityPolicy.
    """
    return getRoles(container, name, obj, roles)


def browser_publisher(obj, request):
    """Return the IBrowserPublisher that knows the default view of an object."""
    if IBrowserPublisher.providedBy(obj):
        return obj
    publisher = queryMultiAdapter((obj, request), IBrowserPublisher)
    return DefaultPublishTraverse(obj, request) if publisher is None else publisher


def null_resource(container, name, request):
    """Return what a WebDAV client creates something with (webdav.NullResource)."""
    return NullResource(container, name, request).__of__(container)


def call_published(published, request):
    """Call what was found, with the arguments that the form has for it.

    Returns what that returns. Raises BadRequest when one is missing.
    """
    return mapply(
        published,
        request.args,
        request,
        call_object,
        1,
        missing_name,
        dont_publish_class,
        request,
        bind=1,
    )


def http_class_of(error):
    """Return the class of an exception, or that of zExceptions with the same name.

    zExceptions: ``upgradeException``.
    """
    error_class, _ = upgradeException(type(error), None)
    return error_class


# The REST API.


def choose_service(request):
    """Find out anew whether a request is to the REST API, by method and Accept.

    plone.rest.events, whose subscriber does so before traversal.
    """
    if IAPIRequest.providedBy(request):
        noLongerProvides(request, IAPIRequest)
    mark_as_api_request(request, request.getHeader("Accept"))


def service_name(request):
    """Return the name of a service that has none in the address, or None.

    plone.rest.events: ``_rest_service_id``, of a request to the REST API.
    """
    return getattr(request, "_rest_service_id", None)


def without_rest(obj):
    """Return the content in a RESTWrapper (plone.rest.traverse); all else as it is."""
    return obj.context if isinstance(obj, RESTWrapper) else obj
