"""
Targets and routes from forewarn.toml and the environment.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from forewarn_alerts.errors import BadConfig
from forewarn_alerts.settings import AlertsConfig, load_config

FILE = """
data = "./somewhere"
rules = ["rules"]

[targets.pager]
type = "pagerduty"
routing_key = "hush-hush-hush-hush-hush-hush-32"

[targets.chat]
type = "slack"
token = "hush-hush-hush-hush-hush-hush-32"
channel = "#agents"

[notify]
nights = ["pager"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "forewarn.toml").write_text(FILE)
    return tmp_path / "forewarn.toml"


def test_the_file_names_targets_and_routes(config: Path) -> None:
    """
    `oncall` tells every target unless the file says otherwise; other rooms' keys are left to them.
    """
    loaded = load_config(config, environment={})

    assert list(loaded.all_targets()) == ["pager", "chat"]
    assert loaded.routes() == {"oncall": ("pager", "chat"), "nights": ("pager",)}
    assert loaded.rules == (config.parent / "rules",)


def test_variables_are_shortcuts_beside_the_file(config: Path) -> None:
    """
    One variable is enough to be paged.
    """
    environment = {
        "FOREWARN_PAGERDUTY_ROUTING_KEY": "k" * 32,
        "FOREWARN_PAGERDUTY_URL": "http://127.0.0.1:1/v2/enqueue",
        "FOREWARN_SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T/B/x",
        "FOREWARN_WEBHOOK_URL": "https://example.com/hook",
    }

    loaded = load_config(config, environment=environment)

    assert set(loaded.all_targets()) == {"pager", "chat", "pagerduty", "slack", "webhook"}
    assert set(loaded.routes()["oncall"]) == set(loaded.all_targets())


def test_without_any_target_pages_go_to_the_console() -> None:
    """
    No page goes nowhere.
    """
    assert AlertsConfig().routes() == {"oncall": ("console",)}
    assert [target.type for target in AlertsConfig().open_targets().values()] == ["console"]


@pytest.mark.parametrize("text", [f"/a{os.pathsep}b", '["/a", "b"]'])
def test_a_variable_names_several_folders(config: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    FOREWARN_RULES reads here as in `serve`: a list as PATH is, or JSON; relative to the current folder.
    """
    monkeypatch.setenv("FOREWARN_RULES", text)

    assert load_config(config).rules == (Path("/a"), Path("b"))


def test_the_flag_wins_over_the_file(config: Path) -> None:
    """
    `forewarn rules` shows the rules that `serve` with the same flag would obey.
    """
    assert load_config(config, rules=(Path("mine"),), environment={}).rules == (Path("mine"),)


def test_targets_can_come_from_a_variable(config: Path) -> None:
    """
    As JSON, as in `serve`; what is no JSON is told without its text.
    """
    given = {"FOREWARN_TARGETS": '{"night": {"type": "console"}}', "FOREWARN_NOTIFY": '{"nights": ["night"]}'}

    loaded = load_config(config, environment=given)

    assert loaded.routes() == {"oncall": ("night",), "nights": ("night",)}
    with pytest.raises(BadConfig, match="FOREWARN_TARGETS: not JSON") as caught:
        load_config(config, environment={"FOREWARN_TARGETS": "hush"})
    assert "hush" not in str(caught.value)


def test_no_secret_is_shown(config: Path) -> None:
    """
    Not in a representation, not in a dump.
    """
    loaded = load_config(config, environment={"FOREWARN_PAGERDUTY_ROUTING_KEY": "hush-hush-hush-hush-hush-hush-32"})

    assert (
        "hush-hush-hush-hush-hush-hush-32"
        not in f"{loaded!r}{loaded}{loaded.model_dump()}{loaded.model_dump_json()}{loaded.all_targets()}"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[notify]\nnights = ['nobody']", "notify.nights tells nobody, which is not a target"),
        ("[notify]\noncall = []", "notify.oncall tells nobody, which is not a target; known targets: console"),
        ("[targets.a]\ntype = 'slack'", "either webhook_url, or token and channel"),
        ("[targets.a]\ntype = 'slack'\ntoken = 'x'", "token needs channel"),
        ("[targets.a]\ntype = 'pagerduty'\nrouting_key = 'short'", "at least 32"),
        ("[targets.a]\ntype = 'slack'\nwebhook_url = 'notaurl'", "must begin with http:// or https://"),
        ("[targets.a]\ntype = 'webhook'\nurl = 'ftp://x'", "must begin with http:// or https://"),
        ("[targets.a]\ntype = 'pigeon'", "targets.a: Input tag 'pigeon' found using 'type' does not match"),
        (
            f"[targets.a]\ntype = 'pagerduty'\nrouting_key = '{'0' * 32}'\nurl = 'ftp://x'",
            "targets.a.pagerduty.url",
        ),
        ("[targets.'a b']\ntype = 'console'", "targets.a b"),
        ("[targets.a]\ntype = 'console'\ncolour = 'red'", "targets.a.console.colour: there is no such setting"),
        (
            "[targets.a]\ntype = 'pagerduty'\nruoting_key = 'hush'",
            "targets.a.pagerduty.ruoting_key: there is no such setting; did you mean `routing_key`?",
        ),
        ("rule = ['./rules']", "rule: there is no such setting; did you mean `rules`?"),
        ("rules = '[./rules'", "rules: begins like a list in JSON and is none"),
        ("public_url = 'grafana'", "public_url"),
        ("targets = [", "not TOML"),
    ],
)
def test_a_wrong_setting_is_told_by_its_name_and_without_its_value(tmp_path: Path, text: str, message: str) -> None:
    """
    The error names the key; a value could be a secret.
    """
    file = tmp_path / "forewarn.toml"
    file.write_text(text)

    with pytest.raises(BadConfig) as caught:
        load_config(file, environment={})

    assert message in str(caught.value)


def test_a_file_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    """
    A mistyped --config is no reason to page nobody.
    """
    with pytest.raises(BadConfig, match=r"gone.toml: cannot be read"):
        load_config(tmp_path / "gone.toml", environment={})
