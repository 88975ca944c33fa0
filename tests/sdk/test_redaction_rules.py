"""
What a user adds to redaction and takes away from it: for one tool, and for the process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

import forewarn
from forewarn.credentials import MARKED
from forewarn.redaction import Redactor, Rules, redact_text, rules, use_rules
from forewarn.settings import load_settings
from forewarn.testing import record


@pytest.fixture(autouse=True)
def rules_of_before() -> Iterator[None]:
    before = rules()
    yield
    use_rules(before)


def short(text: str) -> Any:
    return json.loads(re.sub(MARKED, "*", text))


def recorded_call(tool: Any, *arguments: Any) -> tuple[Any, Any, str]:
    with record() as recorded:
        tool(*arguments)
    attributes = recorded.calls(tool.__name__)[0]["attributes"]
    return (
        short(attributes["gen_ai.tool.call.arguments"]),
        short(attributes["gen_ai.tool.call.result"]),
        attributes["forewarn.call.digest"],
    )


def test_a_tool_names_what_is_redacted_and_what_is_kept() -> None:
    """
    Paths reach into arguments and results, over any key or place; what is kept is kept whole; the digest is the same.
    """

    def send(rows: list[Any], payload: dict[str, Any], token: str) -> dict[str, Any]:
        return {"receipt": {"id": 7}, "session": "s", "rows": [1, 2]}

    paths = {
        "redact": ["rows.*.email", "payload.plan", "return.receipt"],
        "keep": ["token", "payload.auth", "return.session"],
    }
    rows, payload = [{"email": "a@b", "n": 1}], {"plan": {"x": 1}, "auth": {"password": "seen"}, "password": "hidden"}

    plain = recorded_call(forewarn.tool(effect="read")(send), rows, payload, "lexer")
    told = recorded_call(forewarn.tool(effect="read", **paths)(send), rows, payload, "lexer")

    assert told[0] == {
        "rows": [{"email": "*", "n": 1}],
        "payload": {"plan": "*", "auth": {"password": "seen"}, "password": "*"},
        "token": "lexer",
    }
    assert told[1] == {"receipt": "*", "session": "s", "rows": [1, 2]}
    assert plain[0]["token"] == plain[1]["session"] == "*"
    assert plain[2] == told[2]


def test_a_flat_call_and_a_whole_result_have_paths_too() -> None:
    """
    A path may be one parameter, or all that comes back.
    """

    @forewarn.tool(effect="read", redact=["pin", "return"])
    def pay(amount: int, pin: str) -> int:
        return 2231

    assert recorded_call(pay, 5, "2231")[:2] == ({"amount": 5, "pin": "*"}, "*")


@pytest.mark.parametrize("path", ["pim", "", "pin..x"])
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    """
    A misspelt path would leave a secret on record, so the declaration fails.
    """
    with pytest.raises(forewarn.ConfigurationError, match="no value at"):

        @forewarn.tool(effect="read", redact=[path])
        def pay(pin: str) -> None: ...


def test_a_parameter_may_name_what_another_one_holds() -> None:
    """
    `set_header("Authorization", ...)` is a pair.
    """

    @forewarn.tool(effect="read")
    def set_header(name: str, value: str) -> None: ...

    assert recorded_call(set_header, "Authorization", "x")[0] == {"name": "Authorization", "value": "*"}
    assert recorded_call(set_header, "Accept", "x")[0] == {"name": "Accept", "value": "x"}


def test_patterns_and_what_is_off_come_from_the_settings() -> None:
    """
    The match goes, or only its group `secret`; what is off by the name in its mark stays; `all` is everything.
    """
    settings = load_settings(redact_patterns=["ACCT-[0-9]{4}", "pin (?P<secret>[0-9]{4})"], redact_off=["session"])
    use_rules(settings.rules)

    text, count = redact_text("ACCT-1234 pin 2231 password=tr0ub4dor")

    assert re.sub(MARKED, "*", text) == "* pin * password=*"
    assert count == 3
    assert Redactor().name("session_id") == ""
    assert redact_text(text) == (text, 0)
    assert Redactor(Rules.of("", off=["all"])).text("password=tr0ub4dor") == "password=tr0ub4dor"


def test_a_pattern_that_is_none_is_refused() -> None:
    """
    A pattern that does not compile would redact nothing.
    """
    with pytest.raises(forewarn.ConfigurationError, match="no regular expression"):
        load_settings(redact_patterns=["("])


def test_marks_are_comparable_under_one_key_and_under_no_other() -> None:
    """
    `redaction_key` decides; else the ingest key; else every process has its own. The key is in no mark and no repr.
    """
    text, one = "password=tr0ub4dor", "fwk_test_1_" + "abcdefgh"
    of_key = [load_settings(key=one).rules, load_settings(key=one).rules, load_settings(key=one + "x").rules]
    of_own = [load_settings(key=key, redaction_key="mine").rules for key in (one, one + "x")]
    of_none = [load_settings().rules, load_settings().rules]

    marks = [Redactor(each).text(text) for each in (*of_key, *of_own, *of_none)]

    assert marks[0] == marks[1] != marks[2]
    assert marks[3] == marks[4] != marks[0]
    assert marks[5] != marks[6]
    assert one not in repr(of_key[0]) + marks[0]


def test_an_endpoint_holds_no_password() -> None:
    """
    Nothing would send it, and every text that names the endpoint would show it; so it is refused, unseen.
    """
    with pytest.raises(forewarn.ConfigurationError) as refused:
        load_settings(endpoint="http://bob:tr0ub4dor@127.0.0.1:4318")

    assert "tr0ub4dor" not in str(refused.value)
