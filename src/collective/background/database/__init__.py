"""The scheduler that keeps tasks in the ZODB, for all instances of a site."""
