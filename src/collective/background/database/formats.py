"""What the database keeps of calls, snapshots and results: plain values.

Comes in: what ``capture/`` has taken along. Goes out: dictionaries and tuples of
builtin values, with blobs for what is large; and the other way round, in whatever
process the task runs. No class of the package or of an add-on is needed to load them:
those are in pickles of their own, which are loaded when the call is made.

For each kind there is one function that writes it and one that reads it. A value that
a reader does not find has the default of its field, one that it does not know is left
out. A change that this does not cover needs a new ``VERSION``, see ``status.py``.
"""

from collective.background.capture.call import Call
from collective.background.capture.call import ViewRequest
from collective.background.capture.package import Package
from collective.background.capture.persistence import blob_of
from collective.background.capture.pickling import pack
from collective.background.capture.reference import Reference
from collective.background.capture.snapshot import RequestSnapshot
from collective.background.capture.snapshot import Snapshot
from collective.background.capture.unpickling import unpack
from collective.background.capture.users import UserReference
from collective.background.database.blobs import content_of
from collective.background.database.values import from_dict
from collective.background.database.values import load_text
from collective.background.database.values import store_text
from collective.background.database.values import to_dict
from collective.background.exceptions import NotPortable
from collective.background.model.options import Options
from collective.background.model.spool import CapturedUpload
from collective.background.model.spool import Spool
from importlib import import_module
from requests.structures import CaseInsensitiveDict
from transaction.interfaces import TransientError
from ZODB.blob import Blob

import logging


logger = logging.getLogger(__name__)

MAX_INLINE = 50_000  # bytes of a file or a pickle; a longer one is a blob


# Packages.


def store_package(package, blobs=None):
    """Return what can be stored of a Package, or None for None.

    ``blobs``: Blobs, if it may share its files with others. Raises NotPortable for what
    only this process could unpack.
    """
    if package is None:
        return None
    if package.private:
        raise NotPortable(
            f"{package.private[0]} has no name by which another process could find it, "
            "and tasks of this site may run in any; use a function of a module"
        )
    return {
        "data": _store_data(package.data),
        "references": [_store_reference(found) for found in package.references],
        "spools": [_store_spool(spool, blobs) for spool in package.spools],
    }


def load_package(stored):
    """Return the Package again."""
    if stored is None:
        return None
    return Package(
        data=_load_data(stored["data"]),
        spools=tuple(_load_spool(spool) for spool in stored["spools"]),
        references=tuple(_load_reference(values) for values in stored["references"]),
    )


def _store_data(data):
    return data if len(data) <= MAX_INLINE else blob_of(Spool.of(data))


def _load_data(stored):
    if not isinstance(stored, Blob):
        return stored
    with content_of(stored).open() as file:
        return file.read()


def _store_reference(reference):
    parent = reference.parent and _store_reference(reference.parent)
    return {**to_dict(reference), "parent": parent}


def _load_reference(stored):
    parent = stored.get("parent") and _load_reference(stored["parent"])
    return from_dict(Reference, {**stored, "parent": parent})


def _store_spool(spool, blobs):
    if isinstance(spool, CapturedUpload):
        return {
            "filename": spool.filename,
            "name": spool.name,
            "headers": list(spool.headers.items()),
            "spool": _store_spool(spool.spool, blobs),
        }
    stored = {"size": spool.size, "truncated": spool.truncated}
    if spool.size <= MAX_INLINE:
        # The same bytes are pickled once for all spools of an object that have them.
        return {"bytes": spool.read(), **stored}
    make_blob = blob_of if blobs is None else blobs.of
    return {"blob": make_blob(spool), **stored}


def _load_spool(stored):
    if "filename" in stored:
        upload = CapturedUpload.__new__(CapturedUpload)
        upload.filename, upload.name = stored["filename"], stored["name"]
        upload.headers = CaseInsensitiveDict(stored["headers"])
        upload.spool = _load_spool(stored["spool"])
        return upload
    if "blob" in stored:
        return Spool.of_content(
            content_of(stored["blob"]), stored["size"], stored["truncated"]
        )
    spool = Spool.of(stored["bytes"])
    spool.truncated = stored["truncated"]
    return spool


