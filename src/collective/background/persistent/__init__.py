"""Names of what is in ``database/``: the documented ones, and one in old databases."""
