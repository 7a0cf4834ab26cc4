"""Callbacks and tasks with a name, and what they have told."""

from plone import api


told = []  # (what, title, state) of each callback


def succeeded(record):
    told.append(("success", record.title, record.state))


def failed(record):
    told.append(("failure", record.title, record.state))


def user_of(record):
    told.append(("user", record.title, api.user.get_current().getId()))


def fail(text="it went wrong"):
    raise ValueError(text)
