"""What happens every night, without cron: configure.zcml says when, and as whom."""

from collective.background import message
from collective.background import track
from countries_demo import _
from countries_demo.database import get_country
from plone import api


def update_countries():
    """Give each country of the site the names that it has in the database now."""
    updated = 0
    for brain in track(api.content.find(portal_type="Country")):
        content = brain.getObject()
        country = get_country(content.alpha_2)
        if (content.title, content.official_name) != (
            country.name,
            country.official_name,
        ):
            content.title = country.name
            content.official_name = country.official_name
            content.reindexObject()
            updated += 1
    message(_("Countries with another name: ${number}", mapping={"number": updated}))
