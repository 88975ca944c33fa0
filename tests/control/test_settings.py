"""
The settings of `forewarn serve`: who wins, and what is said of a fault.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from forewarn.settings import Settings as AgentSettings
from forewarn_alerts.config_file import misspelt
from forewarn_alerts.settings import AlertsConfig, load_config
from forewarn_collector.gateway.limits import DEFAULT_MAX_BODY
from forewarn_collector.log.sqlite import DEFAULT_MAX_BYTES, DEFAULT_RETENTION
from forewarn_control.address import Address
from forewarn_control.errors import BadSettings
from forewarn_control.settings import ServeSettings, flag, load, variable


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("FOREWARN_")]:
        monkeypatch.delenv(name)


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each source wins over the ones after it, and the settings say where each value came from.
    """
    (tmp_path / "forewarn.toml").write_text('http = "h:1"\nstore_http = "h:1"\nretention = "1d"\n')
    monkeypatch.setenv("FOREWARN_HTTP", "h:2")
    monkeypatch.setenv("FOREWARN_STORE_HTTP", "h:2")

    loaded = load({"http": "h:3", "store_http": None}, folder=tmp_path)

    assert loaded.settings.http == Address("h", 3)
    assert loaded.settings.store_http == Address("h", 2)
    assert loaded.settings.retention == timedelta(days=1)
    assert loaded.settings.log_retention == timedelta(days=7)
    assert {name: loaded.origins[name] for name in ("http", "store_http", "retention", "log_retention")} == {
        "http": "--http",
        "store_http": "FOREWARN_STORE_HTTP",
        "retention": str(tmp_path / "forewarn.toml"),
        "log_retention": "default",
    }


def test_every_setting_has_a_flag_a_variable_and_a_meaning() -> None:
    """
    The three names of a setting follow from its field, and each is described.
    """
    assert (flag("store_http"), variable("store_http")) == ("--store-http", "FOREWARN_STORE_HTTP")
    source = Path(__import__("forewarn_control.settings", fromlist=["x"]).__file__).read_text()
    for name in ServeSettings.__annotations__.keys() - {"model_config"}:
        after = source.partition(f"\n    {name}: ")[2].partition("\n")[2]
        assert after.lstrip().startswith('"""'), name


def test_the_defaults_are_those_of_the_rooms(tmp_path: Path) -> None:
    """
    A room used as a library is bounded as `serve` is.
    """
    settings = load(folder=tmp_path).settings

    assert (settings.log_max_size, settings.log_retention) == (DEFAULT_MAX_BYTES, DEFAULT_RETENTION)
    assert settings.max_body == DEFAULT_MAX_BODY


def test_paths_of_the_file_are_relative_to_the_file(tmp_path: Path) -> None:
    """
    The same file means the same from every folder.
    """
    (tmp_path / "forewarn.toml").write_text('data = "data"\nrules = ["rules", "/abs"]\n')

    settings = load(config=tmp_path / "forewarn.toml", folder=Path("/")).settings

    assert settings.data == tmp_path / "data"
    assert settings.rules == (tmp_path / "rules", Path("/abs"))


@pytest.mark.parametrize("text", [f"/a{os.pathsep}/b", '["/a", "/b"]'])
def test_a_variable_names_several_folders(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    FOREWARN_RULES is a list as PATH is, or JSON.
    """
    monkeypatch.setenv("FOREWARN_RULES", text)

    assert load(folder=tmp_path).settings.rules == (Path("/a"), Path("/b"))


def test_all_faults_are_reported_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A person mends everything in one go: each fault names its setting, its source, and what would be right.
    """
    (tmp_path / "forewarn.toml").write_text('htttp = "x"\nretention = "a while"\n')
    monkeypatch.setenv("FOREWARN_STORE_HTTP", "nowhere")

    with pytest.raises(BadSettings) as raised:
        load({"http": "127.0.0.1:99999"}, folder=tmp_path)

    faults = {fault.partition(" ")[0]: fault for fault in raised.value.faults}
    assert set(faults) == {"http", "store_http", "retention", "htttp"}
    assert "--http" in faults["http"]
    assert "HOST:PORT" in faults["http"]
    assert "FOREWARN_STORE_HTTP" in faults["store_http"]
    assert "is not a duration" in faults["retention"]
    assert "did you mean `http`?" in faults["htttp"]
    assert raised.value.exit_status == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('servise = "janitor"', "servise (from FILE): there is no such setting; did you mean `service`?"),
        ('end_point = "http://h"', "end_point (from FILE): there is no such setting; did you mean `endpoint`?"),
        ('[target.a]\ntype = "console"', "target (from FILE): there is no such setting; did you mean `targets`?"),
        (
            '[targets.a]\ntype = "slack"\nwebhok_url = "hush"',
            "targets.a.slack.webhok_url (from FILE): there is no such setting; did you mean `webhook_url`?",
        ),
    ],
)
def test_a_misspelt_key_is_told_with_the_name_it_was_meant_to_be(tmp_path: Path, text: str, said: str) -> None:
    """
    Whoever reads the key, and however deep it is; also a key of the SDK, which itself reads over it.
    """
    (tmp_path / "forewarn.toml").write_text(text)

    with pytest.raises(BadSettings) as raised:
        load(folder=tmp_path)

    assert said.replace("FILE", str(tmp_path / "forewarn.toml")) in raised.value.faults


def test_no_key_of_another_room_is_taken_for_a_slip(tmp_path: Path) -> None:
    """
    The file is shared: `forewarn rules` and `notify` leave to `serve` and to agents what is theirs, and so do agents.
    """
    names = {*ServeSettings.model_fields, *AgentSettings.model_fields} - set(AlertsConfig.model_fields)
    (tmp_path / "forewarn.toml").write_text("".join(f"{name} = 1\n" for name in names))

    assert load_config(tmp_path / "forewarn.toml", environment={}) == AlertsConfig()
    assert misspelt(ServeSettings.model_fields, AgentSettings.model_fields) == {}


def test_a_file_that_is_no_toml_is_named_with_its_line(tmp_path: Path) -> None:
    """
    The fault of a broken file says which file and which line.
    """
    (tmp_path / "forewarn.toml").write_text('http = "x"\nrules = [\n')

    with pytest.raises(BadSettings, match=r"forewarn\.toml: not TOML: .*"):
        load(folder=tmp_path)


def test_a_file_that_was_asked_for_must_exist(tmp_path: Path) -> None:
    """
    `--config` of a missing file is a fault; a missing forewarn.toml of the current folder is not.
    """
    with pytest.raises(BadSettings, match="cannot be read"):
        load(config=tmp_path / "other.toml")

    assert load(folder=tmp_path).config is None


def test_keys_of_the_sdk_in_the_same_file_are_no_fault(tmp_path: Path) -> None:
    """
    An agent and `serve` may share one forewarn.toml.
    """
    (tmp_path / "forewarn.toml").write_text('service = "janitor"\nendpoint = "http://127.0.0.1:4318"\n')

    assert load(folder=tmp_path).settings.http == Address("127.0.0.1", 4318)


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:0", Address("127.0.0.1", 0)), ("[::1]:4318", Address("::1", 4318)), ("host:80", Address("host", 80))],
)
def test_an_address_reads_as_it_is_written(text: str, address: Address) -> None:
    """
    What is parsed is printed the same way.
    """
    assert Address.parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize("text", ["", "4318", "host:", ":80", "host:x", "host:70000", "http://host"])
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    """
    A wrong address says what a right one looks like.
    """
    with pytest.raises(ValueError, match=r"HOST:PORT, for example 127\.0\.0\.1:4318"):
        Address.parse(text)
