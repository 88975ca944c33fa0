"""
What the pages show is what happens: their Python runs, their settings exist.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import forewarn
import forewarn.testing
from forewarn.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = sorted(p.relative_to(ROOT).as_posix() for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def _python(page: str) -> str:
    return "\n".join(re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize(
    ("page", "tools"),
    [
        ("README.md", ["delete_rows"]),
        ("docs/sdk.md", ["list_tables", "add_note", "drop", "drop", "vacuum"]),
        ("docs/redaction.md", []),
    ],
)
def test_the_python_of_a_page_runs(
    page: str, tools: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A reader who copies the examples gets the records that the text speaks of.
    """
    monkeypatch.setenv("FOREWARN_SPOOL", str(tmp_path))
    monkeypatch.delenv("FOREWARN_ENDPOINT", raising=False)

    with forewarn.testing.record() as recorded:
        exec(compile(_python(page), page, "exec"), {"__name__": page})
    forewarn.shutdown(0)

    started = [record["name"].split()[-1] for record in recorded.starts if record["name"].startswith("execute_tool")]
    assert started == tools


def test_every_setting_of_the_sdk_is_on_its_page() -> None:
    """
    A setting that nobody can find does not exist.
    """
    page = (ROOT / "docs/sdk.md").read_text()

    missing = [name for name in Settings.model_fields if f"FOREWARN_{name.upper()}" not in page]

    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    """
    Every relative link of a page names a file that is there.
    """
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", (ROOT / page).read_text())

    broken = [link for link in links if not ((ROOT / page).parent / link).exists()]

    assert broken == []
