"""The example add-on; it is not part of the distribution collective.background."""

from setuptools import find_packages
from setuptools import setup


setup(
    name="countries-demo",
    version="1.0",
    description="An example for collective.background: countries as content",
    license="GPL-2.0-only",
    packages=find_packages("src"),
    package_dir={"": "src"},
    include_package_data=True,
    package_data={"countries_demo": ["*.pt", "*.zcml", "profiles/**/*.xml"]},
    python_requires=">=3.11",
    install_requires=[
        "collective.background",
        "plone.api",
        "plone.app.contenttypes",
        "plone.base",
        "plone.classicui",
        "plone.distribution",
        "plone.namedfile",
        "plone.supermodel",
        "Products.GenericSetup",
        "pycountry",
        "sqlalchemy",
        "transaction",
        "Zope",
        "zope.component",
        "zope.i18nmessageid",
        "zope.interface",
        "zope.publisher",
        "zope.schema",
        "zope.sqlalchemy",
    ],
    extras_require={"test": ["collective.background[testing]"]},
    entry_points={
        "z3c.autoinclude.plugin": ["target = plone"],
    },
)
