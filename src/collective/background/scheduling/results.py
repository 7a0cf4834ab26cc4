"""Results of tasks, as those who ask for them get them."""

from collective.background.capture.snapshot import find_application
from collective.background.capture.unpickling import unpack


def unpack_here(package):
    """Return what is in a Package, in the current connection; None for None."""
    return None if package is None else unpack(package, find_application())
