"""
Suspicion: whether a text may hold a credential at all; False is certain, True is only a reason to look.

Every record asks, so it costs next to nothing: a search for one character, and only where it is found a look at what
stands beside it. Searching a long text for one word takes as long as cutting it at every `_`, and there are many words.
"""

from __future__ import annotations

import re
from typing import Final

from forewarn.credentials import IN_NAMES, name_of_secret

_BEFORE_UNDERSCORE: Final = frozenset(
    {"ghp", "gho", "ghu", "ghs", "ghr", "npm", "fwk", "lsa", "glc", "gsk", "sec", "us+", "eu+", "dop", "doo", "dor"}
    | {"pat", "pca", "ppa", "pss", "rys", "ryu", "sv2", "ive", "est"}
)
"""Ends of what stands before the `_` of a token: `ghp_`, `glsa_`, `whsec_`, `pdus+_`, `sntrys_`, `sk_live_`."""
_BEFORE_DASH: Final = frozenset(
    {"sk", "at", "dt", "rt", "tt", "bt", "xa", "xb", "xe", "xo", "xp", "xr", "xs", "pp", "pi", "PX", "EY", "CK"}
)
"""Ends of what stands before the `-` of a token: `sk-`, `glpat-`, `xoxb-`, `xapp-`, `pypi-`, `KEY-----`."""
_BEHIND_DASH: Final = frozenset({"u", "p", "-"})
"""Begins of what stands behind the `-` of an option with a password: `-u`, `-p`, `--password`."""
_BEHIND_A: Final = frozenset({"KI", "SI", "BI", "CC", "BS", "Iz"})
"""`AKIA...`, `AIza...`."""
_WORDS: Final = (*IN_NAMES, "sig")
_OPTION: Final = re.compile(r"--([\w-]{1,80})")
_AROUND_NAMES: Final = " \"'\\("
_ESCAPE: Final = re.compile(r"\\(?:[bfnrt]|u00[0-9a-f]{2})")
_LONGEST_NAME: Final = 80
_SHORT_NAME: Final = 40
"""A telling word stands this near to the end of a name, or the name is not looked for in a text."""


def is_suspect(text: str) -> bool:
    """Whether this text may hold a credential by its look."""
    return (
        _has_shape(text)
        or (":" in text and _has_name_before(text, ":"))
        or ('"' in text and ("{" in text or "[" in text) and _has_quoted_name(text))
    )


def is_suspect_json(text: str) -> bool:
    """The same of a whole value encoded as JSON without blanks, whose own names are no reason to look."""
    return (
        _has_shape(text)
        # Its own colons stand behind a quote; JSON in one of its texts has quotes that are escaped.
        or (text.count(":") > text.count('":') and _has_name_before(text, ":"))
        or ('\\"' in text and _has_quoted_name(text))
    )


def _has_shape(text: str) -> bool:
    # Written out: a call costs as much as four searches in a short text. A search for one character takes a tenth of
    # the time of a search for a word, so a word is looked for only where its rarest character is.
    return (
        ("_" in text and (not _BEFORE_UNDERSCORE.isdisjoint([p[-3:] for p in text.split("_")]) or "hf_" in text))
        or ("-" in text and _has_dashed(text))
        or ("=" in text and _has_name_before(text, "="))
        or ("'" in text and _has_sql_password(text))
        or ("A" in text and (not _BEHIND_A.isdisjoint([p[:2] for p in text.split("A")]) or ":AA" in text))
        or ("." in text and (("S" in text and "SG." in text) or ("9" in text and "ya29." in text) or "hv" in text))
        or ("J" in text and "eyJ" in text)
        or ("@" in text and "://" in text)
        or ("/" in text and ("hooks.slack.com" in text or "api/webhooks/" in text))
        or (" " in text and ("earer " in text or ("R" in text and "EARER " in text) or "asic " in text))
        or ("S" in text and "SK" in text)
        or ("~" in text and "Q~" in text)
        or ("+" in text and "u+" in text)
        or "dapi" in text
    )


def _has_dashed(text: str) -> bool:
    may_be_option = False
    at = text.find("-")
    while at >= 0:
        if text[at - 2 : at] in _BEFORE_DASH:
            return True
        may_be_option = may_be_option or text[at + 1 : at + 2] in _BEHIND_DASH
        at = text.find("-", at + 1)
    return may_be_option and (
        "-u" in text
        or ("--" in text and any(map(name_of_secret, _OPTION.findall(text))))
        or ("-p" in text and ("mysql" in text or "mariadb" in text or "sshpass" in text))
    )


def _has_sql_password(text: str) -> bool:
    text = text.lower()
    return "password" in text or "passwd" in text or "secret" in text or "identified" in text


def _has_name_before(text: str, separator: str) -> bool:
    names = [part[-_LONGEST_NAME:].rstrip(_AROUND_NAMES) for part in text.split(separator)[:-1]]
    near = "".join([name[-_SHORT_NAME:] for name in names]).lower()
    return any(map(near.__contains__, _WORDS)) and any(map(_ends_with_name, names))


def _ends_with_name(text: str) -> bool:
    if text.endswith(("?sig", "&sig", "-Signature")):
        return True
    # In encoded text a line break is an `n`, which would be read as the name's first letter.
    readings = (text, _ESCAPE.sub(" ", text)) if "\\" in text else (text,)
    return any(name_of_secret(word) for reading in readings for word in reading.split()[-1:])


def _has_quoted_name(text: str) -> bool:
    return any(name_of_secret(part.rstrip("\\")) for part in set(text.split('"')) if 1 < len(part) <= _LONGEST_NAME)
