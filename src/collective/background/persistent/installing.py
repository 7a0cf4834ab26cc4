"""Switching a site to tasks in the database: the documented name of
``database/installing.py``."""

from collective.background.database.installing import install
from collective.background.database.installing import uninstall


__all__ = ["install", "uninstall"]
