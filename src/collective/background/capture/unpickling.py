"""What was packed is made again, in the connection of another thread.

Comes in: a Package, and an application. Goes out: the object. Called where tasks run,
where results are read, and by ``capture/describing.py``.
"""

from collective.background.capture.functions import CapturedFunction
from collective.background.capture.persistence import blob_of
from collective.background.capture.places import resolve
from collective.background.model.spool import Spool
from collective.background.zopecompat import make_upload
from functools import partial

import io
import pickle


# How files are made of spools again.
FILES = {"upload": make_upload, "spool": Spool.share, "blob": blob_of}


def unpack(package, app):
    """Return the object that was packed.

    ``app``: the application in whose connection references are resolved; None
    where there is no database. Raises ReferenceGone, and whatever the loading
    of a class or of its state raises.
    """
    return _unpack(package, app, {})


def _unpack(package, app, functions):
    return Unpickler(package, app, functions).load()


class Unpickler(pickle.Unpickler):
    """Makes the object of a Package again.

    ``functions``: the captured functions that were restored already.
    """

    def __init__(self, package, app, functions):
        super().__init__(io.BytesIO(package.data))
        self._package = package
        self._app = app
        self._functions = functions
        self._files = {}  # what was made of a spool, by its number

    def persistent_load(self, pid):
        kind, value = pid
        if kind == "reference":
            return resolve(self._package.references[value], self._app)
        if kind in FILES:
            if value not in self._files:
                self._files[value] = FILES[kind](self._package.spools[value])
            return self._files[value]
        live = self._package.live[value]
        if isinstance(live, CapturedFunction):
            unpack = partial(_unpack, app=self._app, functions=self._functions)
            return live.restore(unpack, self._functions)
        return live
