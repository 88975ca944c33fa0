"""
Redaction: values under telling names and texts that look like credentials never leave the process.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import forewarn
from forewarn.credentials import MARKED
from forewarn.encoding import encode_arguments, encode_result
from forewarn.redaction import Redactor, redact_text
from forewarn.suspicion import is_suspect, is_suspect_json
from forewarn.testing import record

MARK = "[redacted]"


def short(text: str) -> str:
    """The text with its marks in one short form."""
    return re.sub(MARKED, MARK, text)


SECRETS = {
    "AWS": "AKIA" + "IOSFODNN7EXAMPLE",
    "GitHub": "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
    "GitHub, fine-grained": "github_pat_" + "11ABCDEFG0aBcDeFgHiJkL_mNoPqRsTuVwXyZ",
    "GitLab": "glpat-" + "a1B2c3D4e5F6g7H8i9J0",
    "Slack": "xoxb-" + "123456789012-abcdefghijkl",
    "Slack webhook": "hooks.slack.com/services/" + "T000/B000/abcdefghijklmnop",
    "OpenAI": "sk-proj-" + "a1B2c3D4e5F6g7H8i9J0",
    "Anthropic": "sk-ant-api03-" + "a1B2c3D4e5F6g7H8i9J0",
    "Stripe": "sk_live_" + "a1B2c3D4e5F6g7H8i9J0",
    "Google": "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
    "JWT": "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "our own": "fwk_production_" + "0a1b2c3d_0123456789abcdef",
    "PEM": "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
    "bearer": "Authorization: Bearer abcdefghijklmnop",
    "basic": "Authorization: Basic dXNlcjpwYXNzd29yZA==",
    "URL": "postgres://admin:tr0ub4dor@db.internal/app",
    "named, =": "host=db password=tr0ub4dor user=x",
    "named, :": "api_key: abcdefgh",
    "named, without a blank": "password:tr0ub4dor",
    "named, JSON in text": '{"client_secret": "tr0ub4dor"}',
    "named, compact JSON in text": '{"user":"bob","password":"tr0ub4dor"}',
    "named, JSON with a delimiter inside": '{"password":"a, b tr0ub4dor"}',
    "named, JSON in JSON": json.dumps(json.dumps({"api_key": "tr0ub4dor"})),
    "header, JSON in text": '{"Authorization":"Token tr0ub4dor"}',
    "npm": "npm_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
    "Hugging Face": "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH",
    "AWS, temporary": "ASIA" + "IOSFODNN7EXAMPLE",
    "Google, OAuth": "ya29." + "a0AfH6SMBxa1B2c3D4e5F6g7H8",
    "Google, client": "GOCSPX-" + "a1B2c3D4e5F6g7H8i9J0k1L2",
    "Azure": "abc8Q~" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q",
    "Azure, storage": "DefaultEndpointsProtocol=https;AccountKey=tr0ub4dor" + "a1B2" * 10 + "==",
    "Azure, SAS": "https://a.blob.core.windows.net/c?se=2026&sig=tr0ub4dor" + "a1B2c3D4e5F6",
    "Slack, app": "xapp-" + "1-A0123456789-a1B2c3D4e5F6",
    "Stripe, test": "rk_test_" + "a1B2c3D4e5F6g7H8i9J0",
    "webhook": "whsec_" + "a1B2c3D4e5F6g7H8i9J0k1L2",
    "PagerDuty": "pdus+_" + "0ABCDEFG_a1B2c3D4-e5F6",
    "PagerDuty, user": "u+" + "a1B2c3D4e5F6g7H8i9",
    "Grafana": "glsa_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6_0a1b2c3d",
    "PyPI": "pypi-" + "AgEIcHlwaS5vcmcCJGExYjJjM2Q0LWU1ZjYtN2c4aA",
    "Twilio": "SK" + "0123456789abcdef" * 2,
    "SendGrid": "SG." + "a1B2c3D4e5F6g7H8i9J0k1.a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V",
    "Groq": "gsk_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6",
    "Databricks": "dapi" + "0123456789abcdef" * 2,
    "DigitalOcean": "dop_v1_" + "0123456789abcdef" * 4,
    "Vault": "hvs." + "a1B2c3D4e5F6g7H8i9J0k1L2",
    "Shopify": "shpat_" + "0123456789abcdef" * 2,
    "Docker": "dckr_pat_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N",
    "Sentry": "sntrys_" + "a1B2c3D4" * 6,
    "LangSmith": "lsv2_pt_" + "0123456789abcdef" * 2 + "_0123456789",
    "Telegram": "123456789:AA" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q",
    "Discord": "discord.com/api/webhooks/" + "123456789012/a1B2c3D4e5F6g7H8i9J0",
    "GitLab, deploy": "gldt-" + "a1B2c3D4e5F6g7H8i9J0",
    "cookie header": "Cookie: sid=tr0ub4dor; theme=dark",
    "SQL, identified": "CREATE USER bob IDENTIFIED BY 'tr0ub4dor'",
    "SQL, plugin": "CREATE USER bob IDENTIFIED WITH sha256_password BY 'it''s tr0ub4dor'",
    "SQL, password": "ALTER ROLE bob ENCRYPTED PASSWORD 'tr0ub4dor'",
    "SQL, N": "ALTER LOGIN bob WITH PASSWORD = N'tr0ub4dor'",
    "SQL, secret": "CREATE SECRET s (TYPE s3, SECRET 'tr0ub4dor')",
    "command line": "backup --db-password tr0ub4dor --to s3",
    "command line, =": "backup --api-key=tr0ub4dor",
    "mysql": "mysqldump -h db -ptr0ub4dor app",
    "environment": "PGPASSWORD=tr0ub4dor psql",
    "repr": "Config(user='bob', session_id='tr0ub4dor')",
    "JSON that was cut": '{"user": {"session_cookie": "tr0ub4dor", "rows": [',
    "nested JSON, a structure": json.dumps({"auth": {"deep": ["tr0ub4dor"]}}),
    "nested JSON, a pair": json.dumps([{"name": "Authorization", "value": "tr0ub4dor"}]),
    "nested JSON, argv": json.dumps(["login", "--token", "tr0ub4dor"]),
    "nested JSON, twice": json.dumps({"body": json.dumps({"cookies": {"sid": "tr0ub4dor"}})}),
    "URL without a user": "redis://:tr0ub4dor@cache:6379/0",
    "curl": "curl -u bob:tr0ub4dor https://example.com",
    "curl, quoted": "curl -u'bob:tr0ub4dor' https://example.com",
    "curl, long": 'curl --user "bob:tr0ub4dor" https://example.com',
}
KEPT = {"bearer": "abcdefghijklmnop", "basic": "dXNlcjpwYXNzd29yZA==", "URL": "tr0ub4dor"}
SECRET_PART = {
    **{kind: text for kind, text in SECRETS.items() if kind not in KEPT},
    **KEPT,
    "PEM": "MIIEpAIBAAKCAQEA",
    "Slack webhook": "abcdefghijklmnop",
    "named, :": "abcdefgh",
    **{kind: "tr0ub4dor" for kind, text in SECRETS.items() if "tr0ub4dor" in text},
}


@pytest.mark.parametrize("kind", SECRETS)
def test_a_credential_leaves_no_road_open(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """
    Not in arguments, results, generators' items, reasoning, tasks or error texts; flat or nested; and each is counted.
    """
    secret = f"before {SECRETS[kind]} after"

    @forewarn.tool(effect="read")
    def echo(flat: str, nested: Any) -> Any:
        return {"rows": [nested], "flat": flat}

    @forewarn.tool(effect="read")
    def fail(text: str) -> None:
        raise ValueError(text)

    @forewarn.tool(effect="read")
    def stream(text: str) -> Any:
        yield text

    with record() as recorded, forewarn.agent("a", task=secret):
        forewarn.reason(secret)
        echo(secret, {"deep": [secret]})
        list(stream(secret))
        with pytest.raises(ValueError, match="before"):
            fail(secret)

    everything = short(json.dumps(recorded.records))
    assert SECRET_PART[kind] not in everything.replace("\\n", "\n").replace('\\\\\\"', '"')
    assert MARK in everything
    assert all(one["attributes"]["forewarn.redacted"] >= 1 for one in recorded.records)


@pytest.mark.parametrize("kind", SECRETS)
def test_every_pattern_has_its_markers(kind: str) -> None:
    """
    What the second question would replace, the first one does not let pass, encoded or not.
    """
    text = SECRETS[kind]

    assert is_suspect(text)
    assert is_suspect_json(json.dumps({"a": text}, separators=(",", ":")))


@given(st.text(max_size=60), st.sampled_from(sorted(SECRETS)), st.text(max_size=60))
def test_the_first_question_never_says_clean_of_what_the_second_changes(before: str, kind: str, after: str) -> None:
    """
    A text that a redactor changes is suspect, whatever stands around the credential.
    """
    text = before + SECRETS[kind] + after

    if Redactor().text(text) != text:
        assert is_suspect(text)
        assert is_suspect_json(json.dumps({"a": text}, separators=(",", ":"), ensure_ascii=False))


@given(st.lists(st.text(max_size=40), min_size=1, max_size=3), st.sampled_from(sorted(SECRETS)), st.text(max_size=40))
def test_a_quick_look_at_a_call_never_keeps_what_a_redactor_would_replace(
    before: list[str], kind: str, around: str
) -> None:
    """
    Arguments are recorded as they are only if a redactor changes none of them, whatever stands beside a credential.
    """
    texts = [*before, around + SECRETS[kind], SECRETS[kind] + around, 7, None]
    values = {f"field{number}": text for number, text in enumerate(texts)}

    (text, redacted, _), _ = encode_arguments(values, ordinary_names=True)

    changed = [name for name, value in values.items() if isinstance(value, str) and Redactor().text(value) != value]
    assert redacted >= len(changed)
    assert all(json.loads(text)[name] != values[name] for name in changed)


def test_a_secret_name_hides_any_value_but_none_and_booleans() -> None:
    """
    Texts, numbers and whole structures under a secret's name are replaced, at any depth; absence is no secret.
    """
    arguments = {
        "password": "x",
        "config": {"api_key": {"deep": ["x"]}, "token": None, "session": True, "rows": [{"secret": 7}]},
    }

    (text, redacted, _), _ = encode_arguments(arguments, ordinary_names=False)

    assert json.loads(short(text)) == {
        "password": MARK,
        "config": {"api_key": MARK, "token": None, "session": True, "rows": [{"secret": MARK}]},
    }
    assert redacted == 3


@pytest.mark.parametrize(
    "value",
    [
        [("Authorization", "Token tr0ub4dor"), ("Accept", "text/html")],
        [["X-Api-Key", "tr0ub4dor"]],
        [(b"authorization", b"Token tr0ub4dor")],
        {1: 2, "token": "tr0ub4dor"},
        {b"password": "tr0ub4dor"},
    ],
)
def test_the_name_in_a_pair_counts_too(value: Any) -> None:
    """
    Headers come as pairs of a name and its value, of texts or bytes; so do the entries of a dict with odd keys.
    """
    (text, redacted, _), _ = encode_arguments({"a": value}, ordinary_names=True)
    result, redacted_in_result, _ = encode_result(value)

    assert (redacted, redacted_in_result) == (1, 1)
    assert MARK in short(text)
    assert MARK in short(result)
    for encoded in (text, result):
        assert "tr0ub4dor" not in encoded
        assert base64.b64encode(b"Token tr0ub4dor").decode() not in encoded


@pytest.mark.parametrize("make", [bytes, bytearray])
def test_bytes_are_redacted_before_base64_hides_them(make: Any) -> None:
    """
    A credential in bytes is replaced there, also where the rest is no text or the cut goes through it.
    """
    plain = b"\xff\xfe password=tr0ub4dor \x00"
    across = b"x" * 4_090 + b" npm_" + b"a1B2" * 9 + b"y" * 9_000

    kept = [
        json.loads(encoded)["$bytes"]
        for value in (plain, across)
        for encoded in (
            encode_result(make(value))[0],
            json.dumps(json.loads(encode_arguments({"a": make(value)}, ordinary_names=True)[0][0])["a"]),
        )
    ]

    assert kept[0] == kept[1]
    assert short(base64.b64decode(kept[0]).decode("latin-1")) == "\xff\xfe password=[redacted] \x00"
    assert kept[2] == kept[3]
    assert b"npm_" not in base64.b64decode(kept[2])


def test_nested_pairs_are_looked_at_once() -> None:
    """
    A pair in a pair in a pair costs what a list of that depth costs.
    """
    looks: list[int] = []

    class Counted:
        def __repr__(self) -> str:
            looks.append(1)
            return "counted"

    value: Any = Counted()
    for _ in range(12):
        value = ["name", value]
    encode_result(value)

    assert looks == [1]


def test_a_parameters_name_counts_too() -> None:
    """
    A tool's own parameter may bear a secret's name; the digest is taken before redaction.
    """

    @forewarn.tool(effect="read")
    def login(user: str, password: str) -> None: ...

    with record() as recorded:
        login("ann", "one")
        login("ann", "two")

    first, second = recorded.calls("login")
    arguments = [call["attributes"]["gen_ai.tool.call.arguments"] for call in (first, second)]
    assert [short(text) for text in arguments] == ['{"user":"ann","password":"[redacted]"}'] * 2
    assert arguments[0] != arguments[1]
    assert first["attributes"]["forewarn.call.digest"] != second["attributes"]["forewarn.call.digest"]


def test_a_credential_across_the_cut_is_seen_whole() -> None:
    """
    A text is redacted before it is cut to its length.
    """
    text = "x" * 4_080 + " " + SECRETS["Anthropic"] + " " + "y" * 100_000

    assert "sk-ant" not in encode_result(text)[0]
    assert "sk-ant" not in encode_arguments({"a": text}, ordinary_names=True)[0][0]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id FROM keys WHERE token_count = 3",
        "DELETE FROM sessions WHERE age > 90",
        "The key is under the mat.",
        "https://example.com:8080/a@b",
        "a basic question",
        "task-oriented",
        "sketch-book",
        "eyJ",
        "key: a",
        '{"token":null,"password":"","max_tokens":4096}',
        "docker run -u 1000:1000 alpine",
        "sort -u names.txt",
        "see http://user-guide:80/",
        "authorization of the request",
        "def login(password: str, token: Optional[str] = None) -> None:",
        "token = get_token(user)",
        "password=${DB_PASSWORD}",
        "--max-tokens 4096 --next-token abcdef",
        "ORDER BY 'name'",
        "The bearer of this letter, a bearer certificate.",
    ],
)
def test_ordinary_texts_stay(text: str) -> None:
    """
    Prose and SQL are left alone.
    """
    assert redact_text(text) == (text, 0)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("{'password': b'tr0ub4dor', 'user': 'ann'}", "{'password': b'[redacted]', 'user': 'ann'}"),
        ("SMTP_PASS=tr0ub4dor", "SMTP_PASS=[redacted]"),
        ("dbPass: tr0ub4dor", "dbPass: [redacted]"),
    ],
)
def test_printed_bytes_and_short_names_of_passwords_are_seen(text: str, kept: str) -> None:
    """
    A dict of bytes that was printed, and the `_PASS` of a service, as error texts and shells have them.
    """
    assert short(redact_text(text)[0]) == kept
