"""What the add-on's views and content are registered for."""

from countries_demo import _
from plone.supermodel import model
from zope import schema
from zope.publisher.interfaces.browser import IDefaultBrowserLayer


class ICountriesDemoLayer(IDefaultBrowserLayer):
    """Marks requests to sites in which the add-on is installed."""


class ICountry(model.Schema):
    """A country as ISO 3166-1 knows it. Its name is the title."""

    flag = schema.TextLine(title=_("Flag"))
    alpha_2 = schema.TextLine(title=_("Code of two letters"), max_length=2)
    alpha_3 = schema.TextLine(title=_("Code of three letters"), max_length=3)
    numeric = schema.TextLine(title=_("Number"), max_length=3)
    official_name = schema.TextLine(title=_("Official name"), required=False)
