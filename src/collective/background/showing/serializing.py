"""Records as JSON, for REST and for the console script.

Comes in: a TaskRecord that ``visibility.py`` has let through. Goes out: what
``json.dumps`` takes, under the names of the record's attributes.
"""

from dataclasses import asdict
from datetime import datetime
from plone.restapi.serializer.converters import json_compatible
from zope.i18n import translate


# What is raised for a value that cannot be JSON: of another class, a number with
# thousands of digits or that is none, what contains itself.
NO_JSON = (TypeError, ValueError, RecursionError)


# For managers, and of one task at a time.
TRAIL = ("began", "timeline", "interventions")


def serialize(record, request):
    """Return a dictionary of a TaskRecord, without its trail; see ``trail``.

    Times are in ISO 8601; what is for people is in the language of the request.
    ``wait_time`` and ``run_time`` are seconds.
    """
    values = asdict(record) | {
        "title": translate(record.title, context=request),
        "error": record.error and serialize_error(record.error, request),
        "wait_time": record.wait_time,
        "run_time": record.run_time,
    }
    return {name: _value(values[name]) for name in values if name not in TRAIL}


def serialize_error(error, request):
    """Return a dictionary of an ErrorInfo, its texts in the language of the request."""
    return asdict(error) | {
        "message": translate(error.message, context=request),
        "public": error.public and translate(error.public, context=request),
    }


def _value(value):
    # Not by json_compatible: that leaves out fractions of a second.
    return value.isoformat() if isinstance(value, datetime) else json_compatible(value)
