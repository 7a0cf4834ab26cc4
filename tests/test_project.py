"""The files around the package agree with each other, and the wheel with them."""

from collections import Counter
from collective.background.model.config import Settings
from collective.background.model.loading import PARSERS
from configparser import RawConfigParser
from dataclasses import fields
from distutils.core import run_setup
from importlib.metadata import distributions
from importlib.metadata import metadata
from pathlib import Path

import ast
import pytest
import re
import shutil
import subprocess
import sys
import zipfile


ROOT = Path(__file__).parent.parent
SOURCES = ("setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE", "*.rst")
ENVIRONMENT = re.compile(r"py3(?P<python>\d+)-plone(?P<plone>\d\d)")


@pytest.fixture(scope="session")
def wheel_names(tmp_path_factory):
    """The names of the files in a wheel, built from a copy of the sources."""
    copy = tmp_path_factory.mktemp("sources")
    for pattern in SOURCES:
        for path in ROOT.glob(pattern):
            shutil.copy(path, copy)
    for folder in ("src", "tests", "demo"):
        shutil.copytree(
            ROOT / folder,
            copy / folder,
            ignore=shutil.ignore_patterns("*.egg-info", "__pycache__", "*.mo"),
        )
    build = "from setuptools import build_meta; build_meta.build_wheel('.')"
    subprocess.run([sys.executable, "-c", build], cwd=copy, check=True)
    (wheel,) = copy.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


class TestWheel:
    def test_holds_the_package_only(self, wheel_names):
        strangers = [
            name
            for name in wheel_names
            if not name.startswith("collective/background/")
            and ".dist-info/" not in name
        ]
        assert strangers == []

    def test_holds_translations_that_zope_can_read(self, wheel_names):
        texts = {name for name in wheel_names if name.endswith(".po")}
        compiled = {name for name in wheel_names if name.endswith(".mo")}
        assert texts
        assert compiled == {name.removesuffix(".po") + ".mo" for name in texts}

    def test_holds_every_file_of_the_package(self, wheel_names):
        package = ROOT / "src"
        files = {
            path.relative_to(package).as_posix()
            for path in package.glob("collective/**/*")
            if path.is_file() and path.suffix not in (".pyc", ".pyo", ".mo")
        }
        assert files - set(wheel_names) == set()

    def test_leaves_the_namespace_to_all(self, wheel_names):
        assert "collective/__init__.py" not in wheel_names


class TestClaims:
    """The classifiers name what tox runs, neither more nor less."""

    @pytest.fixture
    def environments(self):
        tox = RawConfigParser()
        tox.read(ROOT / "tox.ini")
        names = tox["tox"]["env_list"].split()
        return [match for name in names if (match := ENVIRONMENT.fullmatch(name))]

    def claimed(self, prefix):
        classifiers = metadata("collective.background").get_all("Classifier")
        pattern = re.compile(rf"{re.escape(prefix)} :: (\d+\.\d+)")
        return {m[1] for name in classifiers if (m := pattern.fullmatch(name))}

    def test_python(self, environments):
        run = {f"3.{match['python']}" for match in environments}
        assert self.claimed("Programming Language :: Python") == run

    def test_plone(self, environments):
        run = {".".join(match["plone"]) for match in environments}
        assert self.claimed("Framework :: Plone") == run


# Each imports only from those in the lines above it.
ROOMS = (
    ("interfaces", "exceptions", "client"),
    ("model",),
    ("zopecompat",),
    ("capture",),
    ("environment",),
    ("running",),
    ("telling",),
    ("executing",),
    ("scheduling",),
    ("memory",),
    ("database",),
    ("celery",),
    ("api",),
    ("recurring",),
    ("deployment",),
    ("__init__",),  # the functions of add-ons
    ("showing",),
    ("browser", "controlpanel", "services"),
    ("testing",),
    # Documented names of what is elsewhere, and what GenericSetup calls.
    ("persistent", "results", "visibility", "setuphandlers"),
    ("command",),
)
LINES = {room: line for line, rooms in enumerate(ROOMS) for room in rooms}


DOTTED = re.compile(r'(?<=[\s"])(?<!installed )[A-Za-z]\w*(?:\.\w+)+')
# By the beginning of a path: the folder of the setup.py, and the extras there.
PLACES = {
    "benchmarks": (ROOT, ("test",)),
    "demo": (ROOT / "demo", ()),
    "demo/ingest": (ROOT, ("celery",)),  # its requirements.txt is not for Plone
    "demo/src/countries_demo/testing.py": (ROOT / "demo", ("test",)),
    "scripts": (ROOT, ("test",)),
    "src": (ROOT, ()),
    "src/collective/background/celery": (ROOT, ("celery",)),
    "src/collective/background/executing/observability.py": (
        ROOT,
        ("observability",),
    ),
    "src/collective/background/telling/observability.py": (
        ROOT,
        ("observability",),
    ),
    "src/collective/background/testing": (ROOT, ("testing",)),
    "tests": (ROOT, ("test",)),
}


