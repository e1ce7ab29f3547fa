"""What the cells of a file mean: labels that look alike, words for nothing, several labels in one cell.

``survey`` counts, ``ask`` lists what only a person knows, ``understand`` turns the answers into a Meaning.
"""

from __future__ import annotations

import json
import re
from ast import literal_eval
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from labelling.csv_io.cleaning import clean, look_alike
from labelling.csv_io.dialects import NUMBER, is_empty, same_names
from labelling.csv_io.label_columns import EACH, LEVELS, MARKED, LabelColumns
from labelling.csv_io.records import Malformed, Record

# What programs write where there is nothing.
EMPTY_WORDS = {
    "nan", "null", "none", "n/a", "na", "n.a.", "nil", "<na>", "#n/a", "#nv", "(null)", "(blank)", "-", "--", "\u2013",
    "\u2014", "?", "??", "tbd", "tba", "todo", "unknown", "undefined", "missing", "not available", "not applicable",
    "k.a.", "k. a.", "keine angabe", "unbekannt", "offen", "n.v.", "inconnu", "desconocido", "sin datos", "s/o", "n/d",
}  # fmt: skip
# The same words as answers of people are texts.
SURELY_EMPTY = {"nan", "null", "<na>", "#n/a", "#nv", "(null)", "(blank)", "-", "--", "\u2013", "\u2014"}
NO_LABEL_WORDS = {
    "none", "none of these", "none of the above", "none of the labels", "no label", "no_label", "nolabel", "no match",
    "unlabelled", "unlabeled", "uncodable", "not codable", "out of scope", "out-of-scope", "out_of_scope", "oos",
    "keine", "keins", "keine davon", "nichts davon", "nicht codierbar", "ninguno", "aucun", "aucune", "nessuno",
}  # fmt: skip
SPLIT_NAMES = {
    "split", "holdout", "set", "fold", "partition", "subset", "dataset", "is_test", "is_holdout", "is_validation",
}  # fmt: skip
LEARNT_WORDS = {"train", "training", "learn", "no", "false", "0", ""}
HELD_OUT_WORDS = {"test", "testing", "holdout", "held out", "dev", "val", "valid", "validation", "eval", "evaluation",
                  "yes", "true", "1"}  # fmt: skip
# What parts of a data set are called: words of those columns, and names of files and lists that hold a part each.
SPLIT_WORDS = {*LEARNT_WORDS, *HELD_OUT_WORDS} - {"", "0", "1", "no", "yes", "true", "false", "learn"}
SEPARATORS = "#;|,"
# Of an object, what its label is called.
NAMES_OF_LABELS = ("name", "label", "value", "title", "text")
WHOLE = re.compile(r"(\d+)\.0+")
TOTALS = {
    "total", "totals", "grand total", "sum", "summe", "gesamt", "gesamtsumme", "gesamtergebnis", "insgesamt", "somme",
    "totale", "suma", "итого", "合计", "合計",
}  # fmt: skip
# So many rows below an empty one may be remarks.
MAX_REMARKS = 5
# From here on labels of one row each are worth a look: is it the right column?
MANY_SINGLES = 20
MAX_SHOWN = 10
MAX_WORD_CHARS = 10

Cells = Mapping[str, tuple[str, ...]]
Choices = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Question:
    """Something that only a person knows; ``choices`` are answers with their words, ``guess`` is one of them."""

    key: str
    text: str
    choices: Choices
    guess: str
    examples: list[str] = field(default_factory=list)


@dataclass
class Survey:
    """What was counted in a file: labels as ``clean`` writes them, and the line on which each stands first."""

    labels: Counter[str] = field(default_factory=Counter)
    ids: Counter[str] = field(default_factory=Counter)
    texts: Counter[str] = field(default_factory=Counter)
    splits: dict[str, Counter[str]] = field(default_factory=dict)
    lines: dict[tuple[str, str], int] = field(default_factory=dict)
    label_columns: LabelColumns | None = None
    footer: list[Record] = field(default_factory=list)
    footer_may_be_texts: bool = False


