"""Attempts: how each kind of call is made, and what its code sees."""
