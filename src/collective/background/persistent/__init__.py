"""Documented names of what is in ``database/`` now."""
