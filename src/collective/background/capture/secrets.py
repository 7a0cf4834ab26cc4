"""What is a secret: by the name that a value has, or by its place in a text.

Comes in: names and texts. Goes out: whether they may be shown, and what of them. Used
by ``describing``; ``credentials`` has what is not even kept.
"""

import re


HIDDEN = "•••"

# A name with one of these in it is that of a secret, also where words are written
# together ("accesstoken"). "auth" and "cookies" are arguments of requests.
_PASSWORD = r"passw(?:or)?d|passphrase|passcode|passwort|pwd"
_PARTS = re.compile(
    rf"{_PASSWORD}|token|secret|key|auth|cookie|credential|jwt|sessid|sessionid"
)
# These have such a part, and are no secrets.
_FRIENDS = re.compile(
    r"author(?!i[sz])|key(?:board|word|note|stone|pad|hole|frame)"
    r"|(?:mon|don|tur|hoc|joc|whis)key|secretar|tokeni[sz]"
)
# Too short to be looked for in other words: "pin" is in "pinboard".
_WORDS = frozenset({"pw", "pin", "pass", "sid", "sig", "session", "otp"})
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

_IS_PASSWORD = re.compile(_PASSWORD, re.I)

# Of any other header nobody knows what it says.
_KNOWN_HEADERS = frozenset(
    {"accept", "accept-encoding", "accept-language", "cache-control", "content-length"}
    | {"content-disposition", "content-encoding", "content-language", "content-type"}
    | {"date", "depth", "if-match", "if-modified-since", "if-none-match", "pragma"}
    | {"if-unmodified-since", "last-modified", "origin", "prefer", "range"}
    | {"user-agent", "x-requested-with"}
)
_HEADERS = re.compile(r"headers?\Z", re.I)

# In an address: "user:password@", as proxies and databases have it. The password may
# have any of "@:/" in it; a port is none.
_CREDENTIALS = re.compile(r"//(?:[^\s/?#]*|[^\s/:@]++:(?!\d+\b)[^\s@]*+)@")
# A name and what is between it and its value, in a query, a connection string or JSON.
# It begins where a word does, and is not tried from its other letters: texts are long.
_NAME = re.compile(r"""(?<![\w.-])([\w.-]++)["']?\s*(?:=>?|:|%3[Dd])\s*""")
_VALUE = re.compile(
    r""" "(?:[^"\\]|\\.)*"? | '(?:[^'\\]|\\.)*'? | \[[^\]]*\]? | \{[^}]*\}?
    | (?:(?:Bearer|Basic|Digest|Token)\s+)?[^\s&;,\])}"']* """,
    re.X | re.I,
)


def is_secret(name, further=()):
    """Whether a value with this name is not to be shown.

    ``further``: what must not be in the name either; upper and lower case are the
    same.
    """
    name = str(name)
    lower = name.lower()
    return (
        _PARTS.search(_FRIENDS.sub(" ", lower)) is not None
        or any(_is_secret_word(word.lower()) for word in _WORD.findall(name))
        or any(part.lower() in lower for part in further)
    )


def _is_secret_word(word):
    return word in _WORDS or word.removesuffix("s") in _WORDS - {"pass"}


def is_password(name):
    """Whether a value with this name is a password."""
    return _IS_PASSWORD.search(str(name)) is not None


def are_headers(name):
    """Whether the entries of a value with this name are headers of HTTP."""
    return _HEADERS.search(str(name)) is not None


def is_known_header(name):
    """Whether a header may be shown."""
    return str(name).lower().replace("_", "-") in _KNOWN_HEADERS


def without_secrets(text, further=()):
    """Return a text in which the secrets are hidden that can be told as such.

    These are passwords in addresses, and values with the name of a secret before them.
    ``further``: as of ``is_secret``.
    """
    text = _CREDENTIALS.sub(f"//{HIDDEN}@", text)
    parts, end = [], 0
    for found in _NAME.finditer(text):
        if found.start() < end or not is_secret(found[1], further):
            continue
        parts += [text[end : found.end()], HIDDEN]
        end = _VALUE.match(text, found.end()).end()
    return "".join((*parts, text[end:]))
