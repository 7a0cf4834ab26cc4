"""Packages: what was packed, until it is unpacked in another thread.

Made by ``capture/pickling.py``; what the database keeps of one is in
``database/formats.py``.
"""

from collective.background.capture.functions import CapturedFunction
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Package:
    """Something that was packed.

    - ``data``: the pickle
    - ``spools``: uploads, blobs and long bytes that it refers to, closed by ``close``
    - ``references``: the References of persistent objects, as they were met;
      those in ``live`` functions are not among them
    - ``live``: functions without a name and the like, which only this process
      can unpack
    - ``local``: dotted names in the main program, which means another one in another
      process
    - ``has_persistent``: whether any persistent object is in it, be it by value
    """

    data: bytes
    spools: tuple = ()
    references: tuple = ()
    live: tuple = ()
    local: tuple = ()
    has_persistent: bool = False

    @property
    def is_bound(self):
        """Whether there is in it what other threads must not use as it is.

        That are persistent objects, and files of the request.
        """
        return bool(self.has_persistent or self.spools) or any(
            isinstance(obj, CapturedFunction) and obj.is_bound for obj in self.live
        )

    @property
    def private(self):
        """What no other process could unpack, as texts."""
        return (*map(str, self.live), *self.local)

    def close(self):
        """Give back memory and temporary files."""
        for package in self.nested():
            for spool in package.spools:
                spool.close()

    def nested(self):
        """Return the Package and those of what its functions close over, each once."""
        packages, functions = [self], []
        for package in packages:
            for obj in package.live:
                if isinstance(obj, CapturedFunction) and obj not in functions:
                    functions.append(obj)
                    packages += obj.packages
        return packages
