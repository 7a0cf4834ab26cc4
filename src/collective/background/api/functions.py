"""``@task``: functions that know how they are scheduled."""

from collective.background.api.scheduling import Scheduling
from collective.background.capture.callables import check_function
from collective.background.exceptions import BadCall
from collective.background.model.options import WithOptions
from functools import update_wrapper


class TaskFunction(WithOptions):
    """A function with options; made by ``@task``.

    ``f(…)`` is the plain call, ``f.schedule(…)`` schedules it.
    """

    def __init__(self, function, options):
        _check_importable(function)
        check_function(function)
        update_wrapper(self, function)
        self.options = options
        self._scheduling = Scheduling(**options)

    @property
    def function(self):
        return self

    def __call__(self, /, *args, **kwargs):
        return self.__wrapped__(*args, **kwargs)

    def __reduce__(self):
        # By name, like a function; under it there is this object, not the function.
        return self.__qualname__

    def schedule(self, /, *args, **kwargs):
        """Schedule the call and return the task's id, as ``schedule()`` does."""
        return self._scheduling.schedule(self, *args, **kwargs)

    def using(self, **options):
        """Return the same function with other options, or more of them."""
        return _With(self, {**self.options, **options})


class _With(WithOptions):
    """A TaskFunction with options for once."""

    def __init__(self, function, options):
        self.function = function
        self.options = options
        self._scheduling = Scheduling(**options)

    def __call__(self, /, *args, **kwargs):
        return self.function(*args, **kwargs)

    def schedule(self, /, *args, **kwargs):
        return self._scheduling.schedule(self.function, *args, **kwargs)


def _check_importable(function):
    """Raise BadCall unless it is a function that can be found by its name."""
    name = getattr(function, "__qualname__", None)
    if name is None or isinstance(function, type):
        raise BadCall(
            f"@task is for functions, and {function!r} is none; options are given by "
            "their names, as in @task(title='Import')"
        )
    if name != function.__name__:
        raise BadCall(
            f"@task is for the functions of a module, and {name} is inside of "
            "something; schedule() takes functions inside of others, and methods of "
            "content"
        )


def task(function=None, /, **options):
    """Make a function of a module know its options: ``@task(queue="mail")``.

    ``options``: those of ``using()``. Raises UnknownOption, BadOption, and BadCall
    for what is no such function, when it is defined.
    """
    if function is not None:
        return TaskFunction(function, options)
    # So that a mistake is told where it was made, and not at the function.
    Scheduling(**options)
    return lambda function: TaskFunction(function, options)
