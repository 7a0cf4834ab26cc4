"""Tracebacks for who reads them: what is of an add-on, without all that is around it.

Comes in: a traceback, as Python writes it. Goes out: a shorter text.
"""

import re
import sysconfig


# Where a frame of Python is; and which packages are Zope's and Plone's, those below
# them, or Celery's.
STANDARD_LIBRARY = sysconfig.get_path("stdlib") + "/"
FRAMEWORK = re.compile(
    r"/(?:src|site-packages)/collective/background/"
    r"|/site-packages/(?:AccessControl|Acquisition|App|BTrees|Chameleon|chameleon"
    r"|DateTime|Missing|OFS|Products/(?:BTreeFolder2|CMF\w+|DCWorkflow|Five"
    r"|GenericSetup|MailHost|PageTemplates|Plone\w+|PluggableAuthService|ZCatalog)"
    r"|Shared|ZODB|ZPublisher|Zope2|billiard|celery|five|kombu|persistent|plone"
    r"|transaction|waitress|decorator|dm|webob|z3c|zExceptions|zodbpickle|zope)(?:/|\.py)"
)
FRAME = re.compile(r'  File "([^"]+)", line \d+')
OMITTED = "  …\n"


def own_frames(traceback):
    """Return a traceback without the frames of Python, Zope, Plone, Celery and ours.

    "" if all of them are; what is left out becomes a line with three dots.
    """
    lines, has_own, is_omitted = [], False, False
    for line in traceback.splitlines(keepends=True):
        frame = FRAME.match(line)
        if frame is not None:
            is_omitted = is_of_framework(frame[1])
            has_own |= not is_omitted
            if is_omitted and lines[-1:] != [OMITTED]:
                lines.append(OMITTED)
        elif not line.startswith("    "):
            is_omitted = False
        if not is_omitted:
            lines.append(line)
    return "".join(lines) if has_own else ""


def is_of_framework(path):
    """Whether a file is one of Python, Zope, Plone, Celery or this package."""
    is_standard = path.startswith(STANDARD_LIBRARY) and "/site-packages/" not in path
    return is_standard or path.startswith("<") or bool(FRAMEWORK.search(path))
