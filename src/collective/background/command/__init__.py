"""The console script ``background``: for those who run the site, and their scripts."""
