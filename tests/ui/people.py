"""A person in front of a browser, and what is found out about pages."""

from playwright.sync_api import expect


IMPORT = "countries/@@import-countries"

# Every violation of the Content-Security-Policy: the directive, and what is refused:
# an address, or the beginning of what is inline.
NOTE_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  const { effectiveDirective, blockedURI, sample } = event;
  window.violations.push(`${effectiveDirective}: ${blockedURI} ${sample}`);
});
"""

# Rule and element of every violation that axe finds in a part of the page.
RUN_AXE = """
async (part) => {
  const { violations } = await axe.run(part);
  return violations.flatMap((rule) => rule.nodes.map((n) => `${rule.id}: ${n.html}`));
}
"""


class Person:
    """``page``: what the person looks at; ``errors``: those of its scripts."""

    def __init__(self, context, url):
        self.context = context
        self.url = url
        self.errors = []
        self.page = context.new_page()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.add_init_script(NOTE_VIOLATIONS)

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

    def inaccessible(self, axe, part):
        """Return what axe (its source) finds in a part of the page, a CSS selector.

        In light and in dark mode.
        """
        # Not as an element of the page: its policy could refuse it.
        self.page.evaluate(axe)
        found = []
        for theme in ("light", "dark"):
            self.page.evaluate(
                "(theme) => document.documentElement.dataset.bsTheme = theme", theme
            )
            found += [f"{theme}: {v}" for v in self.page.evaluate(RUN_AXE, part)]
        return found

    def refused(self):
        """Return what the Content-Security-Policy has refused in the page, as a set."""
        self.page.wait_for_load_state("networkidle")
        return set(self.page.evaluate("window.violations"))


def tasks(person, task_id=None):
    """The tasks that a person sees, or one of them."""
    which = f"='{task_id}'" if task_id else ""
    return person.page.locator(f"[data-task-id{which}]")


def expect_state(task, state):
    """Wait until it is seen that a task is in a state."""
    expect(task).to_have_attribute("data-task-state", state)
