"""The side of the request: what is taken along."""