class TestRequirements:
    """Whatever is imported is declared, though Plone would bring most of it along."""

    @pytest.fixture(scope="class")
    def owners(self):
        """The names of distributions by the dotted names of their modules."""
        return {
            ".".join(file.with_suffix("").parts).removesuffix(".__init__"): canonical(
                distribution.metadata["Name"]
            )
            for distribution in distributions()
            for file in distribution.files or ()
            if file.suffix == ".py"
        }

    @pytest.mark.parametrize("place", PLACES)
    def test_imports_are_declared(self, owners, place):
        declared = requirements(*PLACES[place])
        missing = {
            (owner, path.relative_to(ROOT).as_posix())
            for path in source_files(ROOT / place)
            if self.place_of(path) == place and path.name != "setup.py"
            for name in imported_names(path)
            if (owner := owner_of(name, owners)) is not None and owner not in declared
        }
        assert missing == set()

    def place_of(self, path):
        path = path.relative_to(ROOT)
        return max(filter(path.is_relative_to, PLACES), key=len)

    def test_tests_of_add_ons_need_little(self):
        assert requirements(ROOT, ("testing",)) - requirements(ROOT, ()) == {
            "plone-app-testing",
            "plone-testing",
        }


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(folder, extras):
    """Return the names of what a distribution needs, with itself and these extras."""
    declared = run_setup(folder / "setup.py", stop_after="init")
    lines = [declared.get_name(), *declared.install_requires]
    lines += [line for extra in extras for line in declared.extras_require[extra]]
    names = {canonical(re.match(r"[\w.-]+", line)[0]) for line in lines}
    if folder != ROOT:
        names |= requirements(ROOT, ("testing",) if extras else ())
    return names


def source_files(path):
    if not path.is_dir():
        return [path]
    return [*sorted(path.rglob("*.py")), *sorted(path.rglob("*.zcml"))]


def imported_names(path):
    """Yield the dotted name of each thing that a file imports, wherever in it.

    Of ZCML that of all that may be one, but for what need not be installed.
    """
    if path.suffix == ".zcml":
        yield from re.findall(
            r'(?<=[\s"])(?<!installed )[A-Za-z]\w*(?:\.\w+)+', path.read_text()
        )
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def owner_of(name, owners):
    """Return the distribution that has a module; None: it is Python's, or ours."""
    if name.partition(".")[0] in sys.stdlib_module_names:
        return None
    while name and name not in owners:
        name = name.rpartition(".")[0]
    return owners.get(name)


class TestRooms:
    """The modules and folders of the package."""

    @pytest.fixture
    def modules(self):
        """The modules, each with the room that it is in."""
        package = ROOT / "src/collective/background"
        return {
            path: path.relative_to(package).parts[0].removesuffix(".py")
            for path in sorted(package.rglob("*.py"))
        }

    def test_each_has_its_place(self, modules):
        assert set(modules.values()) == set(LINES)

    def test_imports_go_one_way(self, modules):
        wrong = [
            f"{path.relative_to(ROOT)}:{line} imports from {other}"
            for path, room in modules.items()
            for line, other in imported_rooms(path)
            if other != room and LINES[other] >= LINES[room]
        ]
        assert wrong == []


def imported_rooms(path):
    """Yield line and room of each import from the package, in functions as well."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno} is a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if f"{name}.".startswith("collective.background."):
                room = [*name.split("."), ""][2]
                yield node.lineno, room if room in LINES else "__init__"


def test_the_client_has_the_version_of_the_package():
    versions = {
        run_setup(folder / "setup.py", stop_after="init").get_version()
        for folder in (ROOT, ROOT / "client")
    }
    assert len(versions) == 1


def test_the_settings_in_the_skeleton_are_the_defaults():
    """`make start` writes a zope.conf that shows them, commented out."""
    conf = (ROOT / "demo/skeleton/etc/zope.conf.in").read_text()
    section = re.search(r"<product-config \S+>(.*?)</product-config>", conf, re.S)[1]
    shown = dict(re.findall(r"^ *# (\w+) (\S+)$", section, re.M))
    defaults = {
        field.name: field.default
        for field in fields(Settings)
        if isinstance(field.default, int | float)
    }
    read = {name: PARSERS[type(defaults[name])][1] for name in shown}
    assert {name: read[name](value) for name, value in shown.items()} == defaults


def test_modules_of_tests_have_names_of_their_own():
    """pytest imports them by these alone, from whatever folder they are in."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, number in names.items() if number > 1] == []
