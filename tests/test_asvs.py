"""The table of security requirements: each stands there once, and what is named as its proof exists."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Of levels 1 and 2 in ASVS 5.0.0.
N_REQUIREMENTS = 253


def rows() -> list[list[str]]:
    lines = (ROOT / "docs" / "asvs.md").read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| V\d", line)]


def numbers(said: str) -> list[str]:
    """V1.2.6–V1.2.8 is three."""
    found = []
    for part in said.split(", "):
        first, _, last = part.partition("–")
        section, _, begin = first.rpartition(".")
        end = (last or first).rpartition(".")[2]
        found += [f"{section}.{number}" for number in range(int(begin), int(end) + 1)]
    return found


def test_each_requirement_stands_there_once():
    counted = Counter(number for said, *_ in rows() for number in numbers(said))
    assert [number for number, n in counted.items() if n > 1] == []
    assert len(counted) == N_REQUIREMENTS
    assert {state for _, _, state, _ in rows()} == {"passed", "not met", "n/a"}


def test_what_shows_it_exists():
    named = {name for *_, where in rows() for name in re.findall(r"`([\w/.-]+/[\w.-]+|[\w-]+\.(?:txt|toml))`", where)}
    assert len(named) > 60
    assert [name for name in sorted(named) if not (ROOT / name.strip("/")).exists() and not name.startswith("/")] == []


def test_all_that_is_not_met_is_told_of_first():
    told = (ROOT / "docs" / "asvs.md").read_text(encoding="utf-8").partition("## V1 ")[0]
    missing = [number for said, _, state, _ in rows() if state == "not met" for number in numbers(said)]
    assert [number for number in missing if not re.search(rf"{number}\b|{number.rpartition('.')[0]}\)", told)] == []
