"""What all other tests of clusters rely on: instances do share a database."""

import pytest
import requests


pytestmark = pytest.mark.slow


def add(instance, title):
    instance.rest("POST", "", **{"@type": "Document", "title": title})


def test_what_one_instance_has_written_the_other_one_reads(cluster):
    a, web = cluster.run(a={}, web={"role": "web"})
    add(a, "of the first")
    assert "of the first" in web.titles()
    add(web, "of the second")
    assert "of the second" in a.titles()


def test_an_instance_that_was_killed_comes_back_to_what_was_committed(cluster):
    a, web = cluster.run(a={}, web={"role": "web"})
    add(a, "before the end")
    a.kill()
    add(web, "meanwhile")
    (a,) = cluster.run(a={})
    assert {"before the end", "meanwhile"} <= set(a.titles())


@pytest.mark.parametrize(
    ("point", "is_there"), [("request-voted", False), ("request-committed", True)]
)
def test_what_a_killed_process_leaves_depends_on_the_commit_alone(
    cluster, point, is_there
):
    """The faults that other tests use are where their names say."""
    a, web = cluster.run(a={}, web={"role": "web"})
    title = f"killed at {point}"
    a.die_at(point)
    with pytest.raises(requests.ConnectionError):
        a.get("probe-create", title=title)
    a.has_ended()
    assert (title in web.titles()) is is_there
