"""
Redaction, first level: values under a telling name, and texts that look like a credential, never leave the process.

Two questions, in this order: may this be dirty at all (`is_suspect`), and, only then, what exactly (`Redactor`)? The
first is asked of every record, so it is made of searches for one character, which cost nothing, and behind each of
them a few searches for a marker.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

MARK: Final = "[redacted]"
LONGEST_NAME: Final = 200

_NAMES: Final = re.compile(
    r"""(?<![a-z])(
          pass(word|wd|phrase|code) | pwd | secrets? | credentials? | creds | auth(orization|entication)?
        | (access|refresh|auth|id|session|api|bearer|csrf|xsrf)_?tokens?
        | (?<!max_)token(?!s|_(count|limit|usage|budget))
        | (api|access|private|secret|signing|encryption|ssh|service_account)_?keys?
        | (set_)?cookies? | session(_?id)? | jwt | otp | cvv | ssn | (credit_?)?card_?number | connection_?string | dsn
    )(?![a-z])""",
    re.VERBOSE,
)
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


# A value in quotes goes to its closing quote, which is escaped as the opening one is; a bare one to the next delimiter.
_NAMED_VALUE: Final = (
    r"(?i)(?P<keep>(?:pass(?:word|wd|phrase)|pwd|secret|token|(?:api|access|private|secret|signing)[_-]?key)"
    r"\\*[\"']?\s*[=:]\s*(?P<quote>\\*[\"'])?)(?!\[redacted\])"
    r"(?(quote)(?:(?!(?P=quote))(?:\\.|.))+|(?!(?:null|none|true|false)\b)[^\s\"',;&)}\]\\]{3,})"
)
_AUTHORIZATION: Final = (
    r"(?i)(?P<keep>\bauthorization\\*[\"']?\s*[=:]\s*(?:\\*[\"'])?(?:(?:token|bearer|basic|digest|apikey|key)\s+)?+)"
    r"(?!\[redacted\])[^\s\"',;)}\]\\]{3,}"
)
_NAME_MARKERS: Final = (
    *("assw", "ASSW", "assW", "assp", "ASSP", "pwd", "PWD", "Pwd", "ecret", "ECRET", "oken", "OKEN"),
    *("key", "Key", "KEY", "uthorization", "UTHORIZATION"),
)
_USER_MARKERS: Final = ("-u ", "-u'", '-u"', "-u\\", "-user ", "-user=")
_GITHUB_MARKERS: Final = ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")
_PATTERNS: Final = (
    (("AKIA", "ASIA"), r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    (("AIza",), r"\bAIza[0-9A-Za-z_-]{30,}"),
    (_GITHUB_MARKERS, r"\bgh[pousr]_[A-Za-z0-9]{20,}"),
    (("github_pat_",), r"\bgithub_pat_[A-Za-z0-9_]{20,}"),
    (("k_live_",), r"\b[sr]k_live_[A-Za-z0-9_-]{16,}"),
    (("npm_",), r"\bnpm_[A-Za-z0-9]{20,}"),
    (("hf_",), r"\bhf_[A-Za-z0-9]{20,}"),
    (("fwk_",), r"\bfwk_[a-z0-9._-]+_[A-Za-z0-9_-]{6,}"),
    (("sk-",), r"\bsk-[A-Za-z0-9_-]{16,}"),
    (("glpat-",), r"\bglpat-[A-Za-z0-9_-]{16,}"),
    (("xox",), r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    # A key that was cut has no END line.
    (("KEY-----",), r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
    (("eyJ",), r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){1,4}"),
    (("hooks.slack.com",), r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]{10,}"),
    (("://",), r"(?P<keep>[a-zA-Z][a-zA-Z0-9+.-]{0,40}://[^\s:/@\"']{0,256}:)[^\s/\"']{1,1024}(?=@)"),
    (("earer ",), r"(?i)(?P<keep>\bbearer )[A-Za-z0-9._~+/=-]{8,}"),
    (("asic ",), r"(?P<keep>\b[Bb]asic )(?=\S*[A-Z0-9=])[A-Za-z0-9+/=]{12,}"),
    # curl's way to log in; `docker run -u 1000:1000` is no login.
    (
        _USER_MARKERS,
        r"(?P<keep>(?<![\w-])(?:-u|--user)[ =]?\\*[\"']?(?!\d+:\d+\b)[^\s:/\"'\\]{1,256}:)[^\s\"'\\]{1,1024}",
    ),
    (("uthorization", "UTHORIZATION"), _AUTHORIZATION),
    (_NAME_MARKERS, _NAMED_VALUE),
)
"""What credentials look like, each behind the markers without which a text does not hold one."""
_COMPILED: Final = tuple((markers, re.compile(expression)) for markers, expression in _PATTERNS)


def is_suspect(text: str) -> bool:
    """Whether this text may hold a credential by its look; False is certain, True is only a reason to look."""
    return _has_shape(text) or (("=" in text or ":" in text) and _has_name(text))


def is_suspect_json(text: str) -> bool:
    """The same of a whole value encoded as JSON without blanks, whose own `":"` are not a reason to look."""
    # In encoded text a name and its value are parted by `=`, by a colon behind no quote, or by an escaped quote.
    return _has_shape(text) or (("=" in text or "\\" in text or text.count(":") > text.count('":')) and _has_name(text))


def _has_shape(text: str) -> bool:
    # The markers of `_PATTERNS`, each behind a rarer character of its own: written out, because every record asks.
    return (
        (
            "-" in text
            and (
                "sk-" in text
                or "xox" in text
                or "glpat-" in text
                or "KEY-----" in text
                or ("-u" in text and _has_user(text))
            )
        )
        or ("_" in text and ("fwk_" in text or "k_live_" in text or "github_pat_" in text or _has_prefix(text)))
        or ("A" in text and ("AKIA" in text or "ASIA" in text or "AIza" in text))
        or ("J" in text and "eyJ" in text)
        or ("@" in text and "://" in text)
        or ("/" in text and "hooks.slack.com" in text)
        or (" " in text and ("earer " in text or "asic " in text))
    )


def _has_name(text: str) -> bool:
    return any(map(text.__contains__, _NAME_MARKERS))


def _has_user(text: str) -> bool:
    return any(map(text.__contains__, _USER_MARKERS))


def _has_prefix(text: str) -> bool:
    return "npm_" in text or "hf_" in text or ("gh" in text and any(map(text.__contains__, _GITHUB_MARKERS)))


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether a value under this name is a secret whatever it looks like: `api_key`, `dbPassword`; not `author`."""
    return len(name) <= LONGEST_NAME and _NAMES.search(_HUMP.sub("_", name).lower().replace("-", "_")) is not None


class Redactor:
    """Replaces what must not leave the process, and counts."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def text(self, text: str) -> str:
        """The text with each credential in it replaced by the mark; what introduces it (`Bearer `, `user:`) is kept."""
        for markers, expression in _COMPILED:
            if any(map(text.__contains__, markers)):
                text, found = expression.subn(_marked, text)
                self.count += found
        return text


def redact_text(text: str) -> tuple[str, int]:
    """The text without credentials, and how many there were."""
    if not is_suspect(text):
        return text, 0
    redactor = Redactor()
    return redactor.text(text), redactor.count


def _marked(match: re.Match[str]) -> str:
    return (match.groupdict().get("keep") or "") + MARK