@dataclass(frozen=True)
class Meaning:
    """How to read the cells of a file. The default: as they are."""

    empty_texts: frozenset[str] = frozenset()
    empty_labels: frozenset[str] = frozenset()
    empty_ids: frozenset[str] = frozenset()
    no_label: frozenset[str] = frozenset()
    names: Mapping[str, str] = field(default_factory=dict)
    cells_of_several: Cells = field(default_factory=dict)
    several: str = "one"
    whole: frozenset[str] = frozenset()
    split: str = ""
    label_columns: LabelColumns | None = None
    footer: frozenset[int] = frozenset()

    def name(self, label: str) -> str:
        """The name by which a label is known."""
        if "label" in self.whole and (found := WHOLE.fullmatch(label)):
            label = found.group(1)
        return self.names.get(label, label)

    def identifier(self, cell: str) -> str:
        if cell in self.empty_ids:
            return ""
        found = WHOLE.fullmatch(cell) if "id" in self.whole else None
        return found.group(1) if found else cell

    def parts(self, cell: str) -> list[str]:
        """The different labels in a cell, one for most."""
        parts = self.cells_of_several.get(cell, (cell,)) if self.several != "one" else (cell,)
        return list(dict.fromkeys(self.name(part) for part in parts if part not in self.empty_labels | self.no_label))


def tells_parts(column: str) -> bool:
    """Whether a column that is called so says of each row to which part of a data set it belongs."""
    return column.casefold() in SPLIT_NAMES


def is_held_out(word: str) -> bool:
    """Whether a row of this split measures and is not learnt from."""
    return word.strip().casefold() in HELD_OUT_WORDS


def survey(
    records: Iterable[Record | Malformed],
    header: Sequence[str],
    text: str,
    label: str,
    identifier: str,
    several: LabelColumns | None = None,
) -> Survey:
    """Count the labels of a file, and the words in it that may mean nothing.

    Args:
        records: those below the header.
        header: the columns' names.
        text: name of a column, as ``label`` and ``identifier``; empty where there is none.
        several: columns that may hold labels instead of one; found is whether all rows are so.
    """
    found = Survey(splits={name: Counter() for name in header if tells_parts(name)}, label_columns=several)
    places = {name: header.index(name) for name in (text, label, identifier, *found.splits) if name}
    below_data = _BelowData(len(header))
    for record in records:
        below_data.see(record)
        if isinstance(record, Malformed) or len(record.cells) < len(header) or same_names(record.cells, header):
            continue
        if is_empty(record.cells):
            continue
        if found.label_columns:
            by_name = dict(zip(header, record.cells, strict=False))
            cell = found.label_columns.cell(by_name)
            if not found.label_columns.fits(by_name):
                found.label_columns = None
                found.labels.clear()
        else:
            cell = clean(record.cells[places[label]]) if label else ""
        if cell and (label or found.label_columns):
            found.labels[cell] += 1
            found.lines.setdefault(("label", cell), record.line)
        if (
            (cell := record.cells[places[text]])
            and len(cell) <= MAX_WORD_CHARS
            and cell.strip().casefold() in EMPTY_WORDS
        ):
            found.texts[cell.strip()] += 1
            found.lines.setdefault(("text", cell.strip()), record.line)
        if identifier and (cell := record.cells[places[identifier]].strip()):
            found.ids[_kind_of_id(cell)] += 1
            found.lines.setdefault(("id", cell), record.line)
        for name, words in found.splits.items():
            words[record.cells[places[name]].strip()] += 1
    found.footer = below_data.footer()
    found.footer_may_be_texts = any(_is_text_alone(record, places[text]) for record in found.footer)
    return found


def _is_text_alone(record: Record, place: int) -> bool:
    return [n for n, cell in enumerate(record.cells) if cell.strip()] == [place]


