"""Values that outlive a release: how they are pickled, and loaded by another one.

A frozen dataclass with slots is pickled as a list, by the position of its fields; a
new field would spoil all that is stored. So ``@value`` lets the fields have their
names in the pickle, and the class a name that is not that of its module.
"""

from dataclasses import fields


CLASSES = {}  # by their names in pickles


def value(name, version=1):
    """Let a dataclass be pickled by the names of its fields.

    ``name``: for this class, in pickles; it never changes. ``version``: a number, of
    the meaning of the fields; pickles have it, too. A field that comes later needs a
    default: that is what older pickles have.
    """

    def register(cls):
        def reduce(self):
            values = {field.name: getattr(self, field.name) for field in fields(self)}
            return load_value, (name, version, values)

        cls.__reduce__ = reduce
        CLASSES[name] = cls
        return cls

    return register


def load_value(name, version, values):
    """Return the object again, of the class that has the name now.

    Called by pickle, under this very name: neither that nor the arguments may change.
    ``values``: by the names of the fields. Those that the class does not know are
    left out. Where no class has the name, they are returned as they are.
    """
    cls = CLASSES.get(name)
    if cls is None:
        return values
    known = {field.name for field in fields(cls)}
    return cls(**{key: values[key] for key in known.intersection(values)})
