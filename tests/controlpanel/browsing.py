"""A user with a browser, as he looks at the control panel."""

from bs4 import BeautifulSoup
from helpers import PASSWORD
from plone.testing.zope import Browser
from urllib.parse import urlsplit

import transaction


LIST = "@@background-tasks-controlpanel"


class User:
    """A user of the site, or nobody, with a browser.

    ``contents``: what the browser shows.
    """

    def __init__(self, layer, user_id=None, accept="text/html"):
        self.url = layer["portal"].absolute_url()
        self.browser = Browser(layer["app"])
        self.browser.raiseHttpErrors = False
        self.browser.addHeader("Accept", accept)
        if user_id is not None:
            self.browser.addHeader("Authorization", f"Basic {user_id}:{PASSWORD}")

    def open(self, path=LIST):
        """Go to a page of the site; return the user."""
        transaction.commit()
        self.browser.open(f"{self.url}/{path}")
        return self

    def look(self, path=LIST):
        """See what a page of the control panel has of its own; return the user.

        This is sooner there than what Plone puts around it.
        """
        return self.open(path + ("&" if "?" in path else "?") + "ajax_load=1")

    def post(self, path, form):
        """Send a form without having seen it."""
        transaction.commit()
        self.browser.post(f"{self.url}/{path}", form)
        return self

    def press(self, name, value, **fields):
        """Press the button with this name and value, in its form.

        ``fields``: what is chosen in the form, by the names of its fields.
        """
        buttons = [b["value"] for b in self.find_all(f"button[name={name}]")]
        for field, chosen in fields.items():
            self.browser.getControl(name=field).value = chosen
        index = buttons.index(value)
        self.browser.getControl(name=name, index=index).click()
        return self

    @property
    def contents(self):
        return self.browser.contents

    @property
    def status(self):
        return int(self.browser.headers["status"].split()[0])

    @property
    def was_refused(self):
        """Whether Plone asks who the user is, or says that he may not."""
        page = urlsplit(self.browser.url).path.rsplit("/", 1)[-1]
        return page in ("login", "require_login", "insufficient-privileges")

    def find_all(self, selector):
        """Return the elements of the page that have a CSS selector."""
        return BeautifulSoup(self.contents, "lxml").select(selector)

    def find(self, selector):
        found = self.find_all(selector)
        return found[0] if found else None

    def texts(self, selector):
        """Return the texts of these elements, without white space around."""
        return [
            " ".join(element.get_text(" ").split())
            for element in self.find_all(selector)
        ]

    def ids(self):
        """Return the ids of the tasks in the list."""
        return [row["data-task-id"] for row in self.find_all("tr[data-task-id]")]
