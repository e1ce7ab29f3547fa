"""What people and models said of a text elsewhere, and which label follows from it.

Our own columns travel through other programs under names that none of them takes for its own: ``red_label`` and so on.
They hold on the way back where nobody has changed the label meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from labelling.csv_io.columns import MODEL, PROPOSALS
from labelling.csv_io.exporting import COLUMNS
from labelling.csv_io.stored import as_text

OURS = "red_"
# A column of the project that has the name of one of ours, or of the peer's, on its way there and back.
RENAMED = "red_column_"
# Of these a peer has its own.
NOT_CARRIED = {"id", "text"}
PEOPLE = ("seed", "human")


@dataclass(frozen=True)
class Opinion:
    """A label that somebody gave elsewhere; ``score`` is what a model gave it, in [0, 1]."""

    label: str
    by: str = ""
    at: str = ""
    score: float | None = None
    is_person: bool = True


def row_of(text: str, identifier: str, opinions: Collection[Opinion], others: Mapping[str, Any]) -> dict[str, str]:
    """Return a row in the columns of an export, the project's own beside them.

    Args:
        text: of the row.
        identifier: its id, or nothing.
        opinions: on it, the newest last.
        others: further columns, ours among them.
    """
    ours, metadata = _apart(others)
    cells = {"label": "", "source": "", "holdout": ours.get("holdout", "")}
    cells |= ours if _still_holds(ours, opinions) else _agreed(opinions)
    proposals = _proposals(opinions, cells)
    if proposals:
        cells[PROPOSALS] = json.dumps([asdict(opinion) for opinion in proposals], ensure_ascii=False)
    return {"id": identifier, "text": text} | cells | metadata


def carried(cells: Mapping[str, str], taken: Collection[str]) -> dict[str, str]:
    """Return an export's row under names for a peer, all of them strings: our columns, then the project's own.

    Args:
        cells: of the export.
        taken: names that the peer keeps for itself.
    """
    ours = {f"{OURS}{name}": cells.get(name, "") for name in COLUMNS if name not in NOT_CARRIED}
    own = {
        f"{RENAMED}{name}" if name in taken or name.startswith(OURS) else name: cell
        for name, cell in cells.items()
        if name not in COLUMNS
    }
    return ours | own


def is_of_people(cells: Mapping[str, str]) -> bool:
    """Whether a row's label is one that people gave, here or before."""
    return cells["source"] in PEOPLE


def _apart(others: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    ours, metadata = {}, {}
    for name, value in others.items():
        cell = as_text(value)
        if name.startswith(OURS) and name.removeprefix(OURS) in COLUMNS:
            ours[name.removeprefix(OURS)] = cell
        else:
            metadata[_free(name.removeprefix(RENAMED))] = cell
    return ours, {name: cell for name, cell in metadata.items() if cell}


def _free(name: str) -> str:
    while name in (*COLUMNS, PROPOSALS):
        name += " (original)"
    return name


def _still_holds(ours: Mapping[str, str], opinions: Iterable[Opinion]) -> bool:
    """Whether what this program said before is what the peer has now; None of a model's word is asked there."""
    if "label" not in ours or "source" not in ours:
        return False
    said = {opinion.label for opinion in opinions if opinion.is_person}
    expected = {ours["label"]} - {""} if is_of_people(ours) else set()
    return said - {""} == expected


def _agreed(opinions: Collection[Opinion]) -> dict[str, str]:
    """The label that all people gave, or else the last one of a model, which is history and not learnt from."""
    people = [opinion for opinion in opinions if opinion.is_person and opinion.label]
    if len({opinion.label for opinion in people}) == 1:
        last = people[-1]
        told = {"label": last.label, "source": "human", "decision": "override", "reviewer": last.by}
        return told | {"decided_at": last.at}
    models = [opinion for opinion in opinions if not opinion.is_person]
    if people or not models:
        return {}
    last = models[-1]
    probability = "" if last.score is None else f"{last.score:.4f}"
    return {"label": last.label, "source": MODEL, "probability": probability, "judge_model": last.by}


def _proposals(opinions: Iterable[Opinion], cells: Mapping[str, str]) -> list[Opinion]:
    """What is left to decide, or to know: labels of people who disagree, and what models said."""
    decided = is_of_people(cells)
    return [opinion for opinion in opinions if opinion.label and not (decided and opinion.is_person)]
