"""Tasks that wait for the test: functions of a module, as they have to be."""

from collective.background import current_task
from plone import api
from zope.globalrequest import getRequest

import logging


gates = None  # set by the fixture of that name


def gated(result=None):
    gates.begun.set()
    assert gates.opened.wait(60)
    return result


def gated_until_cancelled():
    gates.begun.set()
    while not gates.opened.wait(0.01):
        current_task().check_cancelled()


def report(context):
    """Tell all that a task can tell, then wait."""
    task = current_task()
    task.progress(3, 10, "almost a third")
    task.message("so far so good")
    logging.getLogger("an.add-on").warning("something odd")
    gated()
    api.portal.show_message("Done")


def show(text):
    """What a visitor would see on the next page, and nothing else."""
    api.portal.show_message(text)


def leave_cookie():
    """In a response that nobody gets."""
    getRequest().response.setCookie("seen", "yes")


def create(folder, id):
    return api.content.create(folder, "Document", id)


def fail(context=None):
    if context is not None:
        context.title = "changed"
    raise ValueError("it went wrong")


def note(record):
    """A callback."""
    api.portal.get().description = f"{record.title}: {record.state}"
