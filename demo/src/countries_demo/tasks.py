"""The page that lists a user's tasks."""

from collective.background.states import UNFINISHED
from collective.background.visibility import visible_records
from countries_demo import _
from Products.Five import BrowserView


REFRESH = 3  # seconds

# The title of a state, and the colour that Bootstrap has for it.
STATES = {
    "queued": (_("Waiting"), "secondary"),
    "running": (_("Running"), "primary"),
    "retrying": (_("Waiting for another attempt"), "warning"),
    "succeeded": (_("Done"), "success"),
    "failed": (_("Failed"), "danger"),
    "cancelled": (_("Cancelled"), "secondary"),
    "lost": (_("Lost: the server was stopped"), "danger"),
}


class MyTasks(BrowserView):
    """``tasks`` are plain values: what there was to know when the page was made."""

    def __call__(self):
        # Not get_scheduler().records(): that has everybody's.
        self.tasks = [self.describe(record) for record in visible_records()]
        if any(task["record"].state in UNFINISHED for task in self.tasks):
            self.request.response.setHeader("Refresh", str(REFRESH))
        return self.index()

    def describe(self, record):
        state, colour = STATES[record.state]
        done, total = record.progress.done, record.progress.total
        # A path, not the object: that may be gone by now.
        path = record.context_path
        return {
            "record": record,
            "state": state,
            "colour": colour,
            "url": path and self.request.physicalPathToURL(path),
            "percent": int(100 * done / total) if total else None,
        }
