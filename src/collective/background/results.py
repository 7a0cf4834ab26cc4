"""Where results of tasks are found: the documented name of ``showing/results.py``."""

from collective.background.showing.results import content_url
from collective.background.showing.results import download_url
from collective.background.showing.results import is_for_people
from collective.background.showing.results import result_page


__all__ = ["content_url", "download_url", "is_for_people", "result_page"]
