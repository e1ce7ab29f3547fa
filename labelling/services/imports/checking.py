"""A pass over the whole file, before anything is written."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from django.conf import settings
from django.core.files import File
from django.utils.translation import get_language_info, ngettext
from django.utils.translation import gettext as _

from labelling.csv_io.columns import read_header
from labelling.csv_io.languages import Sample, foreign
from labelling.csv_io.names import Meaning, Question
from labelling.csv_io.rows import (
    EMPTY_ROW,
    EMPTY_WORD,
    FOOTER,
    REPEATED_NAMES,
    LeftOut,
    Problem,
    Row,
    folded,
    read_rows,
    rejected_lines,
    text_hash,
)
from labelling.csv_io.screening import Changed, Existing, Known, screen
from labelling.models import (
    CsvImport,
    Project,
)
from labelling.models import Row as StoredRow
from labelling.models.documents import Source
from labelling.services import encoding
from labelling.services.imports.holding_out import draw_holdout
from labelling.services.imports.keeping import Kept
from labelling.services.imports.uploading import columns_of, format_of

MAX_SHOWN_PROBLEMS = 200
MAX_SHOWN_CHANGES = 10
MAX_SHOWN_LINES = 10


class Progress(Protocol):
    """What a job reports to; ``transaction`` is atomic and only opens while the job is ours."""

    def report(self, step: str, done: int = 0, total: int = 0) -> None: ...

    def transaction(self) -> AbstractContextManager[None]: ...


@dataclass
class Check:
    """What a pass over the whole file found."""

    header: list[str]
    counts: Counter[str] = field(default_factory=Counter)
    rejected: list[Problem] = field(default_factory=list)
    repeated: list[Known] = field(default_factory=list)
    changed: list[Changed] = field(default_factory=list)
    left_out: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    labels: dict[str, None] = field(default_factory=dict)
    metadata: dict[str, None] = field(default_factory=dict)
    holdout: set[str] = field(default_factory=set)
    foreign: dict[str, int] = field(default_factory=dict)
    n_looked_at: int = 0
    kept: Kept = field(default_factory=Kept)


def check_rows(csv_import: CsvImport, meaning: Meaning, progress: Progress) -> Check:
    seeds: dict[str, tuple[str, str]] = {}
    new_seeds: list[str] = []
    sample = Sample()
    size = csv_import.file.size
    with csv_import.file.open("rb") as file:
        check = Check(read_header(file, format_of(csv_import)))
        for item in _screened(csv_import, meaning, file):
            progress.report(CsvImport.Step.CHECK, file.tell(), size)
            if isinstance(item, LeftOut):
                check.left_out[item.reason].append(item.line)
                continue
            check.counts["rows"] += 1
            if isinstance(item, Problem):
                check.rejected.append(item)
                continue
            check.kept.add(item)
            row = item if isinstance(item, Row) else item.row
            check.metadata |= dict.fromkeys(row.metadata)
            if row.source == "seed" and csv_import.holdout_percent:
                seeds[row.text_hash] = (row.label, text_hash(folded(row.text)))
            if isinstance(item, Known):
                check.counts["same_in_file" if item.in_file else "same_in_project"] += 1
                check.repeated += [item] if item.in_file else []
            elif isinstance(item, Changed):
                check.changed.append(item)
            else:
                sample.add(row.text)
                _count_new(check, row)
                new_seeds += [row.text_hash] if row.source == "seed" and not row.holdout else []
    check.holdout = draw_holdout(seeds, csv_import.holdout_percent) if seeds else set()
    drawn = sum(key in check.holdout for key in new_seeds)
    check.counts.update(holdout=drawn, labelled=-drawn)
    check.counts = +check.counts  # without what is none any more
    check.foreign, check.n_looked_at = foreign(sample.texts, encoding.languages(csv_import.project.encoder_in_use))
    _count_others(csv_import, check)
    return check


def _count_new(check: Check, row: Row) -> None:
    check.counts["holdout" if row.holdout else "labelled" if row.source else "pool"] += 1
    check.labels |= dict.fromkeys([row.label, *row.proposed] if row.label else row.proposed)
    if row.is_disputed:
        check.counts["disputed"] += 1


def _count_others(csv_import: CsvImport, check: Check) -> None:
    if csv_import.answers.get("changed:label") == "take":
        check.labels |= {item.row.label: None for item in check.changed if item.row.label}
    check.counts["rejected"] = len(check.rejected)
    if check.changed:
        check.counts["changed"] = len(check.changed)
    if n_left_out := sum(map(len, check.left_out.values())):
        check.counts["left_out"] = n_left_out


def ask_changes(check: Check) -> Iterator[Question]:
    """Ask about rows whose id is known with another text or label; their metadata is updated in any case."""
    texts = [item for item in check.changed if item.what == "text"]
    labels = [item for item in check.changed if item.row.source and item.row.label != item.before]
    choices = [("keep", _("keep what the project has")), ("take", _("take what the file says"))]
    if texts:
        text = ngettext(
            "%(n)s id stands for another text in the project. Which one holds?",
            "%(n)s ids stand for other texts in the project. Which ones hold?",
            len(texts),
        )
        shown = [_("line %(line)s, id “%(id)s”: “%(text)s”") % _told(item) for item in texts[:MAX_SHOWN_CHANGES]]
        yield Question("changed:text", text % {"n": len(texts)}, choices, "keep", shown)
    if labels:
        text = ngettext(
            "%(n)s id has another label in the project. Which one holds?",
            "%(n)s ids have other labels in the project. Which ones hold?",
            len(labels),
        )
        words = _("line %(line)s, id “%(id)s”: “%(label)s” instead of “%(before)s”")
        shown = [words % _told(item) for item in labels[:MAX_SHOWN_CHANGES]]
        yield Question("changed:label", text % {"n": len(labels)}, choices, "keep", shown)


def _told(item: Changed) -> dict[str, str | int]:
    row = item.row
    return {"line": row.line, "id": row.external_id, "text": row.text[:80], "label": row.label, "before": item.before}


def save_check(csv_import: CsvImport, check: Check) -> None:
    existing = set(csv_import.project.labels.values_list("name", flat=True))
    check.counts["new_labels"] = len(check.labels.keys() - existing)
    csv_import.counts = dict(check.counts)
    shown = [{"line": item.line, "column": item.column, "reason": item.reason} for item in check.rejected]
    notices = [
        {"line": item.row.line, "column": csv_import.text_column, "reason": item.reason, "notice": True}
        for item in check.repeated
    ]
    left_out = [_left_out_notice(reason, lines) for reason, lines in check.left_out.items()]
    csv_import.problems = (
        _foreign_notice(csv_import.project, check)
        + left_out
        + shown[:MAX_SHOWN_PROBLEMS]
        + notices[:MAX_SHOWN_PROBLEMS]
    )
    csv_import.questions = []
    if check.rejected:
        with tempfile.TemporaryFile() as out:
            lines = rejected_lines(check.header, check.rejected)
            # Bytes that the encoding does not know are written as they were.
            out.writelines(line.encode(errors="surrogateescape") for line in lines)
            csv_import.rejected_file.save(f"rejected-{csv_import.pk}.csv", File(out), save=False)
    csv_import.save(update_fields=["counts", "problems", "questions", "rejected_file"])


def _left_out_notice(reason: str, lines: list[int]) -> dict[str, str | int | bool]:
    words = {
        EMPTY_ROW: _("Nothing but empty cells: left out. Lines: %(lines)s"),
        REPEATED_NAMES: _("The column names again: left out. Lines: %(lines)s"),
        EMPTY_WORD: _("A word that means an empty text: left out. Lines: %(lines)s"),
        FOOTER: _("A total or a remark below the data: left out. Lines: %(lines)s"),
    }
    shown = ", ".join(map(str, lines[:MAX_SHOWN_LINES])) + (" …" if len(lines) > MAX_SHOWN_LINES else "")
    told = words[reason] % {"lines": shown}
    return {"line": lines[0], "column": "", "reason": told, "notice": True, "aggregate": True}


def _foreign_notice(project: Project, check: Check) -> list[dict[str, str | int | bool]]:
    """What the encoder will hardly understand: texts in a language that it has not learnt."""
    if not check.foreign:
        return []
    told = _(
        "%(n)s of %(looked_at)s texts seem to be in a language that the encoder %(encoder)s does not know "
        "(%(languages)s): it will hardly understand them."
    ) % {
        "n": sum(check.foreign.values()),
        "looked_at": check.n_looked_at,
        "encoder": project.encoder_in_use,
        "languages": ", ".join(f"{_language(code)}: {n}" for code, n in check.foreign.items()),
    }
    if better := encoding.better_for(project, check.foreign):
        advice = _("Change to %(encoder)s, which knows them: Settings, Advanced, Encoder.") % {"encoder": better}
    else:
        advice = _("An administrator can list a multilingual one in ENCODERS, as intfloat/multilingual-e5-small.")
    return [{"line": 1, "column": "", "reason": f"{told} {advice}", "notice": True, "aggregate": True}]


def _language(code: str) -> str:
    try:
        return get_language_info(code)["name_translated"]
    except KeyError:
        return code


def is_holdout(row: Row, holdout: set[str]) -> bool:
    return row.holdout or (row.source == "seed" and row.text_hash in holdout)


def _screened(
    csv_import: CsvImport, meaning: Meaning, file: BinaryIO
) -> Iterator[Row | Problem | Known | Changed | LeftOut]:
    columns = columns_of(csv_import)
    rows = read_rows(file, format_of(csv_import), columns, settings.MAX_TEXT_CHARS, meaning)
    documents = csv_import.project.documents
    further = StoredRow.objects.filter(document__project=csv_import.project)
    shared = set(further.values_list("document__text_hash", flat=True))
    columns_read = ("text_hash", "example__label__name", "example__source", "given_label__name", "given_source")
    existing = {
        text_hash: Existing(
            (label if source else given) or "",
            labelled=bool(source or given_source),
            decided=source == Source.HUMAN,
            shared=text_hash in shared,
        )
        for text_hash, label, source, given, given_source in documents.values_list(*columns_read).iterator()
    }
    ids = dict(documents.exclude(external_id="").values_list("external_id", "text_hash"))
    ids |= dict(further.exclude(external_id="").values_list("external_id", "document__text_hash"))
    return screen(rows, columns, existing, ids)
