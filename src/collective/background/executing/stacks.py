"""What a running task does at this moment: the stack of its thread.

Comes in: the id of the task. Goes out: a Stack. Asks Python, and disturbs nobody.
"""

from collective.background.model.messages import portable_text
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from datetime import UTC
from itertools import dropwhile
from pathlib import Path
from traceback import format_stack

import os
import sys
import threading


LENGTH = 20_000  # characters; of what is longer the innermost calls are kept
# Where tasks are run: what is outside of that is the thread's own affair, or Celery's.
RUNNING = str(Path(__file__).parents[1] / "running") + os.sep


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """``text``: as Python writes it, the innermost call last; ``taken``: when, aware.

    ``is_current``: whether it is that of now, as the task runs in this process.
    """

    text: str
    taken: datetime
    is_current: bool = False


def thread_name(queue, id):
    """Return what the thread of a task is called. ``queue``: its name."""
    return f"background-{queue}-{id}"


@contextmanager
def named_thread(queue, id):
    """Let this thread be called that within a ``with`` block."""
    thread = threading.current_thread()
    before, thread.name = thread.name, thread_name(queue, id)
    try:
        yield
    finally:
        thread.name = before


def stack_now(queue, id):
    """Return the Stack of a task that runs in this process.

    None if it does not run here.
    """
    name = thread_name(queue, id)
    thread = next((each for each in threading.enumerate() if each.name == name), None)
    frame = thread and sys._current_frames().get(thread.ident)
    if frame is None:
        return None
    calls = format_stack(frame)
    calls = [*dropwhile(lambda call: RUNNING not in call, calls)] or calls
    text = "".join(calls)[-LENGTH:]
    text = portable_text(text, LENGTH)
    return Stack(text=text, taken=datetime.now(UTC), is_current=True)
