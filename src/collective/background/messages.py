"""The translation domain of the package."""

from zope.i18nmessageid import MessageFactory


_ = MessageFactory("collective.background")
