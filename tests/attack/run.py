"""The attack, and what it must not have reached."""

from attack.bystander import Bystander
from attack.weapons import session_of
from attack.weapons import WEAPONS
from collections import Counter
from itertools import count
from pathlib import Path
from threading import Thread

import os
import re
import requests
import secrets


PASSWORD = "a secret of tests"
ATTACKERS = 4  # connections; as many as the server has threads
USUAL = 1_100_000  # bytes of most bodies, which is more than is kept in memory
RARELY = 20  # the largest body comes once in so many times

# What may be more than before, at the most.
FILES = 40  # descriptors: connections, and files of what is done at the moment
OWN = 150_000_000  # bytes of memory, besides what the settings allow
BODIES = 8  # how often a body is in memory while Zope reads and parses it
LOG = 2_000_000  # bytes, and for each call, which is some lines
LOG_OF_A_CALL = 2_000

# All that a request may be answered with; 503 is a full waiting room.
EXPECTED = {200, 202, 204, 302, 400, 401, 403, 404, 413, 503}


def attack(server, folder, *, calls, size, max_bytes):
    """Attack an instance; return what is wrong, as a list of texts.

    ``server``: the Instance; ``folder``: where it has its temporary files, a Path;
    ``calls``: how many requests; ``size``: bytes of the largest body; ``max_bytes``:
    the setting that the instance has.
    """
    attacker, other = (_add_member(server) for _ in range(2))
    bystander = Bystander(server.url, other, PASSWORD)
    bystander.start()
    before = _Sizes(server, folder)
    statuses = _send(server.url, attacker, calls, size)
    bystander.leave()
    after = _Sizes(server, folder)
    exceeded = before.exceeded(
        after,
        memory=OWN + max_bytes + ATTACKERS * BODIES * size,
        files=FILES,
        disk=max_bytes,
        log=LOG + LOG_OF_A_CALL * calls,
    )
    wrong = [*bystander.wrong, *exceeded]
    unexpected = {s: number for s, number in statuses.items() if s not in EXPECTED}
    if unexpected:
        wrong.append(f"requests were answered with {unexpected}")
    if not bystander.times:
        wrong.append("the bystander was never served")
    print(f"answers: {dict(statuses)}; slowest: {bystander.slowest}; {after}")
    return wrong


def _add_member(server):
    """Return his name."""
    name = f"member-{secrets.token_hex(4)}"
    values = {"username": name, "password": PASSWORD, "email": f"{name}@example.org"}
    server.rest("POST", "@users", **values, roles=["Member"])
    return name


def _send(url, user, calls, size):
    """Send so many requests; return how often there was which answer: a Counter."""
    statuses = Counter()
    numbers = count()

    def send():
        session = session_of(user, PASSWORD)
        while (number := next(numbers)) < calls:
            turn, kind = divmod(number, len(WEAPONS))
            weapon = WEAPONS[kind]
            bytes = min(size, USUAL) if turn % RARELY else size
            try:
                status = weapon(session, url, bytes).status_code
            except requests.RequestException as error:
                status = f"{weapon.__name__}: {type(error).__name__}"
            statuses[status] += 1

    threads = [Thread(target=send, daemon=True) for _ in range(ATTACKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


class _Sizes:
    """How much a process needs now: in bytes, and of files their number."""

    def __init__(self, server, folder):
        status = Path(f"/proc/{server.pid}/status").read_text()
        self.memory = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024
        self.files = len(os.listdir(f"/proc/{server.pid}/fd"))
        self.disk = sum(path.stat().st_size for path in folder.rglob("*"))
        self.log = sum(map(len, server.log))

    def exceeded(self, after, **most):
        """Return, as texts, what has grown by more than it may until ``after``."""
        grown = {name: getattr(after, name) - getattr(self, name) for name in most}
        return [
            f"{name} has grown by {grown[name]:,}; {most[name]:,} would be right"
            for name in most
            if grown[name] > most[name]
        ]

    def __str__(self):
        return ", ".join(f"{name} {number:,}" for name, number in vars(self).items())
