"""Users who look at the site over HTTP, and what they find on its pages."""

from bs4 import BeautifulSoup
from helpers import PASSWORD

import requests


VIEWLET = "#background-tasks"
TASKS = "@@background-tasks"
ACTION = "@@background-task-action"


class Visitor(requests.Session):
    """A user of the site at ``url``, or nobody. Addresses are paths below it."""

    def __init__(self, url, user_id=None):
        super().__init__()
        self.url = url
        if user_id is not None:
            self.auth = (user_id, PASSWORD)

    def request(self, method, path, **kwargs):
        return super().request(method, f"{self.url}/{path}", **kwargs)

    def see(self, path=""):
        """Return what a page has in it, as the visitor finds it."""
        return BeautifulSoup(self.get(path).text, "lxml")

    def tasks(self, path=""):
        """Return the tasks that the opened tray of a page shows, by their ids."""
        return tasks_in(self.poll(path=path))

    def poll(self, etag=None, path="", **params):
        """Ask for the tray as the script of a page does."""
        headers = {"If-None-Match": etag} if etag else {}
        path = f"{path}/{TASKS}".removeprefix("/")
        return self.get(
            path,
            params={"ajax_load": "1", **params},
            headers=headers,
            allow_redirects=False,
        )

    def form_of(self, task_id, path=""):
        """Return the fields of the form of a task, but for its buttons."""
        inputs = self.tasks(path)[task_id].select("form input")
        return {field["name"]: field["value"] for field in inputs}

    def act(self, task_id, action, path="", headers=None, **changed):
        """Press a button of a task."""
        form = {**self.form_of(task_id, path), "action": action, **changed}
        return self.post(ACTION, data=form, headers=headers, allow_redirects=False)


def tasks_in(answer):
    """Return the tasks in an answer, by their ids."""
    page = BeautifulSoup(answer.text, "lxml")
    return {
        task["data-task-id"]: task for task in page.select(f"{VIEWLET} [data-task-id]")
    }


def text(task, field):
    """Return what is in a place of an item."""
    return task.select_one(f"[data-field={field}]").text.strip()


def buttons(task):
    """Return what the buttons that are shown would do."""
    return [b["value"] for b in task.select("button") if not b.has_attr("hidden")]
