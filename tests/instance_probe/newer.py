"""A later release of the package, as far as others see it in the database.

Where the environment has ``PROBE_NEWER``: tasks have another version then, and all that
is stored of them has something more in it.
"""

from collective.background.database import formats
from collective.background.database import rescue
from collective.background.database import reserving
from collective.background.database import status
from collective.background.database import tasks
from collective.background.database import values
from collective.background.model.values import CLASSES


def become_newer():
    """Let this process be the later release."""
    for module in (status, tasks, reserving, rescue):
        module.VERSION += 1
    _add_to(tasks.StoredTask)
    to_dict = values.to_dict
    formats.to_dict = values.to_dict = lambda obj: {**to_dict(obj), "added": 1}
    for cls in CLASSES.values():
        _add_to_pickles(cls)


def _add_to(cls):
    """Let objects of a persistent class have one more attribute."""
    init = cls.__init__

    def init_and_add(self, *args):
        init(self, *args)
        self.added = {"by": "a later release"}

    cls.__init__ = init_and_add


def _add_to_pickles(cls):
    """Let values of a class have one more field in pickles."""
    reduce = cls.__reduce__

    def reduce_and_add(self):
        load, (name, version, fields) = reduce(self)
        return load, (name, version, {**fields, "added": 1})

    cls.__reduce__ = reduce_and_add
