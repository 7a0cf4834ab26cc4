"""What a running task does at this moment: the stack of its thread.

Comes in: the id of the task. Goes out: a text. Asks Python, and disturbs nobody.
"""

from contextlib import contextmanager
from traceback import format_stack

import sys
import threading


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


def stack_of(queue, id):
    """Return the stack of a task that runs in this process, the innermost call last.

    None if it does not run here.
    """
    name = thread_name(queue, id)
    thread = next((each for each in threading.enumerate() if each.name == name), None)
    frame = thread and sys._current_frames().get(thread.ident)
    return None if frame is None else "".join(format_stack(frame))