class _BelowData:
    """The last records of a file, and whether an empty row stands above them."""

    def __init__(self, width: int):
        self._width = width
        self._n_above = 0
        self._last: list[Record] = []

    def see(self, record: Record | Malformed) -> None:
        if isinstance(record, Malformed):
            self._last = []
        elif is_empty(record.cells):
            self._n_above += len(self._last)
            self._last = []
        elif len(self._last) <= MAX_REMARKS:
            self._last.append(record)
        else:
            self._n_above += 1
            self._last = [*self._last[1:], record]

    def footer(self) -> list[Record]:
        """Those that are hardly data: a total, or a few remarks of one cell each below an empty row."""
        if self._width < 2 or not self._last:
            return []
        first, *others = [cell.strip() for cell in self._last[-1].cells if cell.strip()]
        is_sparse = len(others) + 1 < self._width or any(map(NUMBER.fullmatch, others))
        if first.strip(" :").casefold() in TOTALS and is_sparse:
            return self._last[-1:]
        are_remarks = all(sum(map(bool, map(str.strip, record.cells))) == 1 for record in self._last)
        return self._last if self._n_above and len(self._last) <= MAX_REMARKS and are_remarks else []


def ask(found: Survey, known: Collection[str]) -> list[Question]:
    """List what a person has to say before the file can be imported.

    Args:
        found: of ``survey``.
        known: names of the labels that the project has.
    """
    known_names = {clean(name) for name in known}
    cells = cells_of_several(found.labels, known_names)
    return [
        *_ask_label_columns(found),
        *_ask_footer(found),
        *_ask_words(found, known_names),
        *_ask_whole(found),
        *_ask_several(found, cells),
        *_ask_look_alikes(found, known, cells),
        *_ask_splits(found),
    ]


def understand(
    found: Survey, known: Collection[str], answers: Mapping[str, str], others: Mapping[str, str] | None = None
) -> Meaning:
    """Return how to read the file by the answers to ``ask``; what nobody has answered is read as it stands.

    Args:
        others: by codes of labels, and names that they had, their names; those are known, too.
    """
    others = others or {}

    def words(role: str, answer: str) -> frozenset[str]:
        return frozenset(
            key.removeprefix(f"{role}:")
            for key, given in answers.items()
            if key.startswith(f"{role}:") and given == answer
        )

    names = {clean(name): name for name in known}
    for key, group in _groups(found.labels, known).items():
        if answers.get(f"same:{key}") == "same":
            target = _target(group, found.labels, known)
            names |= {label: target for label in group if label not in known}
    names = {label: others.get(target, target) for label, target in names.items()}
    return Meaning(
        empty_texts=words("text", "empty"),
        empty_labels=words("label", "empty"),
        empty_ids=words("id", "empty"),
        no_label=words("label", "none"),
        names=names,
        cells_of_several=cells_of_several(found.labels, {clean(name) for name in known}),
        several=answers.get("several", "one"),
        whole=frozenset(role for role in ("id", "label") if answers.get(f"whole:{role}") == "whole"),
        label_columns=found.label_columns if answers.get("label_columns") == "labels" else None,
        footer=frozenset(record.line for record in found.footer if answers.get("footer") == "leave"),
        split=next((name for name in found.splits if answers.get(f"split:{name}") == "holdout"), ""),
    )


def odd_singles(found: Survey) -> str:
    """Say so when many labels have one row each; empty when not."""
    singles = sum(n == 1 for n in found.labels.values())
    if singles < MANY_SINGLES or 2 * singles <= len(found.labels):
        return ""
    told = {"n": singles, "all": len(found.labels)}
    return _("%(n)s of the file's %(all)s labels have one row each. Is this the column of the labels?") % told


