"""A browser with a result that somebody has made in order to attack who looks at it."""

from collective.background import schedule_view
from contextlib import suppress
from helpers import finished
from pathlib import Path
from playwright.sync_api import Error
from plone import api
from plone.app.testing import login
from plone.app.testing import SITE_OWNER_NAME
from plone.namedfile import NamedBlobFile

import pytest
import transaction


pytestmark = pytest.mark.slow

SCRIPT = b"<html><body><script>document.title = 'attacked'</script></body></html>"


@pytest.fixture
def task_id(demo):
    """The id of a manager's task that has the answer of a view with such a file."""
    login(demo["app"], SITE_OWNER_NAME)
    # Browsers split headers at commas, and take the last type.
    file = NamedBlobFile(
        SCRIPT, contentType="application/json;,text/html", filename="evil.json"
    )
    content = api.content.create(demo["portal"], "File", "evil", file=file)
    transaction.commit()
    return finished(schedule_view(content, "@@download/file/evil.json")).id


@pytest.mark.parametrize("path", ["@@background-result/{}", "++api++/@tasks/{}/result"])
def test_runs_no_script_of_it_but_saves_a_file(manager, task_id, path):
    page = manager.page
    # A navigation that becomes a download is an error to Playwright.
    with page.expect_download() as download, suppress(Error):
        page.goto(f"{manager.url}/{path.format(task_id)}")
    assert Path(download.value.path()).read_bytes() == SCRIPT
    assert page.title() != "attacked"
