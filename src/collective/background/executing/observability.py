"""Health in the form of plone.observability, for its probes.

Registered only where that package is installed; nothing else imports it.
"""

from collective.background.executing.health import live
from collective.background.executing.health import ready
from plone.observability.interfaces import ILivenessCheck
from plone.observability.interfaces import IReadinessCheck
from zope.interface import implementer


@implementer(ILivenessCheck)
class LivenessCheck:
    name = "collective.background"

    def __call__(self):
        return live()


@implementer(IReadinessCheck)
class ReadinessCheck:
    name = "collective.background"

    def __call__(self):
        return ready()
