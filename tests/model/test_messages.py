"""Texts that come in from outside are plain ones from there on."""

from collective.background.model.messages import _
from collective.background.model.messages import MAX_VALUES
from collective.background.model.messages import portable_key
from collective.background.model.messages import portable_line
from collective.background.model.messages import portable_text
from collective.background.model.messages import TEXT_LENGTH
from collective.background.model.messages import TITLE_LENGTH
from lxml import etree
from zope.i18n import translate
from zope.i18nmessageid import Message

import pytest


FUNCTIONS = (portable_text, portable_line)


class Text(str):
    """A text of some library's own class."""

    def __str__(self):
        return self


class Content:
    def __str__(self):
        return Text("A\nfolder")


@pytest.fixture(params=FUNCTIONS)
def portable(request):
    return request.param


def is_plain(text):
    text.encode()
    return type(text) is str


class TestTexts:
    def test_a_usual_one_stays_what_it_is(self, portable):
        text = "Größe: 3 × 4 “cm”, 👩‍🚀"  # noqa: RUF001
        assert portable(text) == text

    @pytest.mark.parametrize(
        ("given", "text"),
        [
            (Text("abc"), "abc"),
            (etree.XML("<a>b</a>").xpath("string()"), "b"),
            (7, "7"),
            (None, "None"),
            (b"abc", "b'abc'"),
            ("\udcff.csv", "\\udcff.csv"),
            ("a\x00b\x1b[31mc", "a b [31mc"),
            ("txt\u202efdp", "txt fdp"),
        ],
    )
    def test_an_odd_one_becomes_plain(self, portable, given, text):
        found = portable(given)
        assert found == text
        assert is_plain(found)

    def test_lines_stay_in_texts_only(self):
        given = "one\r\ntwo\n\tthree\u2028four\x85five "
        assert portable_text(given) == "one\ntwo\n\tthree four five "
        assert portable_line(given) == "one two three four five"

    @pytest.mark.parametrize("unit", ["x", "\udcff", "\n"])
    def test_megabytes_are_cut(self, unit):
        assert len(portable_text(unit * 3_000_000)) <= TEXT_LENGTH
        assert len(portable_line(f"x{unit * 3_000_000}")) <= TITLE_LENGTH

    def test_what_is_cut_says_so(self, portable):
        assert portable("abcdefgh", 5) == "abcd…"


class TestMessages:
    """They stay Messages, so that whoever reads them does so in his language."""

    def test_without_values(self, portable):
        message = portable(_("Import"))
        assert (message, message.domain) == ("Import", "collective.background")

    def test_their_parts_are_plain(self, portable):
        inner = _("part of ${x}", mapping={"x": Content()})
        given = Message(
            "m\ud800",
            domain="an.add-on",
            default=Text("${a} ${b}"),
            mapping={"a": Text("one"), "b": inner, "n": 7, "none": None},
            msgid_plural="ms",
            default_plural="many",
            number=3,
        )
        message = portable(given)
        assert (message, message.domain) == ("m\\ud800", "an.add-on")
        assert type(message.default) is type(message.mapping["a"]) is str
        assert type(message.mapping["b"].mapping["x"]) is str
        assert (message.mapping["n"], message.mapping["none"]) == (7, None)
        plural = (message.msgid_plural, message.default_plural, message.number)
        assert plural == ("ms", "many", 3)

    @pytest.mark.parametrize("value", [True, 10**30, float("nan"), float("inf"), 1e30])
    def test_odd_numbers_are_texts(self, portable, value):
        mapping = portable(_("${n}", mapping={"n": value})).mapping
        assert mapping == {"n": str(value)}

    def test_values_of_megabytes_are_cut(self, portable):
        values = {f"n{number}": "x" * 1_000_000 for number in range(100)}
        text = " ".join(f"${{{name}}}" for name in values)
        message = portable(_(text[:200], mapping=values))
        assert len(message.mapping) <= MAX_VALUES
        assert len(translate(message)) <= 2 * TEXT_LENGTH + MAX_VALUES

    def test_a_line_stays_one_when_it_is_translated(self):
        message = portable_line(_("Copy of ${what}", mapping={"what": "a\nb"}))
        assert translate(message) == "Copy of a b"


class TestKeys:
    def test_nothing_is_left_out(self):
        key = portable_key(Text("a\n\x00\udcff" + "x" * 10_000))
        assert key == "a\n\x00\\udcff" + "x" * 10_000
        assert is_plain(key)
