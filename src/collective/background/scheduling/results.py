"""Results of tasks, as those who ask for them get them."""

from collective.background.capture.pickling import unpack
from collective.background.capture.snapshot import find_application


def unpack_here(package):
    """Return what is in a Package, in the current connection; None for None."""
    return None if package is None else unpack(package, find_application())
