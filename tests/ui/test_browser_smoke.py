"""The example add-on in a browser."""

from playwright.sync_api import expect

import pytest


pytestmark = pytest.mark.slow


# One class: the layer is set up once for it.
class TestSmoke:
    def test_an_editor_logs_in_and_imports(self, editor, gate):
        expect(editor.page.get_by_role("link", name="editor1")).to_be_visible()
        editor.import_countries(10)
        assert editor.page.url == f"{editor.url}/@@my-tasks"
        tasks = editor.page.locator("#tasks")
        expect(tasks).to_contain_text("Import of 10 countries")
        gate.let(6)
        # Of the first five, since it is of each transaction.
        expect(tasks.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "5")
        gate.open()
        expect(tasks).to_contain_text("Done")
        editor.open("countries")
        expect(editor.page.locator("#content")).to_contain_text("Afghanistan")

    def test_what_a_visitor_writes_is_no_script(self, editor):
        editor.fill_in("countries/@@run-view", name="<script>throw 1</script>")
        expect(editor.page.locator("#tasks")).to_contain_text("<script>throw 1")
