"""
The simulation in small, in processes of its own: it puts its time and its disk in the place of the interpreter's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def simulation(*arguments: str, module: str = "tests.simulation") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_no_history_breaks_a_promise() -> None:
    """
    Whatever crashes, repeats, is lost or late: what was acknowledged is stored once, and one page tells of an incident.
    """
    run = simulation("--seeds", "1-150", "--json")

    said = json.loads(run.stdout or "{}")
    assert (run.returncode, said.get("broken")) == (0, []), run.stderr
    assert said["seeds"] == 150
    for death in ("agent died", "gateway died", "sink died", "watcher died", "deliverer died"):
        assert said["counts"][death] > 0
    assert said["counts"]["pages received"] > 0


def test_a_seed_decides_everything() -> None:
    """
    A history that is lived again is the same, line by line.
    """
    first, second = simulation("--seed", "77"), simulation("--seed", "77")

    assert first.stdout == second.stdout
    assert "from here on nothing goes wrong" in first.stdout


def test_every_break_of_the_code_is_found() -> None:
    """
    Each mutation breaks the promise that it should, within a few hundred histories.
    """
    run = simulation("--mutations", "--mutations-up-to", "600", "--json")

    found = json.loads(run.stdout or "{}")
    assert len(found) >= 19, run.stderr
    assert [name for name, after in found.items() if after is None] == []


def test_the_model_counts_as_the_store_does(tmp_path: Path) -> None:
    """
    The store that histories are lived with keeps the real one's promises about tokens and repetitions.
    """
    run = simulation(str(tmp_path), module="tests.simulation.against_the_store")

    assert run.returncode == 0, run.stderr
    assert "'spans': 0" not in run.stdout