def cells_of_several(labels: Mapping[str, int], known: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Find the cells that hold several labels: JSON lists, and lists of which each part is a label of its own."""
    split = {cell: parts for cell in labels if cell not in known and (parts := _split(cell)) is not None}
    times = Counter(part for parts in split.values() for part in set(parts))
    alone = (set(labels) - set(split)) | set(known)
    return {
        cell: parts
        for cell, parts in split.items()
        if cell[0] in "[{" or all(part in alone or times[part] > 1 for part in parts)
    }


def _split(cell: str) -> tuple[str, ...] | None:
    """Return the parts of a cell that looks like a list; None when it does not."""
    if cell[0] in "[{":
        parts = _labels_in(_read_list(cell))
        return None if parts is None else tuple(map(clean, parts))
    for separator in SEPARATORS:
        parts = [clean(part) for part in cell.split(separator)]
        if len(parts) > 1 and all(parts):
            return tuple(parts)
    return None


def _read_list(cell: str) -> Any:
    """Read a cell as JSON, or as Python writes its lists; None where it is neither."""
    for read in (json.loads, literal_eval):
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return read(cell)
    return None


def _labels_in(value: Any) -> list[str] | None:
    """The labels of a list, of scores by label those of one half or more; of an object its name."""
    if isinstance(value, dict):
        if "choices" in value:
            return _labels_in(value["choices"])
        if all(isinstance(score, (int, float)) for score in value.values()):
            return [str(label) for label, score in value.items() if score >= 0.5]
        named = next((value[name] for name in NAMES_OF_LABELS if isinstance(value.get(name), str)), None)
        return None if named is None else [named]
    if not isinstance(value, list):
        return None
    found = [_labels_in(each) if isinstance(each, (dict, list)) else [str(each)] for each in value]
    return None if None in found else [label for labels in found for label in labels or ()]


def _kind_of_id(cell: str) -> str:
    """Ids are counted by kind alone: there may be one for each row."""
    if cell.casefold() in EMPTY_WORDS:
        return cell
    return "1.0" if WHOLE.fullmatch(cell) else ""


def _quoted(found: Survey, role: str, cells: Iterable[str]) -> list[str]:
    """Name cells with the line on which they stand first."""
    shown = []
    for cell in cells:
        line = found.lines.get((role, cell))
        told = {"cell": cell, "line": line, "n": getattr(found, f"{role}s")[cell]}
        shown.append(
            _("“%(cell)s” (line %(line)s, rows: %(n)s)") % told
            if line
            else _("“%(cell)s” (label of the project)") % told
        )
    return shown[:MAX_SHOWN]


def _ask_label_columns(found: Survey) -> Iterator[Question]:
    if found.label_columns is None:
        return
    told = {"names": ", ".join(f"“{name}”" for name in found.label_columns.names[:MAX_SHOWN])}
    labels = {
        MARKED: _("yes: each is a label, of the rows in which it is marked"),
        EACH: _("yes: a row has what stands in them"),
        LEVELS: _("yes: a row has the last that is filled, the others are kept"),
    }
    choices = [("labels", labels[found.label_columns.kind]), ("metadata", _("no: keep the columns, no label yet"))]
    text = _("Labels seem to stand in several columns: %(names)s. Is this so?") % told
    yield Question("label_columns", text, choices, "labels" if found.label_columns.are_likely else "metadata")


def _ask_footer(found: Survey) -> Iterator[Question]:
    if found.footer:
        shown = [f"{record.line}: {' | '.join(record.cells)[:200]}" for record in found.footer]
        choices = [("leave", _("a total or a remark: leave it out")), ("keep", _("a row like the others"))]
        guess = "keep" if found.footer_may_be_texts else "leave"
        yield Question("footer", _("What stands at the end of the file?"), choices, guess, shown)


def _ask_words(found: Survey, known: Collection[str]) -> Iterator[Question]:
    for word in found.texts:
        choices = [("empty", _("an empty text: leave the row out")), ("text", _("a text"))]
        guess = "empty" if word.casefold() in SURELY_EMPTY else "text"
        yield Question(
            f"text:{word}",
            _("What does “%(word)s” mean as a text?") % {"word": word},
            choices,
            guess,
            _quoted(found, "text", [word]),
        )
    for word in found.labels:
        if word in known or word.casefold() not in EMPTY_WORDS | NO_LABEL_WORDS:
            continue
        choices = [
            ("empty", _("nothing: no label yet")),
            ("none", _("the text belongs to none of the labels")),
            ("name", _("a label of this name")),
        ]
        programs_word = word.casefold() in EMPTY_WORDS and word != "none"
        text = _("What does “%(word)s” mean as a label?") % {"word": word}
        yield Question(
            f"label:{word}", text, choices, "empty" if programs_word else "none", _quoted(found, "label", [word])
        )
    for word in found.ids:
        if word.casefold() in EMPTY_WORDS:
            text = _("What does “%(word)s” mean as an id?") % {"word": word}
            choices = [("empty", _("nothing: the row has no id")), ("id", _("an id"))]
            yield Question(f"id:{word}", text, choices, "empty", _quoted(found, "id", [word]))


def _ask_whole(found: Survey) -> Iterator[Question]:
    words = EMPTY_WORDS | NO_LABEL_WORDS
    ids = [cell for cell in found.ids if cell.casefold() not in words]
    labels = [cell for cell in found.labels if cell.casefold() not in words]
    choices = [("whole", _("whole numbers: 1.0 is read as 1")), ("kept", _("as they stand"))]
    if ids == ["1.0"]:
        yield Question("whole:id", _("All ids end in “.0”. What are they?"), choices, "whole")
    if labels and all(map(WHOLE.fullmatch, labels)):
        yield Question(
            "whole:label",
            _("All labels end in “.0”. What are they?"),
            choices,
            "whole",
            _quoted(found, "label", labels),
        )


def _ask_several(found: Survey, cells: Cells) -> Iterator[Question]:
    if not cells:
        return
    n = sum(found.labels[cell] for cell in cells)
    text = ngettext(
        "%(n)s row holds several labels in its cell, or a list. What are they?",
        "%(n)s rows hold several labels in their cell, or a list. What are they?",
        n,
    )
    choices = [
        ("people", _("labels: people decide which one holds (no label yet, the cell is kept)")),
        ("first", _("labels: the first one holds")),
        ("reject", _("an error: reject these rows")),
        ("one", _("one label of this name each")),
    ]
    yield Question("several", text % {"n": n}, choices, "people", _quoted(found, "label", cells))


def _groups(labels: Collection[str], known: Collection[str]) -> dict[str, list[str]]:
    """By key: labels that look alike, those of the project first; at least one is new."""
    cleaned = {clean(name) for name in known}
    alike: dict[str, list[str]] = defaultdict(list)
    for label in [*known, *(label for label in labels if label not in cleaned)]:
        alike[look_alike(label)].append(label)
    return {key: group for key, group in alike.items() if len(group) > 1 and not set(group) <= set(known)}


def _target(group: Sequence[str], counts: Mapping[str, int], known: Collection[str]) -> str:
    """The name that the labels of a group share: the project's, else the most frequent, else the first."""
    return next((label for label in group if label in known), max(group, key=lambda label: counts[label]))


def _ask_look_alikes(found: Survey, known: Collection[str], cells: Cells) -> Iterator[Question]:
    words = EMPTY_WORDS | NO_LABEL_WORDS
    for key, group in _groups([label for label in found.labels if label not in cells], known).items():
        if all(label.casefold() in words for label in group):
            continue
        target = _target(group, found.labels, known)
        choices = [("same", _("one label, “%(name)s”") % {"name": target}), ("another", _("different labels"))]
        # 0110 and 110 may be two codes; the other differences are hardly ever meant.
        codes = {WHOLE.sub(r"\1", label) for label in group}
        guess = "another" if len(codes) > 1 and all(map(str.isdigit, codes)) else "same"
        yield Question(
            f"same:{key}",
            _("These labels look alike. Are they the same?"),
            choices,
            guess,
            _quoted(found, "label", group),
        )


def _ask_splits(found: Survey) -> Iterator[Question]:
    for name, words in found.splits.items():
        held = [word for word in words if is_held_out(word)]
        if not held or not all(word.casefold() in LEARNT_WORDS | HELD_OUT_WORDS for word in words):
            continue
        told = {"name": name, "words": ", ".join(f"“{word}”" for word in held)}
        text = _("The column “%(name)s” says %(words)s. Are these rows to measure with, never to learn from?") % told
        choices = [("holdout", _("yes: hold them out")), ("metadata", _("no: learn from them, keep the column"))]
        yield Question(f"split:{name}", text, choices, "holdout", [f"{word or '–'}: {n}" for word, n in words.items()])
