"""The control panel as a manager has it over HTTP, without a browser."""

from bs4 import BeautifulSoup
from urllib.parse import urlsplit


LIST = "@@background-tasks-controlpanel"


class Panel:
    """``site``: the Site that is asked; ``shown``: the page that was opened last."""

    def __init__(self, site):
        self._site = site
        self.shown = None

    def open(self, path=LIST):
        """Go to a page of the site, or to an address that a page has; return self."""
        self.shown = self._read(self._site.request("GET", self._path(path)))
        return self

    def follow(self, selector):
        """Go where a link of the page leads to; return self."""
        return self.open(self.find(selector)["href"])

    def press(self, button, **fields):
        """Send the form of a button; return what the next page tells of it.

        ``button``: its CSS selector; ``fields``: what is chosen in the form.
        """
        pressed = self.find(button)
        form = pressed.find_parent("form")
        chosen = [
            (each["name"], each["value"]) for each in form.select("[type=hidden]")
        ]
        chosen += [(name, each) for name, many in fields.items() for each in many]
        if "name" in pressed.attrs:
            chosen.append((pressed["name"], pressed["value"]))
        answer = self._site.request("POST", self._path(form["action"]), data=chosen)
        self.shown = self._read(answer)
        return self.text("#global_statusmessage")

    def find(self, selector):
        """Return the first element that has a CSS selector."""
        found = self.shown.select_one(selector)
        assert found is not None, (
            f"no {selector} in {self.shown.select_one('#content')}"
        )
        return found

    def text(self, selector):
        return " ".join(self.find(selector).get_text(" ").split())

    def texts(self, selector):
        """Return the texts of all such elements, as a list."""
        found = self.shown.select(selector)
        return [" ".join(each.get_text(" ").split()) for each in found]

    def ids(self):
        """Return the ids of the tasks and groups in the rows of the list."""
        return [row["data-task-id"] for row in self.shown.select("tr[data-task-id]")]

    def _path(self, address):
        parts = urlsplit(address)
        path = parts.path.removeprefix(urlsplit(self._site.url).path).lstrip("/")
        return f"{path}?{parts.query}" if parts.query else path

    def _read(self, answer):
        return BeautifulSoup(answer.text, "lxml")
