"""What is done by a worker without Plone: see ``demo/ingest``."""

from collective.background import schedule_external
from countries_demo import _
from plone import api
from Products.Five import BrowserView


QUEUE = "ingest"  # of the broker


class Summarize(BrowserView):
    """Lets the worker read a file, and write what is in it into its description."""

    def __call__(self):
        portal = api.portal.get()
        path = self.context.absolute_url()[len(portal.absolute_url()) :]
        schedule_external(
            "ingest.summarize",
            # The address of the REST API, whatever is in front of Plone.
            {"url": f"{portal.absolute_url()}/++api++{path}"},
            title=_("Summary of ${title}", mapping={"title": self.context.Title()}),
            celery_queue=QUEUE,
        )
        self.request.response.redirect(f"{self.context.absolute_url()}/view")
        return ""
