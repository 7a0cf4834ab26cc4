"""Which callables a task can make, and which are refused at once."""

from collective.background import get_scheduler
from collective.background import schedule
from collective.background.capture.callables import dotted_name
from collective.background.exceptions import BadCall
from collective.background.exceptions import NotPortable
from functools import partial
from functools import wraps
from helpers import finished
from helpers import jar_of
from helpers import result_of
from helpers import task_jar
from pkgutil import resolve_name
from plone import api
from plone.behavior.factory import BehaviorAdapterFactory
from plone.behavior.interfaces import IBehavior
from plone.behavior.registration import BehaviorRegistration
from plone.dexterity.content import Item
from plone.dexterity.fti import DexterityFTI
from zope.component import getGlobalSiteManager
from zope.interface import Interface

import pytest
import threading
import transaction


def here(*args):
    """Return what tells where the call was made, and with what."""
    return threading.current_thread().name, args


def undocumented(method):
    """A decorator that hides the name of what it decorates."""

    def wrapper(self, *args):
        return method(self, *args)

    return wrapper


def documented(method):
    @wraps(method)
    def wrapper(self, *args):
        return ["decorated", *method(self, *args)]

    return wrapper


class Maker:
    @classmethod
    def make(cls):
        pass


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (len, "builtins.len"),
        (str.upper, "builtins.str.upper"),
        ("a".upper, "builtins.str.upper"),
        (dict.fromkeys, "builtins.dict.fromkeys"),
        (Maker.make, f"{__name__}.Maker.make"),
        (partial(Maker().make), f"{__name__}.Maker.make"),
    ],
)
def test_names_are_those_by_which_they_are_imported(function, name):
    assert dotted_name(function) == name
    resolve_name(name)


class ReportBase:
    def inherited(self):
        return ["inherited", self.Title(), jar_of(self) == task_jar()]

    def overridden(self):
        return ["base"]


class Report(ReportBase, Item):
    def own(self, word, more=""):
        return [word, more, self.Title(), jar_of(self) == task_jar()]

    def overridden(self):
        return ["derived"]

    def __secret(self):
        return ["secret"]

    def secret(self):
        return self.__secret

    def above(self):
        return super().overridden

    @undocumented
    def hidden(self):
        return ["hidden"]

    @documented
    def shown(self):
        return ["shown"]

    @classmethod
    def of_class(cls, word):
        return [cls.__name__, word]

    @staticmethod
    def of_nobody(word):
        return ["static", word]


class ICounting(Interface):
    """A behaviour."""


class Counting:
    """Its adapter."""

    def __init__(self, context):
        self.context = context

    def count(self, start):
        self.context.counted = start + 1
        return [self.context.Title(), jar_of(self.context) == task_jar()]


