"""What is done in one request with tasks, where the request itself matters."""

from collective.background import current_task
from collective.background import group
from collective.background import schedule
from collective.background import using
from instance_probe.tasks import answer
from instance_probe.tasks import write
from plone import api
from plone.protect.interfaces import IDisableCSRFProtection
from Products.Five import BrowserView
from ZODB.POSException import ConflictError
from zope.interface import alsoProvides

import logging
import transaction


logger = logging.getLogger(__name__)

_conflicted = set()


class Contract(BrowserView):
    """Does one of the following with a task of this mark; most answer with its id."""

    def __call__(self, how, mark):
        alsoProvides(self.request, IDisableCSRFProtection)
        return getattr(self, how)(mark)

    def abort(self, mark):
        """Schedule it, and fail."""
        using(title=mark).schedule(write, self.context, mark)
        raise ValueError("the request fails")

    def savepoint(self, mark):
        """Schedule it after a savepoint, and one before; go back to that."""
        id = using(title=f"{mark} before").schedule(write, self.context, mark)
        savepoint = transaction.savepoint()
        using(title=f"{mark} after").schedule(write, self.context, mark)
        savepoint.rollback()
        return id

    def conflict(self, mark):
        """Schedule it in a request that conflicts, and so is repeated."""
        id = using(title=mark).schedule(write, self.context, mark)
        if mark not in _conflicted:
            _conflicted.add(mark)
            raise ConflictError
        return id

    def gone(self, mark):
        """Schedule it with content that is deleted in the same transaction."""
        folder = api.content.create(self.context, "Folder", mark)
        transaction.commit()
        id = using(title=mark).schedule(answer, folder, mark)
        api.content.delete(folder)
        return id

    def callback(self, mark):
        """Let another task follow."""
        calls = using(title=mark, on_success=follow)
        return calls.schedule(answer, self.context, mark)

    def group(self, mark):
        """Schedule three as a group; answer with its id."""
        with group(title=mark) as tasks:
            for number in range(3):
                schedule(write, self.context, f"{mark} {number}")
        return tasks.id


def follow(record):
    write(api.portal.get(), f"{record.title} was followed")


class Undo(BrowserView):
    """Undoes the transactions which have a text in their notes; answers how many."""

    def __call__(self, text):
        alsoProvides(self.request, IDisableCSRFProtection)
        database = self.context._p_jar.db()
        found = [
            entry["id"]
            for entry in database.undoLog(0, 1000)
            if text in str(entry["description"])
        ]
        database.undoMultiple(found)
        return str(len(found))


def published(event):
    """Log that what follows a successful request is done for a task."""
    task = current_task()
    if task is not None:
        logger.info("success of %s is published", task.id)
