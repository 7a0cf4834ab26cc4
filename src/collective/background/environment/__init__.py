"""The side of the thread: what is rebuilt there."""
