"""The translations are complete, and say what the texts of the package say."""

from collective.background import interfaces
from collective.background.showing.presentation import STATE_LABELS
from i18ndude.catalog import MessageCatalog
from pathlib import Path
from zope.i18n import translate

import pytest
import re
import subprocess
import sys


I18NDUDE = Path(sys.executable).parent / "i18ndude"
PACKAGE = Path(interfaces.__file__).parent
LOCALES = PACKAGE / "locales"
DOMAIN = "collective.background"
LANGUAGES = sorted(path.parts[-3] for path in LOCALES.glob("*/LC_MESSAGES/*.po"))
VARIABLE = re.compile(r"\$\{(\w+)\}")


def read(path):
    """Return {text: translation} of a catalogue."""
    catalogue = MessageCatalog(filename=str(path))
    return {entry.msgid: entry.msgstr for entry in catalogue.values() if entry.msgid}


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """All texts in the sources."""
    path = tmp_path_factory.mktemp("locales") / "now.pot"
    collect = [I18NDUDE, "rebuild-pot", "--pot", path, "--create", DOMAIN, PACKAGE]
    subprocess.run(collect, check=True, capture_output=True)
    return set(read(path))


def catalogue(language):
    return LOCALES / language / "LC_MESSAGES" / f"{DOMAIN}.po"


def test_languages():
    assert LANGUAGES == ["de", "en"]


def test_the_template_has_all_texts(texts):
    """If not: `make i18n`."""
    assert set(read(LOCALES / f"{DOMAIN}.pot")) == texts


@pytest.mark.parametrize("language", LANGUAGES)
class TestCatalogue:
    def test_has_all_texts_and_no_others(self, texts, language):
        assert set(read(catalogue(language))) == texts

    def test_has_the_variables_of_the_texts(self, language):
        for text, translation in read(catalogue(language)).items():
            if translation:
                assert set(VARIABLE.findall(translation)) == set(VARIABLE.findall(text))

    def test_nothing_is_uncertain(self, language):
        assert "#, fuzzy" not in catalogue(language).read_text()


def test_german_is_complete():
    missing = [text for text, german in read(catalogue("de")).items() if not german]
    assert missing == []


def test_buttons_begin_in_upper_case():
    """What comes first is what is seen; the name of what it is for is only heard."""
    german = read(catalogue("de"))
    buttons = [text for text in german if re.fullmatch(r"[A-Z][\w ]*\$\{name\}", text)]
    assert "Pause${name}" in buttons
    assert [german[text] for text in buttons if not german[text][0].isupper()] == []


def test_the_texts_themselves_are_english():
    """The catalogue says only that English is spoken: visitors who prefer it would
    get their second language otherwise."""
    assert set(read(catalogue("en")).values()) == {""}


@pytest.mark.parametrize("label", STATE_LABELS.values())
def test_the_site_speaks_both_languages(portal, label):
    assert translate(label, target_language="en") == label
    assert translate(label, target_language="de") != label
