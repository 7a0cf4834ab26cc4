"""What runs in the background: ordinary code, which knows nothing of tasks.

It is called as the user who scheduled it, on his site, in a transaction; the
same function can be called in a request or in a test.
"""

from countries_demo.database import get_country
from plone import api
from plone.namedfile.file import NamedBlobFile

import csv
import io


CSV_NAME = "subdivisions.csv"


def import_country(code, folder):
    """Create the country in the folder, unless it is there already.

    ``code``: of two letters. Both arguments can be carried to another thread: a
    text as it is, and content as a reference.

    It may be called twice for the same country: after a conflict the work is
    done again, and two editors may import at the same time. So the id is made
    of what identifies a country, and nothing happens when it is taken.
    """
    country = get_country(code)
    country_id = country.alpha_3.lower()
    if country_id in folder:
        return
    content = api.content.create(
        folder,
        "Country",
        id=country_id,
        title=country.name,
        flag=country.flag,
        alpha_2=country.alpha_2,
        alpha_3=country.alpha_3,
        numeric=country.numeric,
        official_name=country.official_name,
    )
    api.content.create(
        content,
        "File",
        id=CSV_NAME,
        title=f"Subdivisions of {country.name}",
        file=NamedBlobFile(
            subdivisions_as_csv(country), contentType="text/csv", filename=CSV_NAME
        ),
    )


def subdivisions_as_csv(country):
    """Return a table of the subdivisions, as bytes."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["code", "name", "type", "parent"])
    for item in country.subdivisions:
        writer.writerow([item.code, item.name, item.type, item.parent_code])
    return table.getvalue().encode("utf-8")
