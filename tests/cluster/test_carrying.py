"""What is carried to another process: new files, and what no catalog knows."""

import pytest


pytestmark = pytest.mark.slow


@pytest.mark.parametrize("size", [5, 200_000])
def test_new_files_and_objects_that_no_catalog_knows_arrive(instances, size):
    _, web = instances
    task_id = web.get("probe-carry", mark=f"carried-{size}", size=size).text
    assert web.wait(task_id)["error"] is None
    assert f"a.bin {size} /Plone/carried-{size}/plain" in web.marks()
    result, exception = web.scheduler("get_result", task_id)
    assert result.startswith("<plone.namedfile.file.NamedBlobFile")
    assert exception is None
