"""The text of files, as far as the standard library can read them."""

from collective.background.client import TaskFailed
from html.parser import HTMLParser
from io import BytesIO
from xml.etree import ElementTree
from zipfile import BadZipFile
from zipfile import ZipFile


# Where documents have their text, by their types.
PARTS = {
    "application/vnd.oasis.opendocument.text": "content.xml",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": (
        "word/document.xml"
    ),
}
LARGEST = 50_000_000  # bytes of that, unpacked


def text_of(content, content_type):
    """Return the text of a file; ``content``: bytes. Raises TaskFailed."""
    if content_type == "text/html":
        return _text_of_html(content.decode(errors="replace"))
    if content_type.startswith("text/"):
        return content.decode(errors="replace")
    if content_type in PARTS:
        return _text_of_document(content, PARTS[content_type])
    raise TaskFailed(f"Files of the type {content_type} cannot be read.")


class _Reader(HTMLParser):
    HIDDEN = ("script", "style", "head")

    def __init__(self):
        super().__init__()
        self.texts = []
        self._hidden = 0

    def handle_starttag(self, tag, attributes):
        self._hidden += tag in self.HIDDEN

    def handle_endtag(self, tag):
        self._hidden -= tag in self.HIDDEN and self._hidden > 0

    def handle_data(self, text):
        if not self._hidden:
            self.texts.append(text)


def _text_of_html(page):
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return " ".join(reader.texts)


def _text_of_document(content, part):
    try:
        with ZipFile(BytesIO(content)) as archive:
            if archive.getinfo(part).file_size > LARGEST:
                raise TaskFailed("The document is too large.")
            root = ElementTree.fromstring(archive.read(part))
    except (BadZipFile, KeyError, ElementTree.ParseError):
        raise TaskFailed("The document is damaged.") from None
    return " ".join(root.itertext())