class Multiplier:
    """An object that can be called."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, number):
        return self.factor * number


class Asynchronous:
    async def __call__(self):
        """A coroutine function."""


class Generating:
    def __call__(self):
        yield


async def coroutine():
    """A coroutine function."""


async def asynchronous_generator():
    yield


def generator():
    yield


@pytest.fixture
def behavior():
    """The behaviour, as ``<plone:behavior provides=… factory=… />`` registers it."""
    site_manager = getGlobalSiteManager()
    registration = BehaviorRegistration(
        "Counting", "", ICounting, None, Counting, name="test.counting"
    )
    factory = BehaviorAdapterFactory(registration)
    site_manager.registerUtility(registration, IBehavior, name=ICounting.__identifier__)
    site_manager.registerAdapter(factory, (Interface,), ICounting)
    yield
    site_manager.unregisterAdapter(factory, (Interface,), ICounting)
    site_manager.unregisterUtility(
        registration, IBehavior, name=ICounting.__identifier__
    )


@pytest.fixture
def report(site, behavior):
    """Content of a type with a class of its own, and with the behaviour."""
    fti = DexterityFTI("Report")
    fti.klass = f"{__name__}.Report"
    fti.behaviors = ("plone.dublincore", ICounting.__identifier__)
    site.portal_types._setObject("Report", fti)
    content = api.content.create(site, "Report", "report", title="A report")
    transaction.commit()
    return content


class TestCallables:
    def test_a_function_runs_in_a_thread_of_its_own(self, site):
        task_id = schedule(here, 1, "two")
        name, args = result_of(task_id)
        assert name == f"background-default-{task_id}"
        assert args == (1, "two")

    def test_all_arguments_are_passed_on(self, site):
        """Also those that are called as our own ones."""

        def function(*args, **kwargs):
            return args, kwargs

        options = {"callable": 1, "function": 2, "title": 3, "self": 4}
        assert result_of(schedule(function, 0, **options)) == ((0,), options)

    def test_a_method_of_content(self, report):
        task_id = schedule(report.own, "one", more="two")
        assert result_of(task_id) == ["one", "two", "A report", True]

    def test_a_method_of_a_base_class(self, report):
        assert result_of(schedule(report.inherited)) == ["inherited", "A report", True]

    def test_a_method_of_plone_itself(self, report):
        assert result_of(schedule(report.absolute_url)) == report.absolute_url()

    def test_an_overridden_method(self, report):
        assert result_of(schedule(report.overridden)) == ["derived"]

    def test_a_decorated_method_that_keeps_its_name(self, report):
        assert result_of(schedule(report.shown)) == ["decorated", "shown"]

    def test_a_method_of_a_class(self, report):
        assert result_of(schedule(report.of_class, "x")) == ["Report", "x"]

    def test_a_static_method(self, report):
        assert result_of(schedule(report.of_nobody, "x")) == ["static", "x"]

    def test_a_method_of_a_behavior(self, report):
        task_id = schedule(ICounting(report).count, 41)
        assert result_of(task_id) == ["A report", True]
        assert report.counted == 42

    def test_a_method_of_a_tool(self, report):
        assert result_of(schedule(report.portal_workflow.getInfoFor, report, "x", 7))

    def test_partials(self, report):
        nested = partial(partial(report.own, "one"), more="two")
        assert result_of(schedule(nested)) == ["one", "two", "A report", True]
        assert result_of(schedule(partial(here, 1), 2))[1] == (1, 2)

    def test_a_partial_of_a_closure(self, report):
        task_id = schedule(partial(lambda a, b: [a, b, report.Title()], 1), 2)
        assert result_of(task_id) == [1, 2, "A report"]

    def test_an_object_that_can_be_called(self, site):
        assert result_of(schedule(Multiplier(6), 7)) == 42

    def test_a_function_written_in_c(self, site):
        assert result_of(schedule(max, 3, 5)) == 5

    def test_a_class(self, site):
        assert result_of(schedule(Multiplier, 5)).factor == 5

    def test_the_record_names_the_callable(self, report):
        records = [
            finished(schedule(function, *args))
            for function, *args in (
                (here,),
                (report.own, "x"),
                (partial(report.own, "x"),),
                (Multiplier(1), 1),
                (str.upper, "x"),
            )
        ]
        assert [record.callable for record in records] == [
            f"{__name__}.here",
            f"{__name__}.Report.own",
            f"{__name__}.Report.own",
            f"{__name__}.Multiplier",
            "builtins.str.upper",
        ]

    def test_the_record_has_the_context(self, report):
        """What a method is bound to, or the first argument."""
        for task_id in (
            schedule(report.own, "x"),
            schedule(here, report),
            schedule(partial(here, report)),
        ):
            record = finished(task_id)
            assert record.context_path == "/plone/report"
            assert record.context_uid == report.UID()
        assert finished(schedule(here, 1)).context_path is None


class TestClosures:
    def test_a_lambda(self, site):
        assert result_of(schedule(lambda: 6 * 7)) == 42

    def test_variables_are_shared(self, site):
        seen = []
        result_of(schedule(lambda: seen.append(threading.current_thread().name)))
        assert seen != [threading.current_thread().name]
        assert len(seen) == 1

    def test_variables_are_shared_beside_content(self, site, folder):
        seen = []
        result_of(schedule(lambda: seen.append(folder.getId())))
        assert seen == ["folder"]

    def test_locks_and_events_are_shared(self, site):
        event = threading.Event()
        lock = threading.Lock()

        def function():
            with lock:
                event.set()

        finished(schedule(function))
        assert event.is_set()

    def test_content_comes_from_the_connection_of_the_task(self, site, folder):
        jars = result_of(schedule(lambda: (jar_of(folder), task_jar())))
        assert jars[0] == jars[1]
        assert jars[0] != jar_of(folder)

    def test_content_inside_of_variables(self, site, folder):
        inside = {"of": [(folder, 1)]}
        jars = result_of(schedule(lambda: (jar_of(inside["of"][0][0]), task_jar())))
        assert jars[0] == jars[1]

    def test_content_that_an_object_holds(self, site, folder):
        holder = Counting(folder)
        jars = result_of(schedule(lambda: (jar_of(holder.context), task_jar())))
        assert jars[0] == jars[1]
        assert jar_of(holder.context) == jar_of(folder)

    def test_content_in_an_inner_function(self, site, folder):
        def inner():
            return jar_of(folder)

        jars = result_of(schedule(lambda: (inner(), task_jar())))
        assert jars[0] == jars[1]

    def test_default_values(self, site, folder):
        def function(word, content=folder, *, seen=(), other=folder):
            return [word, seen, jar_of(content), jar_of(other), task_jar()]

        word, seen, *jars = result_of(schedule(function, "word"))
        assert (word, seen) == ("word", ())
        assert len(set(jars)) == 1
        assert jars[0] != jar_of(folder)

    def test_recursion(self, site, folder):
        def walk(obj, depth):
            if depth:
                return walk(obj, depth - 1)
            return jar_of(folder) == jar_of(obj) == task_jar()

        assert result_of(schedule(walk, site, 3)) is True

    def test_mutual_recursion(self, site, folder):
        def even(number):
            return odd(number - 1) if number else jar_of(folder) == task_jar()

        def odd(number):
            return even(number - 1) if number else False

        assert result_of(schedule(even, 6)) is True
        assert result_of(schedule(odd, 6)) is False

    def test_a_variable_that_is_not_assigned_yet(self, site):
        def function():
            return later

        task_id = schedule(function)
        later = "assigned"
        assert result_of(task_id) == "assigned"

    def test_a_local_class(self, site):
        class Local:
            def __call__(self):
                return self.word

        local = Local()
        local.word = "local"
        assert result_of(schedule(local)) == "local"

    def test_every_attempt_has_its_own_content(self, site, folder):
        """A conflict repeats the call in another connection."""
        attempts = []

        def function():
            attempts.append(jar_of(folder) == task_jar())
            if len(attempts) < 3:
                raise transaction.interfaces.TransientError()

        assert finished(schedule(function)).state == "succeeded"
        assert attempts == [True, True, True]


class TestRefusedMethods:
    """Where a method cannot be found again by its name, another one would run."""

    @pytest.mark.parametrize("name", ["secret", "above"])
    def test_private_or_shadowed(self, report, name):
        method = getattr(report, name)()
        with pytest.raises(NotPortable, match="cannot be bound again") as caught:
            schedule(method)
        assert "a Report 'A report'" in str(caught.value)
        assert method.__name__ in str(caught.value)

    def test_decorated_under_another_name(self, report):
        with pytest.raises(NotPortable, match=r"wrapper .* cannot be bound again"):
            schedule(report.hidden)

    def test_inside_of_a_partial(self, report):
        with pytest.raises(NotPortable, match="cannot be bound again"):
            schedule(partial(report.secret()))


class TestBadCalls:
    """What could only fail in the task is refused at once."""

    @pytest.mark.parametrize("value", [None, "name.of.function", 7, object()])
    def test_not_callable(self, site, value):
        with pytest.raises(BadCall, match="is not callable"):
            schedule(value)

    def test_a_tool_that_is_not_callable(self, site):
        """Though Python says so of everything that is acquisition-wrapped."""
        assert callable(site.portal_workflow)
        with pytest.raises(BadCall, match="is not callable"):
            schedule(site.portal_workflow)

    def test_missing_argument(self, report):
        with pytest.raises(BadCall, match=r"Report\.own\(\): missing .*'word'"):
            schedule(report.own)

    def test_unknown_argument(self, report):
        with pytest.raises(BadCall, match="unexpected keyword argument 'word'"):
            schedule(report.inherited, word=1)

    def test_too_many_arguments(self, report):
        with pytest.raises(BadCall, match="too many positional arguments"):
            schedule(partial(report.own, 1, 2), 3)

    def test_argument_of_an_object_that_can_be_called(self, site):
        with pytest.raises(BadCall, match="missing"):
            schedule(Multiplier(1))

    @pytest.mark.parametrize("function", [coroutine, Asynchronous()])
    def test_coroutine_function(self, site, function):
        with pytest.raises(BadCall, match="is a coroutine function"):
            schedule(function)
        with pytest.raises(BadCall, match="is a coroutine function"):
            schedule(partial(function))

    @pytest.mark.parametrize(
        "function", [generator, asynchronous_generator, Generating()]
    )
    def test_generator_function(self, site, function):
        with pytest.raises(BadCall, match="is a generator"):
            schedule(function)

    def test_leaves_nothing_behind(self, site):
        before = get_scheduler().count()
        with pytest.raises(BadCall):
            schedule(here, unknown=1)
        transaction.commit()
        assert get_scheduler().count() == before


def test_no_object_crosses_threads_in_a_method(report):
    task_id = schedule(lambda method: jar_of(method.__self__), report.own)
    assert result_of(task_id) != jar_of(report)


class TestLocalClasses:
    """They are shared between threads, so they must not reach any content."""

    def test_objects_may_hold_content(self, site, folder):
        class Local:
            def __init__(self, context):
                self.context = context

            def __call__(self):
                return jar_of(self.context) == task_jar()

        assert result_of(schedule(Local(folder))) is True

    def test_a_class_that_knows_itself(self, site):
        class Base:
            def __call__(self):
                return [Base.__name__]

        class Local(Base):
            def __call__(self):
                return [Local.__name__, *super().__call__()]

        assert result_of(schedule(Local())) == ["Local", "Base"]

    def test_content_in_a_method(self, site, folder):
        class Local:
            def __call__(self):
                return folder.Title()

        with pytest.raises(NotPortable, match=r"class .*Local.*variable 'folder'"):
            schedule(Local())

    def test_content_in_a_property_of_a_base_class(self, site, folder):
        class Base:
            @property
            def context(self):
                return folder

        class Local(Base):
            def __call__(self):
                return self.context.Title()

        with pytest.raises(NotPortable, match="variable 'folder'"):
            schedule(Local())

    def test_content_as_an_attribute(self, site, folder):
        class Local:
            context = folder

            def __call__(self):
                return self.context.Title()

        with pytest.raises(NotPortable, match="a Folder 'A folder' would be shared"):
            schedule(lambda: Local())

    def test_content_in_a_function_that_a_method_calls(self, site, folder):
        def title():
            return folder.Title()

        class Local:
            @staticmethod
            def make():
                return [title()]

        with pytest.raises(NotPortable, match="variable 'folder'"):
            schedule(lambda: Local.make())
