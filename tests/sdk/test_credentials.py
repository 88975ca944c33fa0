"""
Names: which of them tell that the value under them is a secret.
"""

from __future__ import annotations

import pytest

from forewarn.credentials import name_of_secret


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
        "DB_PASS",
        "smtpPass",
        "Set-Cookie",
        "session",
        "session_id",
        "sessionToken",
        "jwt",
        "csrf_token",
        "connection_string",
        "PGPASSWORD",
        "--password",
        "db.password",
        "http.request.header.authorization",
        "secret.value",
        "user[password]",
        "creditCardNumber",
        "ssn",
        "aws_secret_access_key",
    ],
)
def test_telling_names(name: str) -> None:
    """
    The common names of secrets, in every way of writing them.
    """
    assert name_of_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "author",
        "authority",
        "bypass",
        "boarding_pass",
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
        "session.id",
        "gen_ai.usage.input_tokens",
        "llm.token_count.prompt",
        "token_usage",
        "input_token_details",
        "nextPageToken",
        "secret_name",
        "password_policy",
        "token_type",
        "auth_method",
    ],
)
def test_ordinary_names(name: str) -> None:
    """
    Names that only look like those of secrets.
    """
    assert not name_of_secret(name)
