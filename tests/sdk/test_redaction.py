"""
Redaction: values under telling names and texts that look like credentials never leave the process.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import forewarn
from forewarn.encoding import encode_arguments, encode_result
from forewarn.redaction import MARK, Redactor, is_secret_name, is_suspect, redact_text
from forewarn.testing import record

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
    "named, JSON in text": '{"client_secret": "tr0ub4dor"}',
}
_TELLING = (
    "password passwd PASSWORD db_password dbPassword userPasswordHash secret client_secret token "
    "access_token accessToken refresh-token api_key apiKey APIKey X-Api-Key apikey authorization "
    "Authorization auth credential credentials private_key privateKey cookie Set-Cookie session "
    "session_id sessionToken jwt csrf_token connection_string"
)
_ORDINARY = (
    "author authority authored_by tokens max_tokens max_token token_count tokenizer key keys primary_key "
    "keyboard monkey secretary sessions passenger compass pass table older_than_days passport_country"
)
KEPT = {"bearer": "abcdefghijklmnop", "basic": "dXNlcjpwYXNzd29yZA==", "URL": "tr0ub4dor"}
SECRET_PART = {
    **{kind: text for kind, text in SECRETS.items() if kind not in KEPT},
    **KEPT,
    "PEM": "MIIEpAIBAAKCAQEA",
    "Slack webhook": "abcdefghijklmnop",
    "named, =": "tr0ub4dor",
    "named, :": "abcdefgh",
    "named, JSON in text": "tr0ub4dor",
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

    everything = json.dumps(recorded.records) + json.dumps([one["status"] for one in recorded.records])
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
    assert is_suspect(json.dumps({"a": text}))


@given(st.text(max_size=60), st.sampled_from(sorted(SECRETS)), st.text(max_size=60))
def test_the_first_question_never_says_clean_of_what_the_second_changes(before: str, kind: str, after: str) -> None:
    """
    A text that a redactor changes is suspect, whatever stands around the credential.
    """
    text = before + SECRETS[kind] + after

    if Redactor().text(text) != text:
        assert is_suspect(text)


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "passwd",
        "PASSWORD",
        "db_password",
        "dbPassword",
        "userPasswordHash",
        "secret",
        "client_secret",
        "token",
        "access_token",
        "accessToken",
        "refresh-token",
        "api_key",
        "apiKey",
        "APIKey",
        "X-Api-Key",
        "apikey",
        "authorization",
        "Authorization",
        "auth",
        "credential",
        "credentials",
        "private_key",
        "privateKey",
        "cookie",
        "Set-Cookie",
        "session",
        "session_id",
        "sessionToken",
        "jwt",
        "csrf_token",
        "connection_string",
    ],
)
def test_telling_names(name: str) -> None:
    """
    The common names of secrets, in every way of writing them.
    """
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "author",
        "authority",
        "authored_by",
        "tokens",
        "max_tokens",
        "max_token",
        "token_count",
        "tokenizer",
        "key",
        "keys",
        "primary_key",
        "keyboard",
        "monkey",
        "secretary",
        "sessions",
        "passenger",
        "compass",
        "pass",
        "table",
        "older_than_days",
        "passport_country",
    ],
)
def test_ordinary_names(name: str) -> None:
    """
    Names that only look like those of secrets.
    """
    assert not is_secret_name(name)


def test_a_secret_name_hides_any_value_but_none_and_booleans() -> None:
    """
    Texts, numbers and whole structures under a secret's name are replaced, at any depth; absence is no secret.
    """
    arguments = {
        "password": "x",
        "config": {"api_key": {"deep": ["x"]}, "token": None, "session": True, "rows": [{"secret": 7}]},
    }

    (text, redacted, _), _ = encode_arguments(arguments, ordinary_names=False)

    assert json.loads(text) == {
        "password": MARK,
        "config": {"api_key": MARK, "token": None, "session": True, "rows": [{"secret": MARK}]},
    }
    assert redacted == 3


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
    assert first["attributes"]["gen_ai.tool.call.arguments"] == '{"user":"ann","password":"[redacted]"}'
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
    ],
)
def test_ordinary_texts_stay(text: str) -> None:
    """
    Prose and SQL are left alone.
    """
    assert redact_text(text) == (text, 0)
