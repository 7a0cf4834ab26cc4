"""Results of tasks, as those who ask for them get them."""

from collective.background.capture.snapshot import find_application
from collective.background.capture.unpickling import unpack


def unpack_here(package):
    """Return what is in a Package, in the current connection; None for None."""
    return None if package is None else unpack(package, find_application())


def result_of_whole(state, members):
    """Return (result, exception) of a group that has ended in a state.

    ``members``: (state, result, exception) of each that is known, in their order.
    """
    exceptions = (error for own, _, error in members if own == state)
    return tuple(result for _, result, _ in members), next(exceptions, None)
