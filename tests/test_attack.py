"""One member attacks a site with all that he has: others do not notice."""

from attack.run import attack

import pytest


pytestmark = pytest.mark.slow

MAX_BYTES = 20_000_000


@pytest.mark.parametrize("kept_in", ["memory", "database"])
def test_a_small_attack(serve, tmp_path, monkeypatch, kept_in):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    server = serve(max_bytes=MAX_BYTES, max_waiting=200)
    if kept_in == "database":
        server.get("probe-persist")
    sizes = {"calls": 200, "size": 5_000_000, "max_bytes": MAX_BYTES}
    assert attack(server, tmp_path, **sizes) == []
