"""Of a traceback the add-on's own frames come first."""

from collective.background.model.tracebacks import own_frames


SITE = "/opt/plone/lib/python3.11/site-packages"


def frame(path, name):
    return f'  File "{path}", line 7, in {name}\n    {name}()\n    ^^^^^^\n'


OWN = frame(f"{SITE}/shop/stock.py", "import_row")
OTHER = frame("/home/me/src/shop/names.py", "check")
ZOPE = frame(f"{SITE}/ZPublisher/mapply.py", "mapply")
CELERY = frame(f"{SITE}/celery/app/trace.py", "trace_task")
BILLIARD = frame(f"{SITE}/billiard/pool.py", "workloop")
PLONE = frame(f"{SITE}/plone/api/content.py", "create")
OURS = frame("/src/collective/background/running/runner.py", "run")
START = "Traceback (most recent call last):\n"
END = "ValueError: row 7 has no name\n    at all\n"


def test_frames_of_the_framework_are_left_out():
    text = START + OURS + ZOPE + OWN + PLONE + OTHER + END
    dots = "  …\n"
    assert own_frames(text) == START + dots + OWN + dots + OTHER + END


def test_so_are_those_of_celery_below_a_task():
    text = BILLIARD + CELERY + OURS + OWN + OURS
    assert own_frames(text) == "  …\n" + OWN + "  …\n"
    assert own_frames(BILLIARD + CELERY + OURS) == ""


def test_all_tracebacks_of_a_chain_are_there():
    between = "\nThe above exception was the direct cause of the following:\n\n"
    text = START + ZOPE + OWN + END + between + START + ZOPE + END
    dots = "  …\n"
    assert own_frames(text) == START + dots + OWN + END + between + START + dots + END


def test_without_own_frames_there_is_nothing():
    assert own_frames(START + ZOPE + PLONE + END) == ""


def test_python_itself_is_of_the_framework():
    import json

    assert own_frames(START + frame(json.__file__, "loads") + END) == ""


def test_what_is_no_traceback_is_nothing():
    assert own_frames("") == own_frames("(its traceback cannot be had)") == ""
