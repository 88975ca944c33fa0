"""
The virtual environments of the peers that the benchmarks compare with: made once, from the versions in `peers.txt`.

    python benchmarks/peers.py [NAME ...]      make those that are missing or were made from another line

The benchmarks make what they need by themselves. A peer that cannot be installed is named with the reason, in the
report too; the others go on.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from measuring import clean_environment

FOLDER = Path(__file__).resolve().parent.parent / ".venv-peers"
PINS = Path(__file__).with_name("peers.txt")
_MARK = "installed.txt"


class PeerMissing(Exception):
    """The peer's environment could not be made: leave it out, and say so with this text."""


def requirements() -> dict[str, str]:
    """Name -> what is installed, as `peers.txt` says."""
    lines = (line.split(maxsplit=1) for line in PINS.read_text().splitlines() if line and not line.startswith("#"))
    return {name: wanted.strip() for name, wanted in lines}


def interpreter(name: str) -> Path:
    """The Python of a peer's environment, made now if need be; raises PeerMissing."""
    wanted = requirements()[name]
    home = FOLDER / name
    python = home / "bin" / "python"
    mark = home / _MARK
    if mark.is_file() and mark.read_text() == wanted:
        return python
    print(f"installing {name} into {home.relative_to(FOLDER.parent)} ...", file=sys.stderr, flush=True)
    _run([sys.executable, "-m", "venv", "--clear", str(home)])
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted.split()])
    mark.write_text(wanted)
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean_environment())
    if done.returncode:
        faults = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["unknown"]
        raise PeerMissing(f"not installed: {faults[0].removeprefix('ERROR: ')[:200]}")


def main() -> None:
    failed = 0
    for name in sys.argv[1:] or requirements():
        try:
            interpreter(name)
        except PeerMissing as why:
            failed += 1
            print(f"{name}: {why}", file=sys.stderr)
    print(f"{len(sys.argv[1:] or requirements()) - failed} environments in {FOLDER.name}, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
