"""Functions to run again and again; they note that they were called."""

from collective.background import current_task
from plone import api
from threading import Event


TIMEOUT = 60

made = []  # by whom, where


def tidy():
    """Note who runs it in which site."""
    user = api.user.get_current().getId()
    made.append((user, api.portal.get().getId()))


def other():
    made.append("other")


def fail():
    raise ValueError("it does not work")


def with_arguments(context):
    """Not something that can run without them."""


class Gate:
    """``task`` runs until the gate is opened."""

    begun = Event()
    opened = Event()


def wait_at_gate():
    Gate.begun.set()
    assert Gate.opened.wait(TIMEOUT)
    made.append(current_task().id)
