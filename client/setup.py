"""The client for workers without Plone, as a distribution of its own.

Its source is in the package itself. What is above it there, which imports Plone, is a
namespace here.
"""

from setuptools import setup


setup(
    name="collective.background.client",
    version="1.0.0a1.dev0",
    description="Reports of workers without Plone to collective.background",
    author="collective.background contributors",
    license="GPL-2.0-only",
    package_dir={"": "../src"},
    packages=["collective.background.client"],
    # Not beside that of the package.
    options={"egg_info": {"egg_base": "."}},
    python_requires=">=3.11",
    install_requires=["requests"],
)
