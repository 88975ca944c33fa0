"""
What credentials look like, and under what names they go: one list, for the agent's process and for the gateway.

Each shape is said twice. `expression` is exact, in Python's syntax, for one text. `look` is for RE2 over the bytes of
many texts with other bytes between them: it matches wherever `expression` might, so it asks nothing of what stands
before. The facts are the services' own descriptions of their tokens; where a service publishes none, only a name tells.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple


class Shape(NamedTuple):
    """One kind of credential. What its group `keep` matches stays; the rest of the match is the credential."""

    what: str
    """What the mark in its place says; '' where the name in the group `name` decides."""
    markers: tuple[str, ...]
    """A text with none of these in it does not match."""
    look: str
    expression: str


MARKED: Final = r"\[redacted:[a-z0-9-]{1,40}:[0-9a-f]{12}\]"
"""A mark, as `Redactor` writes it. What is one already stays as it is."""
_NO_MARK: Final = rf"(?!{MARKED})"


def _token(what: str, markers: tuple[str, ...] | str, look: str, *, end: str = "") -> Shape:
    return Shape(what, (markers,) if isinstance(markers, str) else markers, look, rf"\b(?:{look}){end}")


_TOKENS: Final = (
    _token("aws-key", ("AKIA", "ASIA", "ABIA", "ACCA"), r"A(?:KIA|SIA|BIA|CCA)[0-9A-Z]{16}", end=r"\b"),
    _token("aws-key", "ABSK", r"ABSK[A-Za-z0-9+/]{64,}={0,2}"),
    _token("google-key", "AIza", r"AIza[0-9A-Za-z_-]{30,}"),
    _token("google-token", "ya29.", r"ya29\.[0-9A-Za-z_-]{20,}"),
    _token("google-secret", "GOCSPX-", r"GOCSPX-[0-9A-Za-z_-]{20,}"),
    _token("azure-secret", "Q~", r"[0-9A-Za-z_~.-]{3}[0-9]Q~[0-9A-Za-z_~.-]{31,34}"),
    _token("github-token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[A-Za-z0-9]{20,}"),
    _token("github-token", "github_pat_", r"github_pat_[A-Za-z0-9_]{20,}"),
    _token(
        "gitlab-token",
        ("glpat-", "gldt-", "glrt-", "glptt-", "glcbt-", "glsoat-"),
        r"gl(?:pat|dt|rt|ptt|cbt|soat)-[A-Za-z0-9_=.-]{16,}",
    ),
    _token("slack-token", "xox", r"xox[abeoprs]-[A-Za-z0-9-]{10,}"),
    _token("slack-token", "xapp-", r"xapp-[0-9]-[A-Za-z0-9-]{10,}"),
    _token("stripe-key", ("k_live_", "k_test_"), r"[sr]k_(?:live|test)_[A-Za-z0-9_-]{16,}"),
    _token("webhook-secret", "whsec_", r"whsec_[A-Za-z0-9+/=]{20,}"),
    _token("anthropic-key", "sk-ant-", r"sk-ant-[A-Za-z0-9_-]{16,}"),
    Shape("openai-key", ("sk-",), r"sk-[A-Za-z0-9_-]{16,}", r"\bsk-(?=[a-z-]*[A-Z0-9_])[A-Za-z0-9_-]{16,}"),
    _token("pagerduty-token", ("pdus+_", "pdeu+_"), r"pd(?:us|eu)\+_[A-Za-z0-9_+-]{16,}"),
    _token("pagerduty-token", "u+", r"u\+[A-Za-z0-9_-]{18}", end=r"(?![A-Za-z0-9_-])"),
    _token("grafana-token", "glsa_", r"glsa_[A-Za-z0-9]{20,}_[0-9a-fA-F]{8}"),
    _token("grafana-token", "glc_", r"glc_[A-Za-z0-9+/]{32,}={0,2}"),
    _token("npm-token", "npm_", r"npm_[A-Za-z0-9]{20,}"),
    _token("pypi-token", "pypi-", r"pypi-[A-Za-z0-9_-]{32,}"),
    _token("twilio-key", "SK", r"SK[0-9a-f]{32}", end=r"\b"),
    _token("sendgrid-key", "SG.", r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    _token("huggingface-token", "hf_", r"hf_[A-Za-z0-9]{20,}"),
    _token("groq-key", "gsk_", r"gsk_[A-Za-z0-9]{32,}"),
    _token("databricks-token", "dapi", r"dapi[0-9a-f]{32}"),
    _token("digitalocean-token", ("dop_v1_", "doo_v1_", "dor_v1_"), r"do[opr]_v1_[0-9a-f]{40,}"),
    _token("vault-token", ("hvs.", "hvb.", "hvr."), r"hv[sbr]\.[A-Za-z0-9_-]{20,}"),
    _token("shopify-token", ("shpat_", "shpca_", "shppa_", "shpss_"), r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    _token("docker-token", "dckr_pat_", r"dckr_pat_[A-Za-z0-9_-]{20,}"),
    _token("sentry-token", ("sntrys_", "sntryu_"), r"sntry[su]_[A-Za-z0-9_=+/-]{32,}"),
    _token("langsmith-key", "lsv2_", r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{8,}"),
    _token("telegram-token", ":AA", r"[0-9]{8,10}:AA[A-Za-z0-9_-]{32,}"),
    _token("forewarn-key", "fwk_", r"fwk_[a-z0-9._-]+_[A-Za-z0-9_-]{6,}"),
)
_HOOKS: Final = (r"hooks\.slack\.com/(?:services|workflows|triggers)/", r"discord(?:app)?\.com/api/webhooks/[0-9]{5,}/")
_OPAQUE: Final = (
    # A key that was cut has no END line.
    Shape(
        "private-key",
        ("KEY-----", "KEY BLOCK-----"),
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----",
        r"(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r".*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    ),
    Shape(
        "jwt",
        ("eyJ",),
        r"eyJ[A-Za-z0-9_-]{8,512}\.",
        r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,512}(?:\.[A-Za-z0-9_-]*){1,4}",
    ),
    *(
        Shape("webhook", (marker,), rf"{hook}[A-Za-z0-9/_-]{{10}}", rf"(?P<keep>{hook})[A-Za-z0-9/_-]{{10,}}")
        for marker, hook in zip(("hooks.slack.com", "api/webhooks/"), _HOOKS, strict=True)
    ),
    Shape(
        "url-password",
        ("://",),
        r"://[^\s:/@\"']{0,256}:[^\s/\"']*@",
        rf"(?P<keep>://[^\s:/@\"']{{0,256}}:){_NO_MARK}[^\s/\"']{{1,1024}}(?=@)",
    ),
    Shape(
        "url-signature",
        ("ignature=", "ecurity-Token=", "sig="),
        r"(?:-Signature|-Security-Token|[?&]sig)=[A-Za-z0-9%+/_=-]{20}",
        rf"(?P<keep>(?:-Signature|-Security-Token|[?&]sig)=){_NO_MARK}[A-Za-z0-9%+/_=-]{{20,}}",
    ),
    Shape(
        "bearer",
        ("earer ", "EARER "),
        r"(?i)bearer [A-Za-z0-9._~+/=-]{8}",
        r"(?P<keep>\b[Bb](?:earer|EARER) )(?=[a-z.-]*[A-Z0-9_~+/=]|[a-z.-]{20})[A-Za-z0-9._~+/=-]{8,}",
    ),
    Shape(
        "basic",
        ("asic ",),
        r"[Bb]asic [A-Za-z0-9+/=]{12}",
        r"(?P<keep>\b[Bb]asic )(?=\S*[A-Z0-9=])[A-Za-z0-9+/=]{12,}",
    ),
)

# A value in quotes goes to its closing quote, which is escaped as the opening one is; a bare one to the next delimiter.
_QUOTE: Final = r"[bB]?(?P<quote>\\*[\"'])"
_QUOTED: Final = r"(?(quote)(?:(?!(?P=quote))(?:\\.|.))+"
_BARE: Final = r"[^\s\"',;&)}\]\\]{3,}"
# What code and documents put where a value would stand: nothing, a type, a call, a variable, dots.
_NO_VALUE: Final = (
    r"(?!(?:null|none|nil|true|false|undefined|str|bytes|int|bool|string|any|optional|required|self|yes)\b(?![-.@!#$%^*+])"
    r"|[a-z_.]+[(\[]|\$\{|\$\(|\{\{|<[a-z][\w -]*>|\.\.\.|\*{3,}(?!\w)|%\(?s\b)"
)
_TEXT_NAMES: Final = (
    r"(?:[a-z][_-]?pass|pass[_-]?(?:words?|wd|phrase|code)|pwd|secret|token|credentials?"
    r"|(?:api|access|account|private|secret|signing|encryption)[_-]?key|connection[_-]?string"
    r"|ssn|card[_-]?number|cvv)"
)
IN_NAMES: Final = (
    *("pass", "pwd", "secret", "token", "key", "cred", "auth", "cookie", "connection", "conn_str", "connstr", "dsn"),
    *("card", "cvv", "cvc", "ssn", "social", "jwt", "otp", "srf", "bearer", "session"),
)
"""Every telling name has one of these in it."""
_KEYS: Final = ("api", "access", "account", "private", "secret", "signing", "encryption")
_ENDS: Final = (
    *(
        "password",
        "passwords",
        "passwd",
        "passphrase",
        "passcode",
        "_pass",
        "-pass",
        "Pass",
        "pwd",
        "secret",
        "token",
        "credential",
        "credentials",
    ),
    *(f"{word}{between}key" for word in _KEYS for between in ("", "_", "-")),
    *("connectionstring", "connection_string", "ssn", "cardnumber", "card_number", "cvv"),
)
_ENDS_TELLING: Final = "(?:" + "|".join(f"(?<={end})" for end in _ENDS) + ")"
"""What a name ends with behind which a bare value is a secret: tried only where the name has ended."""
_AFTER_NAME: Final = r"\\*[\"']?[ ]{0,8}[=:]\s{0,8}"
_NAME_START: Final = r"(?<![\w-])(?<!redacted:)"
_NAMED: Final = (
    Shape(
        "auth",
        ("uthorization", "UTHORIZATION"),
        rf"(?i)authorization{_AFTER_NAME}",
        rf"(?i)(?P<keep>{_NAME_START}(?:proxy-)?authorization{_AFTER_NAME}(?:\\*[\"'])?"
        rf"(?:(?:token|bearer|basic|digest|apikey|key)\s+)?+){_NO_MARK}[^\s\"',;)}}\]\\]{{3,}}",
    ),
    Shape(
        "cookie",
        ("ookie", "OOKIE"),
        rf"(?i)cookie{_AFTER_NAME}",
        rf"(?i)(?P<keep>{_NAME_START}(?:set-)?cookie{_AFTER_NAME}(?:\\*[\"'])?){_NO_MARK}"
        r"[^\s=;,\"'\\]{1,64}=[^\r\n\"'\\]+",
    ),
    Shape(
        "",
        ("=", ":"),
        rf"(?i){_TEXT_NAMES}{_AFTER_NAME}",
        rf"(?i)(?P<keep>{_NAME_START}(?P<name>[\w-]{{2,64}}+)(?=\\*[\"']?[ ]{{0,8}}[=:])"
        rf"{_ENDS_TELLING}{_AFTER_NAME}{_QUOTE}?)"
        rf"(?!{MARKED}(?![^\s\"',;&)}}\]\\])){_QUOTED}|{_NO_VALUE}{_BARE})",
    ),
    # Any telling name, before a value in quotes: a dict that was printed, JSON that was cut.
    Shape(
        "",
        ('"', "'"),
        rf"(?i:{'|'.join(IN_NAMES)})[\w.-]*{_AFTER_NAME}[bB]?\\*[\"']",
        rf"(?P<keep>(?<!\.){_NAME_START}(?P<name>[\w.-]{{2,40}}+){_AFTER_NAME}{_QUOTE}){_NO_MARK}{_QUOTED}|(?!))",
    ),
    # SQL: PASSWORD 'x', PASSWORD('x'), = N'x', IDENTIFIED WITH plugin BY 'x', SECRET 'x'.
    Shape(
        "password",
        ("assw", "ASSW", "assW", "Passw", "ecret", "ECRET", "dentified", "DENTIFIED"),
        r"(?i)(?:password|passwd|secret|by)(?:\s*=\s*N?|\s*\(?\s*)'",
        r"(?i)(?P<keep>(?:\b(?:password|passwd|secret)|\bidentified\s+(?:with\s+[^\s']{1,64}\s+)?by)"
        rf"(?:[ ]{{0,8}}=[ ]{{0,8}}N?|[ ]{{1,8}}\(?[ ]{{0,8}}|\()'){_NO_MARK}(?:[^']|'')+(?=')",
    ),
    Shape(
        "",
        ("--",),
        rf"(?i)--[\w-]*{_TEXT_NAMES}",
        rf"(?i)(?P<keep>(?<![\w-])--(?P<name>[\w-]{{2,64}}+){_ENDS_TELLING}\s{{1,8}}{_QUOTE}?){_NO_MARK}"
        rf"{_QUOTED}|(?!-){_NO_VALUE}{_BARE})",
    ),
    # curl's way to log in; `docker run -u 1000:1000` is no login.
    Shape(
        "login",
        ("-u ", "-u'", '-u"', "-u\\", "-user ", "-user="),
        r"(?:-u|--user)[ =]?\\*[\"']?[^\s:/\"'\\]*:[^\s\"'\\]",
        rf"(?P<keep>(?<![\w-])(?:-u|--user)[ =]?\\*[\"']?(?!\d+:\d+\b)[^\s:/\"'\\]{{1,256}}:){_NO_MARK}"
        r"[^\s\"'\\]{1,1024}",
    ),
    # mysql's way: the password follows its option without a blank.
    Shape(
        "login",
        ("mysql", "mariadb", "sshpass"),
        r"(?:mysql|mariadb|sshpass)[^\n]* -p",
        r"(?P<keep>\b(?:(?:mysql|mariadb)(?:dump|admin)?\b[^\n|;&]{0,200}? -p|sshpass -p ?)\\*[\"']?)"
        rf"{_NO_MARK}[^\s\"'\\]{{3,256}}",
    ),
)

SHAPES: Final = (*_TOKENS, *_OPAQUE, *_NAMED)
"""In the order in which they are looked for: a token of a known service is called that, whatever its name."""

COMPILED: Final = tuple((shape, re.compile(shape.expression, re.ASCII)) for shape in SHAPES)


_GENERIC: Final = frozenset({"", "value", "values", "val", "raw", "text", "string", "content", "data"})
"""The end of a dotted name that says nothing: the part before it does."""
_PARTS: Final = re.compile(r"[.\[\]/:]+")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_ABOUT: Final = (
    "count|at|type|names?|arn|path|files?|filename|dir|ur[li]|endpoint|provider|method|mode|policy|length|size|limit|age"
    "|ttl|expir[a-z]*|versions?|required|enabled|fields?|format|scopes?|status|state|manager|store|reset|changed|strength"
    "|algorithm|region|hint|prompt|column|table|rotation|usage"
)
_COUNTED: Final = (
    "max|next|page|continuation|eos|bos|pad|unk|mask|stop|special|sep|start|end|per|last|first|sync|cancel"
)
"""Tokens that are no secrets: of a language model, of a list's next page."""
_LOGINS: Final = ("db", "database", "smtp", "mail", "ftp", "ssh", "redis", "mysql", "postgres", "pg", "admin", "user")
"""Whose `pass` is a password: `DB_PASS`, `smtpPass`; others pass tests, or are boarding passes."""
_NAMES: Final = re.compile(
    rf"""(?:
        (?P<password> pass(?:_?(?:words?|wd|phrase|code)|{"|".join(f"(?<={word}_pass)" for word in _LOGINS)})
          | (?<![a-z])pwd )
      | (?P<secret> secrets? )
      | (?P<key> (?:api|access|account|private|signing|encryption|ssh|service_?account|master|integration)_?keys? )
      | (?P<credential> credentials? | (?<![a-z])creds )
      | (?P<cookie> (?<![a-z])(?:set_)?cookies? )
      | (?P<connection> connection_?(?:string|uri) | (?<![a-z])(?:dsn|conn_?str) )
      | (?P<card> card_?(?:number|num|no) | (?<![a-z])(?:cvv|cvc)2? )
      | (?P<ssn> (?<![a-z])ssn | social_?security )
    )(?![a-z]) (?!_(?:{_ABOUT})(?:_[a-z]+)*$)
    | (?:
        (?P<auth> (?<![a-z])auth(?:orization|entication)? )
      | (?P<token> (?:access|refresh|auth|id|session|api|bearer|csrf|xsrf)_?tokens
          | (?<![a-z])(?:jwt|otp|totp|csrf|xsrf|bearer)
          | {"".join(f"(?<!{word})(?<!{word}_)" for word in _COUNTED.split("|"))}token )
      | (?P<session> (?<![a-z])session(?:_?(?:id|key|cookie))? )
    )(?=(?:_?(?:values?|hash|secret|text|string|header|raw|plain|pem|b64|base64|encoded|[0-9]+))*$)
    """,
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
NAMES_LOOK: Final = (
    r"(?i:pass[_ -]?(?:word|wd|phrase|code)"
    rf"|(?:{'|'.join(_LOGINS)})[_ -]?pass|pwd|secret|credential|creds|cookie|dsn|conn[_ -]?str|cvv|cvc|ssn"
    r"|(?:api|access|account|private|signing|encryption|ssh|service[_ -]?account|master|integration)[_ -]?key"
    r"|connection[_ -]?(?:string|uri)|card[_ -]?n[uo]|social[_ -]?security|jwt|otp|csrf|xsrf|bearer[^ ]"
    r"|(?:auth(?:orization|entication)?|token|session(?:[_ -]?(?:id|key|cookie))?)"
    r"(?:[_ -]?(?:values?|hash|secret|text|string|header|raw|plain|pem|b64|base64|encoded|[0-9]+))*"
    r"(?:[.\[/:](?:value|val|raw|text|string|content|data|[0-9\].\[/:]))?(?-i:[^a-i_k-y. ,;)]|$)"
    r"|(?:access|refresh|auth|id|session|api|bearer|csrf|xsrf)[_ -]?tokens)"
)
"""Matches in the bytes of whatever has a name that `name_of_secret` knows."""


_LONGEST_NAME: Final = 200


@lru_cache(maxsize=4096)
def name_of_secret(name: str) -> str:
    """What a value under this name is, whatever it looks like: `password` for `dbPassword`; '' for `author`."""
    if len(name) > _LONGEST_NAME:
        return ""
    parts = [part for part in _PARTS.split(name) if not part.isdecimal() and part.lower() not in _GENERIC]
    if not parts:
        return ""
    telling = _HUMP.sub("_", parts[-1]).replace("-", "_").replace(" ", "_").strip("_")
    found = _NAMES.search(telling)
    return (found.lastgroup or "") if found else ""
