"""Schedules of recurring tasks, as people say them."""

from collective.background.recurring.schedules import make_schedule
from collective.background.showing.schedules import in_words
from datetime import timedelta
from zope.i18n import translate

import pytest


@pytest.mark.parametrize(
    ("schedule", "english", "german"),
    [
        ("0 3 * * *", "every day at 03:00", "jeden Tag um 03:00"),
        ("* * * * *", "every minute", "jede Minute"),
        ("*/15 * * * *", "every 15 minutes", "alle 15 Minuten"),
        ("5 * * * *", "every hour at minute 5", "jede Stunde in Minute 5"),
        ("5 */2 * * *", "every 2 hours at minute 5", "alle 2 Stunden in Minute 5"),
        ("30 6 * * 1-5", "Monday to Friday at 06:30", "Montag bis Freitag um 06:30"),
        ("30 6 * * 1", "every Monday at 06:30", "jeden Montag um 06:30"),
        ("30 6 * * 7", "every Sunday at 06:30", "jeden Sonntag um 06:30"),
        (
            "0 12 1 * *",
            "on day 1 of each month at 12:00",
            "am 1. jedes Monats um 12:00",
        ),
        (timedelta(minutes=90), "every 90 minutes", "alle 90 Minuten"),
        (timedelta(hours=1), "every hour", "jede Stunde"),
        (timedelta(days=2), "every 2 days", "alle 2 Tage"),
        (timedelta(seconds=45), "every 45 seconds", "alle 45 Sekunden"),
        # What is not usual stays an expression.
        ("*/7 * * * *", None, None),
        ("0 */5 * * *", None, None),
        ("0 3 * 6 *", None, None),
        ("0 3 13 * 5", None, None),
    ],
)
def test_in_words(site, schedule, english, german):
    words = in_words(str(make_schedule(schedule)))
    for language, expected in (("en", english), ("de", german)):
        text = words and translate(words, target_language=language)
        assert text == expected
