"""Labels that stand in several columns: one for each label with marks in it, one for each label of a row, or levels."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from labelling.csv_io.cleaning import clean
from labelling.csv_io.dialects import LABEL_NAMES, WEAK_LABEL_NAMES, plain

MARKED, EACH, LEVELS = "marked", "each", "levels"
SET = {"1", "1.0", "x", "✓", "✔", "true", "yes", "y", "ja", "wahr", "oui", "vrai", "sí", "si"}
UNSET = {"", "0", "0.0", "-", "false", "no", "n", "nein", "falsch", "non", "faux"}
LEVEL_WORDS = {"level", "lvl", "l", "tier", "ebene", "stufe", "niveau", "nivel", "livello"}
LABEL_WORDS = {*LABEL_NAMES, *WEAK_LABEL_NAMES, "coder", "annotator", "rater"}
# "Label 1", "coder_2", "L3".
NUMBERED = re.compile(r"(.*?[^\W\d_])[\W_]*\d{1,2}")


@dataclass(frozen=True)
class LabelColumns:
    """Columns that say together which labels a row has.

    ``kind``: MARKED where each is called as a label, EACH where it holds one, LEVELS where the last filled one
    does.
    ``are_likely``: whether it is hardly something else.
    """

    kind: str
    names: tuple[str, ...]
    are_likely: bool = True

    def cell(self, by_name: Mapping[str, str]) -> str:
        """What would stand in one column: a label, a list of several as JSON, or nothing."""
        cells = {name: by_name[name] for name in self.names}
        if self.kind == MARKED:
            labels = [clean(name) for name, cell in cells.items() if _is_set(cell)]
        else:
            labels = list(dict.fromkeys(filter(None, map(clean, cells.values()))))
        labels = labels[-1:] if self.kind == LEVELS else labels
        return json.dumps(labels, ensure_ascii=False) if len(labels) > 1 else "".join(labels)

    def fits(self, by_name: Mapping[str, str]) -> bool:
        """Whether a row can be read so: of marked columns, whether nothing but marks stands in them."""
        return self.kind != MARKED or all(_is_mark(by_name[name]) for name in self.names)


def find_label_columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], taken: Collection[str]
) -> LabelColumns | None:
    """Find the columns that hold labels together, by their names, or by the marks in them; None where there are none.

    Args:
        header: the columns' names.
        rows: some of the file's.
        taken: columns that hold something else.
    """
    free = [name for name in header if name not in taken]
    alike: dict[str, list[str]] = defaultdict(list)
    for name in free:
        if found := NUMBERED.fullmatch(plain(name)):
            alike[found.group(1)].append(name)
    for words, kind in ((LEVEL_WORDS, LEVELS), (LABEL_WORDS, EACH)):
        if names := next((names for word, names in alike.items() if word in words and len(names) > 1), None):
            return LabelColumns(kind, tuple(names))
    return _find_marked(free, [dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)])


def _find_marked(names: Sequence[str], rows: Sequence[Mapping[str, str]]) -> LabelColumns | None:
    """Columns of marks of which most rows have one: other flags are mostly not set, or are set together."""
    marked = [name for name in names if rows and all(_is_mark(row[name]) for row in rows)]
    marked = [name for name in marked if any(row[name].strip() for row in rows)]
    n_set = [sum(_is_set(row[name]) for name in marked) for row in rows]
    if len(marked) < 2 or 2 * sum(map(bool, n_set)) < len(rows):
        return None
    return LabelColumns(MARKED, tuple(marked), are_likely=2 * n_set.count(1) >= len(rows))


def _is_set(cell: str) -> bool:
    return cell.strip().casefold() in SET


def _is_mark(cell: str) -> bool:
    return _is_set(cell) or cell.strip().casefold() in UNSET
