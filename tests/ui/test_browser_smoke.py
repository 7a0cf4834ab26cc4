"""The example add-on in a browser."""

from people import expect_state
from people import tasks
from playwright.sync_api import expect

import pytest


pytestmark = pytest.mark.slow


# One class: the layer is set up once for it.
class TestSmoke:
    def test_an_editor_logs_in_and_imports(self, editor, gate):
        expect(editor.page.get_by_role("link", name="editor1")).to_be_visible()
        editor.import_countries(10)
        assert editor.page.url == f"{editor.url}/countries"
        expect(tasks(editor)).to_contain_text("Import of 10 countries")
        gate.let(6)
        # Of the first five, since it is of each transaction.
        progress = tasks(editor).get_by_role("progressbar")
        expect(progress).to_have_attribute("value", "50")
        gate.open()
        expect_state(tasks(editor), "succeeded")
        expect(editor.page.locator("#content")).to_contain_text("Afghanistan")

    def test_what_a_visitor_writes_is_no_script(self, editor):
        editor.fill_in("countries/@@run-view", name="<script>throw 1</script>")
        expect(tasks(editor)).to_contain_text("<script>throw 1")
