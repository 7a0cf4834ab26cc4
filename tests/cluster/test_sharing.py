"""What all other tests of clusters rely on: instances do share a database."""

import pytest
import requests


pytestmark = pytest.mark.slow


def titles(instance):
    """Return the titles of the content of the site, as an instance sees it."""
    return [item["title"] for item in instance.rest("GET", "")["items"]]


def add(instance, title):
    instance.rest("POST", "", **{"@type": "Document", "title": title})


def test_what_one_instance_has_written_the_other_one_reads(cluster):
    a, b = cluster.run(a={}, b={})
    add(a, "of the first")
    assert "of the first" in titles(b)
    add(b, "of the second")
    assert "of the second" in titles(a)


def test_an_instance_that_was_killed_comes_back_to_what_was_committed(cluster):
    a, b = cluster.run(a={}, b={})
    add(a, "before the end")
    a.kill()
    add(b, "meanwhile")
    (a,) = cluster.run(a={})
    assert {"before the end", "meanwhile"} <= set(titles(a))


@pytest.mark.parametrize(
    ("point", "is_there"), [("request-voted", False), ("request-committed", True)]
)
def test_what_a_killed_process_leaves_depends_on_the_commit_alone(
    cluster, point, is_there
):
    """The faults that other tests use are where their names say."""
    a, b = cluster.run(a={}, b={})
    title = f"killed at {point}"
    a.die_at(point)
    with pytest.raises(requests.ConnectionError):
        a.get("probe-create", title=title)
    a.has_ended()
    assert (title in titles(b)) is is_there


@pytest.mark.parametrize("shared_cluster", ["zeo", "postgresql"], indirect=True)
def test_the_server_of_the_database_may_be_restarted(cluster):
    a, b = cluster.run(a={}, b={})
    cluster.storage.stop()
    cluster.storage.start()
    cluster.storage.is_back(a, b)
    add(a, "after the restart")
    assert "after the restart" in titles(b)


@pytest.mark.parametrize("shared_cluster", ["zeo"], indirect=True)
def test_a_full_disk_refuses_to_be_written_on_and_can_be_read(cluster):
    a, b = cluster.run(a={}, b={})
    cluster.storage.fill_disk()
    with pytest.raises(requests.HTTPError, match="File too large"):
        add(a, "too much")
    assert "too much" not in titles(b)
    cluster.storage.free_disk()
    add(a, "with room again")
    assert "with room again" in titles(b)
