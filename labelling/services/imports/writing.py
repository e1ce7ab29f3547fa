"""Write documents, their labels and the lines they came in with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from labelling.csv_io.rows import (
    Row,
)
from labelling.csv_io.screening import Changed, Known
from labelling.models import (
    CsvImport,
    Document,
    Label,
    Prediction,
    QueueEntry,
    TrainingExample,
)
from labelling.models.documents import Source
from labelling.services.imports.checking import (
    Check,
    Progress,
    is_holdout,
)
from labelling.services.imports.lines import Lines, bring_up_to_date, further_lines
from labelling.services.inserting import insert
from labelling.services.labels import by_name, create_labels

# Rows written in one transaction: small enough that a reviewer never waits for it.
CHUNK_ROWS = 2_000
# Of a new document.
COLUMNS = (
    "project_id", "csv_import_id", "external_id", "text", "text_hash", "metadata", "provenance", "holdout", "proposals",
    "is_disputed", "given_label_id", "given_source",
)  # fmt: skip
# What a row may change of a document that is there.
CHANGED = ["provenance", "given_label", "given_source", "holdout", "proposals", "is_disputed"]


def prepare_project(csv_import: CsvImport, check: Check) -> None:
    project = csv_import.project
    before = set(project.labels.values_list("pk", flat=True))
    labels = create_labels(project, check.labels)
    # Once more after an interruption: those of the first time are there by now.
    csv_import.made_labels += [label.pk for label in labels.values() if label.pk not in before]
    csv_import.save(update_fields=["made_labels"])
    project.metadata_columns = list(dict.fromkeys([*project.metadata_columns, *check.metadata]))
    project.save(update_fields=["metadata_columns"])


def write(csv_import: CsvImport, check: Check, progress: Progress) -> None:
    labels = by_name(csv_import.project)
    total = sum(check.counts[role] for role in ("labelled", "holdout", "pool"))
    lines = Lines(csv_import, {item.row.text_hash for item in check.repeated})
    items, written = iter(check.kept), 0
    progress.report(CsvImport.Step.WRITE, 0, total)
    while chunk := list(islice(items, CHUNK_ROWS)):
        with progress.transaction():
            _write_chunk(csv_import, chunk, labels, check.holdout, lines)
        written += sum(isinstance(item, Row) for item in chunk)
        progress.report(CsvImport.Step.WRITE, written, total)


def _write_chunk(
    csv_import: CsvImport,
    chunk: list[Row | Known | Changed],
    labels: dict[str, Label],
    holdout: set[str],
    lines: Lines,
) -> None:
    rows = [item for item in chunk if isinstance(item, Row)]
    created_by = _write_documents(csv_import, rows, labels, holdout)
    _apply_changes(csv_import, [item for item in chunk if isinstance(item, Changed)], labels)
    lines.keep([row for row in further_lines(chunk, csv_import, lines.repeated) if row.line not in created_by])


def _write_documents(csv_import: CsvImport, rows: list[Row], labels: dict[str, Label], holdout: set[str]) -> set[int]:
    """Write new documents, and labels to those that have none; return the lines that became documents."""
    by_hash: dict[str, list[Row]] = {}
    for row in rows:
        by_hash.setdefault(row.text_hash, []).append(row)
    created = _create_documents(csv_import, by_hash, labels, holdout)
    if known := {key: of_text for key, of_text in by_hash.items() if key not in created}:
        _add_to_known(csv_import, known, labels, holdout)
    return {by_hash[key][0].line for key in created}


def _said(rows: Sequence[Row], labels: dict[str, Label], holdout: set[str]) -> dict[str, Any]:
    """What the rows of a text say of it; on its label the last one has its word."""
    last = rows[-1]
    return {
        "provenance": {name: cell for row in rows for name, cell in row.provenance.items()},
        "given_label_id": labels[last.label].pk if last.label else None,
        "given_source": last.source,
        "holdout": is_holdout(last, holdout),
        "proposals": [proposal for row in rows for proposal in row.proposals],
        "is_disputed": any(row.is_disputed for row in rows),
    }


def _add_to_known(
    csv_import: CsvImport, by_hash: dict[str, list[Row]], labels: dict[str, Label], holdout: set[str]
) -> None:
    known = csv_import.project.documents.filter(text_hash__in=by_hash)
    # The queue first, then the documents: whoever reviews locks them in this order too.
    labelled = [key for key, rows in by_hash.items() if any(row.source for row in rows)]
    QueueEntry.objects.filter(document__in=known.filter(text_hash__in=labelled)).delete()
    documents = list(known.select_for_update())
    # Somebody decided on these since the file was checked: their word holds.
    decided = set(known.filter(example__isnull=False).values_list("pk", flat=True))
    changed = [document for document in documents if document.pk not in decided]
    for document in changed:
        said = _said(by_hash[document.text_hash], labels, holdout)
        document.provenance |= said.pop("provenance")
        document.proposals += said.pop("proposals")
        document.is_disputed |= said.pop("is_disputed")
        for name, value in said.items():
            setattr(document, name, value)
    Document.objects.bulk_update(changed, CHANGED)
    _learn([(each.pk, each.given_label_id, each.given_source) for each in changed if not each.holdout])


def _create_documents(
    csv_import: CsvImport, by_hash: dict[str, list[Row]], labels: dict[str, Label], holdout: set[str]
) -> set[str]:
    """Write the texts that are new, and return their hashes."""
    rows, given = [], {}
    for key, of_text in by_hash.items():
        first, said = of_text[0], _said(of_text, labels, holdout)
        told = {"project_id": csv_import.project_id, "csv_import_id": csv_import.pk, "text_hash": key}
        told |= {"text": first.text, "external_id": first.external_id, "metadata": first.metadata} | said
        told |= {name: json.dumps(told[name]) for name in ("metadata", "provenance", "proposals")}
        rows.append([told[name] for name in COLUMNS])
        if not said["holdout"]:
            given[key] = (said["given_label_id"], said["given_source"])
    created = insert(Document, COLUMNS, rows, unless=("project_id", "text_hash"), returning=("id", "text_hash"))
    _learn([(pk, *given[key]) for pk, key in created if key in given])
    return {key for _pk, key in created}


def _learn(given: Iterable[tuple[int, int | None, str]]) -> None:
    """Learn the labels, given as document, label and source; without a source a text came without."""
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    rows = [(document, label, source, now) for document, label, source in given if source]
    insert(TrainingExample, ("document_id", "label_id", "source", "created_at"), rows)


def _apply_changes(csv_import: CsvImport, changed: list[Changed], labels: dict[str, Label]) -> None:
    """Take over what somebody chose to; the metadata in any case."""
    if not changed:
        return
    takes_text, takes_label = (csv_import.answers.get(f"changed:{what}") == "take" for what in ("text", "label"))
    by_id = {item.row.external_id: item.row for item in changed if item.what == "text"}
    by_hash = {item.row.text_hash: item.row for item in changed if item.what == "label"}
    documents = csv_import.project.documents.filter(Q(external_id__in=by_id) | Q(text_hash__in=by_hash))
    documents = documents.select_for_update(of=("self",)).select_related("example")
    for document in documents:
        row = by_hash.get(document.text_hash) or by_id[document.external_id]
        if takes_text and row.text_hash != document.text_hash:
            document.text, document.text_hash = row.text, row.text_hash
            QueueEntry.objects.filter(document=document).delete()
            Prediction.objects.filter(document=document).delete()
        if takes_label and row.source:
            _relabel(document, row, labels)
        if document.external_id == row.external_id:
            bring_up_to_date(document, row)
        document.save()


def _relabel(document: Document, row: Row, labels: dict[str, Label]) -> None:
    document.given_label = labels[row.label] if row.label else None
    document.given_source = row.source
    if document.holdout:
        return
    QueueEntry.objects.filter(document=document).delete()
    told = {"label": document.given_label, "source": row.source, "learned_in": None}
    TrainingExample.objects.exclude(source=Source.HUMAN).update_or_create(document=document, defaults=told)
