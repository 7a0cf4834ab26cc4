"""A person in front of a browser."""

IMPORT = "countries/@@import-countries"


class Person:
    """``page``: what the person looks at; ``errors``: those of its scripts."""

    def __init__(self, context, url):
        self.context = context
        self.url = url
        self.errors = []
        self.page = context.new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def log_in(self, user, password):
        self.page.goto("login")
        self.page.fill("#__ac_name", user)
        self.page.fill("#__ac_password", password)
        self.page.click("button[name='buttons.login']")

    def open(self, path):
        """Go to a page of the site."""
        self.page.goto(path)

    def fill_in(self, path, **fields):
        """Fill in a form of the example add-on, and send it."""
        self.open(path)
        for name, value in fields.items():
            self.page.fill(f"[name='form.widgets.{name}']", str(value))
        self.page.click("[name='form.buttons.start']")

    def import_countries(self, number):
        self.fill_in(IMPORT, number=number)