# Calls.


def store_call(call, blobs=None):
    """Return what can be stored of a Call. ``blobs``: Blobs. Raises NotPortable."""
    view = call.view and {
        **to_dict(call.view),
        "body": _store_spool(call.view.body, blobs),
    }
    return {
        **to_dict(call),
        "package": store_package(call.package, blobs),
        "view": view,
        "items": tuple(store_package(item, blobs) for item in call.items),
        "extra": store_package(pack(call.extra)),
        "options": call.options and store_options(call.options),
    }


def load_call(stored):
    """Return the Call again. Raises as ``load_options``, if it is a callback."""
    options = stored.get("options")
    view = stored["view"] and from_dict(
        ViewRequest, {**stored["view"], "body": _load_spool(stored["view"]["body"])}
    )
    return from_dict(
        Call,
        {
            **stored,
            "package": load_package(stored["package"]),
            "view": view,
            "items": tuple(load_package(item) for item in stored["items"]),
            "extra": unpack(load_package(stored["extra"]), None),
            "options": options and load_options(options),
        },
    )


def load_callbacks(stored):
    """Return the Calls of callbacks again; one that cannot be loaded is logged.

    The modules of an add-on may be gone; that is not to hold up the end of a task.
    """
    calls = []
    for call in stored:
        try:
            calls.append(load_call(call))
        except TransientError:
            raise
        except Exception:
            logger.exception("the callback %s cannot be loaded", call["name"])
    return calls


# Snapshots.


def store_snapshot(snapshot, blobs=None):
    """Return what can be stored of a Snapshot. ``blobs``: Blobs. Raises NotPortable."""
    request = snapshot.request and {
        **to_dict(snapshot.request),
        "form": store_package(snapshot.request.form, blobs),
        "interfaces": tuple(
            (interface.__module__, interface.__name__)
            for interface in snapshot.request.interfaces
        ),
    }
    return {
        "site_path": snapshot.site_path,
        "user": to_dict(snapshot.user),
        "request": request,
    }


def load_snapshot(stored):
    """Return the Snapshot again.

    An interface of the request that is not known any more is left out.
    """
    request = stored["request"] and from_dict(
        RequestSnapshot,
        {
            **stored["request"],
            "form": load_package(stored["request"]["form"]),
            "interfaces": tuple(_interfaces(stored["request"]["interfaces"])),
        },
    )
    return Snapshot(
        site_path=stored["site_path"],
        user=from_dict(UserReference, stored["user"]),
        request=request,
    )


def _interfaces(names):
    for module, name in names:
        try:
            # As pickle does: a package may have no attribute of the module's name.
            yield getattr(import_module(module), name)
        except (ImportError, AttributeError):
            logger.warning("the interface %s.%s is not known any more", module, name)


# Options.

# Classes of add-ons; they are loaded when the task runs.
_CLASSES = ("retry_on", "give_up_on")
# Kept as Calls, or of no use any more.
_LEFT_OUT = ("on_success", "on_failure", "notify", "context")


def store_options(options):
    """Return what can be stored of Options. Raises NotPortable."""
    values = {
        name: store_text(value) if name == "title" else value
        for name, value in to_dict(options).items()
        if name not in (*_CLASSES, *_LEFT_OUT)
    }
    classes = tuple(getattr(options, name) for name in _CLASSES)
    return {**values, "classes": store_package(pack(classes))}


def load_options(stored):
    """Return the Options again. Raises ImportError and the like."""
    classes = unpack(load_package(stored["classes"]), None)
    values = {
        **stored,
        "title": load_text(stored["title"]),
        **dict(zip(_CLASSES, classes, strict=True)),
    }
    return from_dict(Options, values)
