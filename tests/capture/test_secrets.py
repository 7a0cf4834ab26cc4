"""What is a secret, and what of texts may be shown."""

from collective.background.capture.secrets import HIDDEN
from collective.background.capture.secrets import is_known_header
from collective.background.capture.secrets import is_secret
from collective.background.capture.secrets import without_secrets

import pytest


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            *("password", "oldPassword", "PASSWD", "user_pwd", "pw", "pw2", "pass"),
            *("token", "accesstoken", "csrf-token", "secrets", "clientSecret"),
            *("key", "keys", "apikey", "X-API-Key", "sort_key", "privatekey"),
            *("auth", "oauth", "Authorization", "_authenticator", "authorised_by"),
            *("cookie", "cookies", "credential", "credentials", "jwt", "id_jwt"),
            *("pin", "userPIN", "pins", "sid", "sids", "sig", "X-Sig", "session"),
            *("sessionId", "PHPSESSID", "passphrase", "otp", "author_key"),
        ],
    )
    def test_of_secrets(self, name):
        assert is_secret(name)

    @pytest.mark.parametrize(
        "name",
        [
            *("author", "authors", "co_author_id", "authority", "keyboard", "keyword"),
            *("pinboard", "spinner", "opinion", "monkey", "turkey", "secretary"),
            *("side", "inside", "signal", "design", "passage", "passport", "powder"),
            *("obsession", "tokenizer", "title", "1", "", "passes"),
        ],
    )
    def test_of_everyday(self, name):
        assert not is_secret(name)

    def test_further_ones(self):
        assert is_secret("IBAN_of_ann", ["iban"])

    def test_headers_are_shown_that_are_known(self):
        assert is_known_header("Content-Type")
        assert not is_known_header("X-Sesame")


class TestTexts:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("see https://ann:p@ss@example.com/x", "see https://•••@example.com/x"),
            ("postgres://ann:p/w@example.com/db", "postgres://•••@example.com/db"),
            ("https://example.com/?a=1&token=x%20y&b=2", "/?a=1&token=•••&b=2"),
            ("host=db password=geheim user=ann", "host=db password=••• user=ann"),
            ("password='two words', a=1", "password=•••, a=1"),
            ('{"password": "ge\\"heim", "a": 1}', '{"password": •••, "a": 1}'),
            ('{"tokens": ["geheim", "x"], "a": 1}', '{"tokens": •••, "a": 1}'),
            ("Authorization: Bearer geheim", "Authorization: •••"),
            ("next=%2Fx%3Ftoken%3Dgeheim", "token%3D•••"),
        ],
    )
    def test_secrets_are_hidden(self, text, shown):
        found = without_secrets(text)
        assert "geheim" not in found
        assert found.endswith(shown)

    @pytest.mark.parametrize(
        "text",
        [
            "http://localhost:8080/Plone/@@view?author=Ann",
            "mailto:ann@example.com",
            "https://example.com/@@search?sort_on=date",
            "three tokens of ann@example.com",
            "",
        ],
    )
    def test_all_else_stays(self, text):
        assert without_secrets(text) == text

    def test_what_is_hidden_has_no_length(self):
        assert without_secrets("pw=1") == without_secrets("pw=12345") == f"pw={HIDDEN}"


@pytest.mark.parametrize("unit", ["a", "a.", '"', "a=1&", "//"])
def test_long_texts_are_no_trap(unit):
    """It takes as long as they are, and not as long as their square."""
    text = unit * 300_000
    assert without_secrets(text) == text
