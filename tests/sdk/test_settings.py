"""
Settings: argument, then environment, then file; wrong ones are named and never printed.
"""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any

import pytest

import forewarn
from forewarn.configuration import current
from forewarn.recording.interface import FrameKind
from forewarn.settings import environment_of_key, load_settings


def test_precedence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    An argument wins over the environment, that over the file, that over the default.
    """
    (tmp_path / "forewarn.toml").write_text(
        'service = "file"\nack_timeout = 1\nendpoint = "http://file:1"\nunreachable = "refuse"\n'
        '[targets.x]\ntype = "console"\n'
    )
    monkeypatch.setenv("FOREWARN_SERVICE", "environment")
    monkeypatch.setenv("FOREWARN_ACK_TIMEOUT", "2")

    settings = load_settings("argument", ack_timeout=None)

    assert (settings.service, settings.ack_timeout, settings.endpoint) == ("argument", 2.0, "http://file:1")
    assert (settings.unreachable, settings.exit_timeout) == ("refuse", 2.0)


def test_the_service_falls_back_to_opentelemetrys(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    OTEL_SERVICE_NAME names the service where FOREWARN_SERVICE does not.
    """
    assert load_settings().service.startswith("unknown_service:")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "otel")
    assert load_settings().service == "otel"
    monkeypatch.setenv("FOREWARN_SERVICE", "ours")
    assert load_settings().service == "ours"


@pytest.mark.parametrize(
    ("key", "environment"),
    [
        ("fwk_production_0a1b_99", "production"),
        ("fwk_prod_0a1b_99", "production"),
        ("fwk_eu-west.staging_0a1b_99", "eu-west.staging"),
        ("fwk_production_0a1b", None),
        ("fwk__0a1b_99", None),
        ("sk_production_0a1b_99", None),
        ("", None),
    ],
)
def test_the_environment_is_in_the_key(key: str, environment: str | None) -> None:
    """
    A key's text begins with its environment; any other text says nothing.
    """
    assert environment_of_key(key) == environment


