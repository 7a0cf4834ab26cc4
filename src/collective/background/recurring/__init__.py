"""Recurring tasks: what runs again and again, without cron.

An add-on registers them, with the decorator or in ZCML; each site runs them on
its own account, as a named user. Nothing runs, and nothing is stored, unless an
add-on has registered one.
"""

from collective.background.recurring.control import listing
from collective.background.recurring.control import run_now
from collective.background.recurring.control import switch
from collective.background.recurring.registration import recurring


__all__ = ["listing", "recurring", "run_now", "switch"]
