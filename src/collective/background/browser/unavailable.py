"""The page for who wants something in the background, and nothing more is taken."""

from collective.background.showing.unavailable import answer_unavailable
from Products.CMFPlone.browser.exceptions import ExceptionView


class UnavailableView(ExceptionView):
    """Called by the publisher for an Unavailable, with which a request ends."""

    def __call__(self):
        answer_unavailable(self.request, self.context)
        return super().__call__()