@pytest.mark.parametrize(
    ("setting", "value", "text"),
    [
        ("endpoint", "localhost:4318", "endpoint: Value error, must begin with http:// or https://"),
        ("ack_timeout", -1, "ack_timeout: Input should be greater than 0"),
        ("unreachable", "ignore", "unreachable: Input should be 'run' or 'refuse'"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, value: Any, text: str) -> None:
    """
    `configure` raises, and the text says which setting and what would be right.
    """
    with pytest.raises(forewarn.ConfigurationError, match="Wrong setting") as caught:
        forewarn.configure(**{setting: value})

    assert text in str(caught.value)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    """
    The path and the place in the file are in the text.
    """
    (tmp_path / "forewarn.toml").write_text("service = 1\nservice = 2\n")

    with pytest.raises(forewarn.ConfigurationError, match=r"forewarn\.toml is not valid TOML: .*line 2"):
        forewarn.configure()


def test_the_key_is_never_shown(spool: Path) -> None:
    """
    Neither the settings nor an error about them print it.
    """
    settings = load_settings(key="fwk_test_0a_secretsecret", spool=spool)

    assert "secretsecret" not in repr(settings)


def test_wrong_settings_at_first_use_do_not_break_reads(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """
    A process with wrong variables that never called `configure` runs its reads, and refuses the rest with why.
    """
    monkeypatch.setenv("FOREWARN_ACK_TIMEOUT", "soon")

    @forewarn.tool(effect="read")
    def look() -> int:
        return 1

    @forewarn.tool(effect="destructive")
    def drop() -> None: ...

    assert look() == 1
    with pytest.raises(forewarn.NotRecorded, match="ack_timeout: Input should be a valid number"):
        drop()
    assert "Forewarn is not set up" in caplog.text
    assert list((tmp_path / "unconfigured" / "unknown").glob("*.segment")) != []


def test_the_environment_has_a_folder_of_its_own(spool: Path) -> None:
    """
    Whatever its name, an environment is one folder under the spool.
    """
    for claim in ("production", "../../etc", "a/b", "Test ", "..", "."):
        forewarn.configure(environment=claim, spool=spool)
        current().keep(FrameKind.OTHER, b"x", 1)

    assert sorted(path.name for path in spool.iterdir()) == [
        "%2E",
        "%2E%2E",
        "%2E%2E%2F%2E%2E%2Fetc",
        "a%2Fb",
        "production",
        "test",
    ]


@pytest.mark.parametrize("around", ["{}\n", " {}\r\n", "\t{}"])
def test_a_key_from_a_secret_file_is_stripped(around: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Files of secrets end with a line break; it is not part of the key.
    """
    monkeypatch.setenv("FOREWARN_KEY", around.format("fwk_test_0a_secretsecret"))

    key = load_settings().key

    assert key is not None
    assert key.get_secret_value() == "fwk_test_0a_secretsecret"


@pytest.mark.parametrize("inside", ["\u20ac", "\n", " ", "\x00", "\u00e9"])
def test_a_key_that_fits_no_header_is_refused_unseen(
    inside: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """
    `configure` raises, a process without it refuses destructive calls; neither says what the key is.
    """
    key = f"fwk_production_0a_hush{inside}hush"

    @forewarn.tool(effect="destructive")
    def drop() -> None: ...

    with pytest.raises(forewarn.ConfigurationError, match="key: Value error, must be one line") as wrong:
        forewarn.configure(key=key)
    (tmp_path / "forewarn.toml").write_text(f"key = {json.dumps(key)}\n")
    with pytest.raises(forewarn.NotRecorded, match="set up wrongly") as refused:
        drop()

    said = "".join(traceback.format_exception(wrong.value) + traceback.format_exception(refused.value))
    assert "hush" not in said + caplog.text


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("acknowledge_write", "acknowledge_writes"),
        ("enviroment", "environment"),
        ("keys", "key"),
        ("servise", "service"),
    ],
)
@pytest.mark.parametrize("value", ["production", None])
def test_a_misspelt_option_is_refused(option: str, meant: str, value: str | None) -> None:
    """
    An option that does not exist is not dropped; the text names the nearest one that does.
    """
    with pytest.raises(forewarn.ConfigurationError, match=f"no option '{option}'; did you mean '{meant}'"):
        forewarn.configure(service="x", **{option: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("variable", "file"),
    [
        (("FOREWARN_REDACT_PATTERNS", "ACCT-[0-9]{8}"), None),
        (("FOREWARN_REDACT_OFF", "session"), None),
        (("FOREWARN_ENDPOINT", "http://127.0.0.1:99999"), None),
        (("FOREWARN_ENDPOINT", "http://[::1"), None),
        (("FOREWARN_ENDPOINT", "http://"), None),
        (None, b"\xff\xfe not text"),
        (None, b"[[["),
        (None, b"service = 5"),
    ],
)
def test_no_wrong_setting_breaks_a_tool(
    variable: tuple[str, str] | None, file: bytes | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    Whatever is wrong with a variable or the file: reads run, what is right of the rest counts, and `configure` says it.
    """
    if variable is not None:
        monkeypatch.setenv(*variable)
    if file is not None:
        (tmp_path / "forewarn.toml").write_bytes(file)

    @forewarn.tool(effect="read")
    def look() -> int:
        return 1

    with pytest.raises(forewarn.ConfigurationError):
        forewarn.configure()
    assert look() == 1
    assert list((tmp_path / "unconfigured" / "unknown").glob("*.segment")) != []


def test_a_process_that_is_set_up_wrongly_refuses_whatever_it_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With a wrong key nobody knows the environment: a claim beside it makes nothing less strict.
    """
    monkeypatch.setenv("FOREWARN_KEY", "fwk_production_0a1b_two words")
    monkeypatch.setenv("FOREWARN_ENVIRONMENT", "development")

    @forewarn.tool(effect="destructive")
    def drop() -> None:
        raise AssertionError("it ran")

    with pytest.raises(forewarn.NotRecorded, match="key: Value error"):
        drop()
