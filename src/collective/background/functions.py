"""``@task``: functions that know how they are scheduled."""

from collective.background.api import Scheduling
from functools import update_wrapper


class TaskFunction:
    """A function with options; made by ``@task``.

    ``f(…)`` is the plain call, ``f.schedule(…)`` schedules it.
    """

    def __init__(self, function, options):
        update_wrapper(self, function)
        self._options = options
        self._scheduling = Scheduling(**options)

    def __call__(self, *args, **kwargs):
        return self.__wrapped__(*args, **kwargs)

    def __reduce__(self):
        # By name, like a function; under it there is this object, not the function.
        return self.__qualname__

    def schedule(self, /, *args, **kwargs):
        """Schedule the call and return the task's id, as ``schedule()`` does."""
        return self._scheduling.schedule(self, *args, **kwargs)

    def using(self, **options):
        """Return the same function with other options, or more of them."""
        return _With(self, {**self._options, **options})


class _With:
    """A TaskFunction with options for once."""

    def __init__(self, function, options):
        self._function = function
        self._scheduling = Scheduling(**options)

    def schedule(self, /, *args, **kwargs):
        return self._scheduling.schedule(self._function, *args, **kwargs)


def task(function=None, /, **options):
    """Make a module-level function know its options: ``@task(queue="mail")``.

    ``options``: those of ``using()``. Raises UnknownOption, BadOption when the
    function is defined.
    """
    if function is not None:
        return TaskFunction(function, options)
    # So that a mistake is told where it was made, and not at the function.
    Scheduling(**options)
    return lambda function: TaskFunction(function, options)
