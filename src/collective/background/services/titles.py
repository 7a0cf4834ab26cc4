"""What a call of the REST API is called as a task: in words, where there are some.

Comes in: the content, the request, and the names that have led from there to the
service. Goes out: a title. In it is what the user has sent himself, and the title of
content only if he may view that. Called by ``respond_async``.
"""

from collective.background.model.messages import _
from plone import api
from plone.restapi.deserializer import json_body
from plone.restapi.exceptions import DeserializationError
from zope.component.hooks import getSite
from zope.i18nmessageid import Message


LARGEST_BODY = 1_000_000  # bytes; a longer one is not read only for its title

# By the method and the service; "" is that of the content itself. Of those that have
# a source: for one thing, and for several.
FROM_ELSEWHERE = {
    ("POST", "@copy"): (
        _("Copying an item to ${path}"),
        _("Copying ${number} items to ${path}"),
    ),
    ("POST", "@move"): (
        _("Moving an item to ${path}"),
        _("Moving ${number} items to ${path}"),
    ),
}
OF_CONTENT = {
    ("DELETE", ""): _("Deleting “${title}”"),
    ("PATCH", ""): _("Changing “${title}”"),
    ("PATCH", "@history"): _("Putting “${title}” back to a former version"),
    ("POST", "@sharing"): _("Sharing “${title}”"),
}
# By the id of the transition; those of Plone's own workflows.
TRANSITIONS = {
    "publish": _("Publishing “${title}”"),
    "reject": _("Sending “${title}” back"),
    "retract": _("Retracting “${title}”"),
    "submit": _("Submitting “${title}” for publication"),
}
OTHER_TRANSITION = _("Changing the state of “${title}”: ${transition}")


def title_of(context, request, steps):
    """Return a Message, or a text as ``POST /folder/@listing`` for what has no words.

    ``steps``: the names below ``context``, a list of texts.
    """
    name, *further = steps or [""]
    call = request.method, name
    if call in FROM_ELSEWHERE:
        return _from_elsewhere(FROM_ELSEWHERE[call], context, request)
    if call == ("POST", ""):
        return _adding(context, request)
    if call == ("POST", "@workflow") and further:
        message = TRANSITIONS.get(further[0], OTHER_TRANSITION)
        return _filled(message, title=_name(context), transition=further[0])
    if call in OF_CONTENT:
        return _filled(OF_CONTENT[call], title=_name(context))
    return f"{request.method} {_path(context, *steps)}"


def _from_elsewhere(texts, context, request):
    source = _body(request).get("source")
    number = len(source) if isinstance(source, list) else 1
    one, several = texts
    text = one if number == 1 else several
    return _filled(text, number=number, path=_path(context))


def _adding(context, request):
    title = _body(request).get("title")
    if isinstance(title, str) and title:
        return _filled(
            _("Adding “${title}” to ${path}"), title=title, path=_path(context)
        )
    return _filled(_("Adding an item to ${path}"), path=_path(context))


def _filled(text, **values):
    return Message(text, mapping=values)


def _path(context, *steps):
    """Return where it is in the site, as ``/folder``."""
    above = len(getSite().getPhysicalPath())
    return "/" + "/".join((*context.getPhysicalPath()[above:], *steps))


def _name(context):
    """Return the title of content, or its id, which is in the address."""
    is_visible = api.user.has_permission("View", obj=context)
    return (is_visible and context.Title()) or context.getId()


def _body(request):
    """Return the fields of the body; none if it is no JSON, long, or nested deeply."""
    if int(request.environ.get("CONTENT_LENGTH") or 0) > LARGEST_BODY:
        return {}
    try:
        return json_body(request)
    except (DeserializationError, RecursionError):
        return {}
