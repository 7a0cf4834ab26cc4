"""The forms that schedule something: this is where a request ends and a task begins.

Nothing starts before the transaction of the request commits, and nothing at all if it
does not. Then the browser is back in the folder, and sees its tasks above the content.
"""

from collective.background import using
from collective.background.browser.forms import ScheduleForm
from countries_demo import _
from countries_demo.database import count_countries
from countries_demo.database import first_codes
from countries_demo.importing import import_country
from zope import schema
from zope.interface import Interface
from zope.interface import Invalid
from zope.interface import invariant


class IImportCountries(Interface):
    number = schema.Int(
        title=_("How many"),
        description=_("They are taken in the order of their names."),
        min=1,
        default=10,
    )

    @invariant
    def are_there_so_many(data):
        available = count_countries()
        if data.number > available:
            raise Invalid(
                _("There are ${number} countries.", mapping={"number": available})
            )


class ImportCountries(ScheduleForm):
    schema = IImportCountries
    label = _("Import countries")
    description = _("Fewer than four are created at once, more in the background.")

    def schedule(self, number):
        # One transaction for five countries: if one conflicts with what others
        # do in the folder, little has to be done again, and the progress is
        # seen while it grows. The queue "imports" has one slot in zope.conf, so
        # imports wait for each other instead of conflicting all the time.
        using(
            title=_("Import of ${number} countries", mapping={"number": number}),
            queue="imports",
        ).schedule_batch(
            import_country, first_codes(number), self.context, size=5, inline_below=4
        )


class IRunView(Interface):
    name = schema.TextLine(
        title=_("Name of the view"),
        description=_("Of this folder, for example folder_contents or @@sitemap."),
        default="folder_contents",
    )


class RunView(ScheduleForm):
    schema = IRunView
    label = _("Run a view")
    description = _("It is called in the background, with your own permissions.")

    def schedule(self, name):
        # Any name will do: the view is published as for its visitor, so what he
        # may not see fails. What is no name at all raises BadOption, which the
        # form shows.
        using(title=name).schedule_view(self.context, name)


class IPostToAddress(Interface):
    url = schema.URI(title=_("Address"), description=_("Of http or https."))


class PostToAddress(ScheduleForm):
    """For managers only, see configure.zcml.

    The server can reach addresses that its visitors cannot, such as a database
    on the same machine. Who chooses an address freely uses the server to get there.
    """

    schema = IPostToAddress
    label = _("Post to an address")
    description = _("Tells a web server about this folder, as JSON.")

    def schedule(self, url):
        # It is sent after the commit, so nobody hears of what did not happen.
        using(title=_("Post to an address")).schedule_request(
            "POST",
            url,
            json={
                "title": self.context.Title(),
                "address": self.context.absolute_url(),
                "items": len(self.context),
            },
        )
