"""The states of a task, and which one may follow which."""

from collective.background.exceptions import IllegalTransition
from collective.background.model import states
from itertools import product

import pytest


LEGAL = {
    ("queued", "running"),
    ("queued", "cancelled"),
    ("queued", "lost"),
    ("running", "retrying"),
    ("running", "succeeded"),
    ("running", "failed"),
    ("running", "cancelled"),
    ("running", "lost"),
    ("retrying", "running"),
    ("retrying", "failed"),
    ("retrying", "cancelled"),
    ("retrying", "lost"),
    ("failed", "queued"),
    ("cancelled", "queued"),
    ("lost", "queued"),
}


@pytest.mark.parametrize(("old", "new"), sorted(LEGAL))
def test_legal_transitions(old, new):
    assert states.check_transition("an-id", old, new) is None


@pytest.mark.parametrize(
    ("old", "new"), sorted(set(product(states.STATES, states.STATES)) - LEGAL)
)
def test_all_others_are_illegal(old, new):
    expected = f"task an-id is {old} and cannot become {new}"
    with pytest.raises(IllegalTransition, match=expected):
        states.check_transition("an-id", old, new)


def test_the_error_says_what_is_possible():
    with pytest.raises(IllegalTransition, match=r"there: queued$"):
        states.check_transition("an-id", "failed", "running")
    with pytest.raises(IllegalTransition, match=r"nothing: it is final$"):
        states.check_transition("an-id", "succeeded", "queued")


def test_a_state_is_finished_or_not():
    assert set(states.STATES) == states.FINISHED | states.UNFINISHED
    assert set() == states.FINISHED & states.UNFINISHED
    assert {"queued", "running", "retrying"} == states.UNFINISHED
