"""Metadata and dependencies of collective.background."""

from pathlib import Path
from setuptools import find_namespace_packages
from setuptools import setup
from setuptools.command.build_py import build_py


here = Path(__file__).parent
long_description = "\n\n".join(
    (here / name).read_text(encoding="utf-8") for name in ("README.rst", "CHANGES.rst")
)


class BuildWithTranslations(build_py):
    """Also makes, of the translations, the files that Zope reads (*.mo)."""

    def run(self):
        # Not at the top: a reader of the metadata needs no build requirements.
        from pythongettext.msgfmt import Msgfmt

        for catalogue in (here / "src").glob("**/LC_MESSAGES/*.po"):
            with catalogue.open("rb") as texts:
                compiled = Msgfmt(texts).getAsFile().read()
            catalogue.with_suffix(".mo").write_bytes(compiled)
        super().run()


# What sends tasks to workers of Celery, and what these need.
CELERY = ["billiard", "celery[redis]>=5.7", "kombu", "redis"]

# What ``collective.background.testing`` needs, for the tests of add-ons.
TESTING = [
    "plone.app.testing",
    "plone.testing",
]


setup(
    name="collective.background",
    version="1.0.0a1.dev0",
    description="Background tasks for Plone that run in threads of its own process",
    long_description=long_description,
    long_description_content_type="text/x-rst",
    author="collective.background contributors",
    license="GPL-2.0-only",
    license_files=["LICENSE"],
    keywords="Plone background task queue thread asynchronous transaction",
    # Python and Plone versions are those of the environments in tox.ini.
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Environment :: Web Environment",
        "Framework :: Plone",
        "Framework :: Plone :: 6.1",
        "Framework :: Plone :: 6.2",
        "Framework :: Plone :: Addon",
        "Framework :: Plone :: Classic UI",
        "Framework :: Zope :: 5",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
    ],
    packages=find_namespace_packages("src"),
    package_dir={"": "src"},
    include_package_data=True,
    cmdclass={"build_py": BuildWithTranslations},
    zip_safe=False,
    python_requires=">=3.11",
    install_requires=[
        "AccessControl",
        "Acquisition",
        "BTrees",
        "cronsim",
        "DateTime",
        "dm.zodb.asynchronous",
        "persistent",
        "plone.api",
        "plone.app.event",
        "plone.app.layout",
        "plone.app.registry",
        "plone.app.uuid",
        "plone.autoform",
        "plone.base",
        "plone.batching",
        "plone.behavior",
        "plone.browserlayer",
        "plone.i18n",
        "plone.keyring",
        "plone.protect",
        "plone.registry",
        "plone.resource",
        "plone.rest",
        "plone.restapi",
        "plone.transformchain",
        "plone.uuid",
        "plone.z3cform",
        "Products.CMFCore",
        "Products.CMFPlone",
        "Products.GenericSetup",
        "Products.PluggableAuthService",
        "Products.statusmessages",
        "Products.ZCatalog",
        "requests",
        "transaction",
        "z3c.form",
        "zc.lockfile",
        "ZConfig",
        "zExceptions",
        "ZODB",
        "Zope",
        "zope.annotation",
        "zope.component",
        "zope.configuration",
        "zope.event",
        "zope.globalrequest",
        "zope.i18n",
        "zope.i18nmessageid",
        "zope.interface",
        "zope.intid",
        "zope.processlifetime",
        "zope.publisher",
        "zope.schema",
        "zope.security",
        "zope.traversing",
    ],
    extras_require={
        "celery": CELERY,
        # needs Plone 6.2
        "observability": ["plone.observability"],
        "testing": TESTING,
        # of the package itself
        "test": [
            *TESTING,
            *CELERY,
            "attrs",
            "beautifulsoup4",
            "docutils",
            "five.localsitemanager",
            "gunicorn",
            "hypothesis",
            "i18ndude",
            "lxml",
            "Pillow",
            "playwright",
            "plone.app.multilingual",
            "plone.app.redirector",
            "plone.app.textfield",
            "plone.app.theming",
            "plone.autoinclude",
            "plone.cachepurging",
            "plone.classicui",
            "plone.dexterity",
            "plone.formwidget.namedfile",
            "plone.locking",
            "plone.namedfile",
            "Products.MailHost",
            "Products.PluggableAuthService",
            "Products.PythonScripts",
            "pytest",
            "pytest-cov",
            "pytest-plone",
            "pytest-xdist",
            "PyYAML",
            "redis",
            "setuptools",
            "waitress",
            "z3c.caching",
            "z3c.relationfield",
            "WebTest",
            "zodbpickle",
            "zope.keyreference",
            "zope.lifecycleevent",
            "zope.site",
            "zope.testrunner",
            # databases that several instances share
            "RelStorage",
            "ZEO",
            "psycopg2-binary",
            # of the example add-on, which is tested as well
            "pycountry",
            "sqlalchemy",
            "zope.sqlalchemy",
        ],
    },
    entry_points={
        "console_scripts": ["background = collective.background.command.main:main"],
        "z3c.autoinclude.plugin": ["target = plone"],
    },
)
