"""CSV files in: upload, choose the columns, check, write."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO, Protocol, cast

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files import File
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from labelling.csv_io.formats import Format, detect
from labelling.csv_io.rows import (
    Columns,
    Existing,
    Known,
    Problem,
    Row,
    guess_columns,
    preview,
    read_header,
    read_rows,
    rejected_lines,
    screen,
)
from labelling.models import BackgroundJob, CsvImport, Document, Label, Project, QueueEntry, TrainingExample
from labelling.services import Refused, queueing
from labelling.services.labels import create_labels

# Rows written in one transaction: small enough that a reviewer never waits for it.
CHUNK_ROWS = 2_000
MAX_SHOWN_PROBLEMS = 200


class Progress(Protocol):
    """What a job reports to; ``transaction`` is atomic and only opens while the job is ours."""

    def report(self, step: str, done: int = 0, total: int = 0) -> None: ...

    def transaction(self) -> AbstractContextManager[None]: ...


def upload(project: Project, file: File, user: User | None, encoding: str = "", delimiter: str = "") -> CsvImport:
    """Keep an uploaded file and guess how to read it, as far as that is not given.

    Raises:
        NotCsv: when the file is empty or no CSV.
    """
    binary = cast("BinaryIO", file)
    guess = detect(binary)
    fmt = Format(encoding or guess.encoding, delimiter or guess.delimiter)
    columns = guess_columns(read_header(binary, fmt), preview(binary, fmt))
    return CsvImport.objects.create(
        project=project,
        created_by=user,
        state=BackgroundJob.State.WAITING,
        file=file,
        filename=(file.name or "file.csv")[:255],
        encoding=fmt.encoding,
        delimiter=fmt.delimiter,
        text_column=columns.text,
        label_column=columns.label,
        id_column=columns.id,
        is_export=columns.is_export,
    )


def start(csv_import: CsvImport) -> None:
    """Queue an import: it checks the file, and imports it when nothing is wrong.

    Raises:
        Refused: when it has started already, or another import of the project is active.
    """
    if csv_import.state != BackgroundJob.State.WAITING:
        raise Refused(_("This import has been started already."))
    _enqueue(csv_import)


def start_here(csv_import: CsvImport) -> None:
    """Make an import ready for a process that runs it itself, without the worker.

    Raises:
        Refused: when another import of the project is active.
    """
    _enqueue(csv_import, send=False)


def keep_good_rows(csv_import: CsvImport) -> None:
    """Import the rows that are in order although others were rejected."""
    csv_import.keep_good_rows = True
    csv_import.counts = {}
    start(csv_import)


def retry(csv_import: CsvImport) -> None:
    """Queue a failed or cancelled import again; what it has written already adds nothing.

    Raises:
        Refused: when it is running or done.
    """
    if csv_import.state not in (BackgroundJob.State.FAILED, BackgroundJob.State.CANCELLED):
        raise Refused(_("Only a failed or cancelled import can be tried again."))
    _enqueue(csv_import)


def _enqueue(csv_import: CsvImport, send: bool = True) -> None:
    try:
        with transaction.atomic():
            queueing.enqueue(csv_import, send)
    except IntegrityError as error:
        raise Refused(_("Another import into this project is running. Wait until it has ended.")) from error


def run(csv_import: CsvImport, progress: Progress) -> str:
    """Check the file and write its rows; return the state in which the import ends.

    May be run again after an interruption: rows that are written already add nothing.
    """
    progress.report(CsvImport.Step.CHECK)
    check = _check(csv_import, progress)
    with progress.transaction():
        if not csv_import.counts:
            # Counted once: after an interruption, rows that are written already would count as known.
            _save_check(csv_import, check)
        if check.rejected and not csv_import.keep_good_rows:
            return BackgroundJob.State.WAITING
        _prepare_project(csv_import, check)
    _write(csv_import, check, progress)
    return BackgroundJob.State.DONE


@dataclass
class _Check:
    """What a pass over the whole file found."""

    header: list[str]
    counts: Counter[str] = field(default_factory=Counter)
    rejected: list[Problem] = field(default_factory=list)
    repeated: list[Known] = field(default_factory=list)
    labels: dict[str, None] = field(default_factory=dict)
    metadata: dict[str, None] = field(default_factory=dict)
    holdout: set[str] = field(default_factory=set)


def _check(csv_import: CsvImport, progress: Progress) -> _Check:
    by_label: dict[str, list[str]] = defaultdict(list)
    new: list[Row] = []
    size = csv_import.file.size
    with csv_import.file.open("rb") as file:
        check = _Check(read_header(file, _format(csv_import)))
        for item in _screened(csv_import, file):
            progress.report(CsvImport.Step.CHECK, file.tell(), size)
            check.counts["rows"] += 1
            if isinstance(item, Problem):
                check.rejected.append(item)
                continue
            row = item.row if isinstance(item, Known) else item
            if row.source == "seed":
                by_label[row.label].append(row.text_hash)
            if isinstance(item, Known):
                check.counts["same_in_file" if item.in_file else "same_in_project"] += 1
                check.repeated += [item] if item.in_file else []
            else:
                new.append(row)
    check.holdout = _draw_holdout(by_label, csv_import.holdout_percent)
    _count(check, new)
    return check


def _count(check: _Check, new: Iterable[Row]) -> None:
    for row in new:
        role = "holdout" if _is_holdout(row, check.holdout) else "labelled" if row.source else "pool"
        check.counts[role] += 1
        check.metadata |= dict.fromkeys(row.metadata)
        if row.label:
            check.labels[row.label] = None
    check.counts["rejected"] = len(check.rejected)


def _draw_holdout(by_label: dict[str, list[str]], percent: int) -> set[str]:
    """Choose the share of each label's texts to hold out, by their hash.

    What is left of the share after whole texts goes to the labels with the largest remainders, so
    that few examples of many labels come to the share as well. The choice does not depend on
    chance or on the order of the rows: the same file always gives the same split. Below 100 % each
    label keeps at least one text to learn from.
    """
    distinct = {label: sorted(set(hashes)) for label, hashes in by_label.items()}
    if percent == 100:
        return {text_hash for hashes in distinct.values() for text_hash in hashes}
    n_hundredths = {label: len(hashes) * percent for label, hashes in distinct.items()}
    n_held = {label: n // 100 for label, n in n_hundredths.items()}
    n_left = round(sum(n_hundredths.values()) / 100) - sum(n_held.values())
    roomy = (label for label, hashes in distinct.items() if n_held[label] < len(hashes) - 1)
    for label in sorted(roomy, key=lambda label: (-(n_hundredths[label] % 100), label))[:n_left]:
        n_held[label] += 1
    return {text_hash for label, hashes in distinct.items() for text_hash in hashes[: n_held[label]]}


def _save_check(csv_import: CsvImport, check: _Check) -> None:
    existing = set(csv_import.project.labels.values_list("name", flat=True))
    check.counts["new_labels"] = len(check.labels.keys() - existing)
    csv_import.counts = dict(check.counts)
    shown = [{"line": item.line, "column": item.column, "reason": item.reason} for item in check.rejected]
    notices = [
        {"line": item.row.line, "column": csv_import.text_column, "reason": item.reason, "notice": True}
        for item in check.repeated
    ]
    csv_import.problems = shown[:MAX_SHOWN_PROBLEMS] + notices[:MAX_SHOWN_PROBLEMS]
    if check.rejected:
        with tempfile.TemporaryFile() as out:
            lines = rejected_lines(check.header, check.rejected)
            # Bytes that the encoding does not know are written as they were.
            out.writelines(line.encode(errors="surrogateescape") for line in lines)
            csv_import.rejected_file.save(f"rejected-{csv_import.pk}.csv", File(out), save=False)
    csv_import.save(update_fields=["counts", "problems", "rejected_file"])


def _prepare_project(csv_import: CsvImport, check: _Check) -> None:
    project = csv_import.project
    create_labels(project, check.labels)
    project.metadata_columns = list(dict.fromkeys([*project.metadata_columns, *check.metadata]))
    project.save(update_fields=["metadata_columns"])


def _write(csv_import: CsvImport, check: _Check, progress: Progress) -> None:
    labels = {label.name: label for label in csv_import.project.labels.all()}
    total = sum(check.counts[role] for role in ("labelled", "holdout", "pool"))
    with csv_import.file.open("rb") as file:
        rows = (item for item in _screened(csv_import, file) if isinstance(item, Row))
        written = 0
        progress.report(CsvImport.Step.WRITE, 0, total)
        while chunk := list(islice(rows, CHUNK_ROWS)):
            with progress.transaction():
                _write_chunk(csv_import, chunk, labels, check.holdout)
            written += len(chunk)
            progress.report(CsvImport.Step.WRITE, written, total)


def _write_chunk(csv_import: CsvImport, rows: list[Row], labels: dict[str, Label], holdout: set[str]) -> None:
    documents = Document.objects.filter(project=csv_import.project, text_hash__in=[row.text_hash for row in rows])
    # Looked up once: the rows of a first import are all new, and Django asks nothing about no keys.
    known = Document.objects.filter(pk__in=list(documents.values_list("pk", flat=True)))
    # The queue first, then the documents: whoever reviews locks them in this order too.
    labelled = [row.text_hash for row in rows if row.source]
    QueueEntry.objects.filter(document__in=known.filter(text_hash__in=labelled)).delete()
    known_by_hash = {document.text_hash: document for document in known.select_for_update()}
    # Somebody decided on these since the file was checked: their word holds.
    decided = set(known.filter(example__isnull=False).values_list("text_hash", flat=True))
    rows = [row for row in rows if row.text_hash not in decided]
    new: dict[str, Document] = {}
    for row in rows:
        document = known_by_hash.get(row.text_hash) or new.get(row.text_hash)
        if document is None:
            document = new[row.text_hash] = Document(
                project_id=csv_import.project_id,
                csv_import_id=csv_import.pk,
                text=row.text,
                text_hash=row.text_hash,
            )
        document.external_id = document.external_id or row.external_id
        document.metadata = {**document.metadata, **row.metadata}
        document.provenance = {**document.provenance, **row.provenance}
        document.given_label_id = labels[row.label].pk if row.label else None
        document.given_source = row.source
        document.holdout = _is_holdout(row, holdout)
    changed = [known_by_hash[row.text_hash] for row in rows if row.text_hash in known_by_hash]
    Document.objects.bulk_update(
        changed, ["external_id", "metadata", "provenance", "given_label", "given_source", "holdout"]
    )
    created = Document.objects.bulk_create(new.values())
    _learn_given_labels([*changed, *created])


def _learn_given_labels(documents: list[Document]) -> None:
    learnt = [document for document in documents if document.given_source and not document.holdout]
    TrainingExample.objects.bulk_create(
        TrainingExample(document=document, label_id=document.given_label_id, source=document.given_source)
        for document in learnt
    )


def _is_holdout(row: Row, holdout: set[str]) -> bool:
    return row.holdout or (row.source == "seed" and row.text_hash in holdout)


def _screened(csv_import: CsvImport, file: BinaryIO) -> Iterator[Row | Problem | Known]:
    columns = Columns(
        csv_import.text_column, csv_import.label_column, csv_import.id_column, is_export=csv_import.is_export
    )
    rows = read_rows(file, _format(csv_import), columns, settings.MAX_TEXT_CHARS)
    documents = csv_import.project.documents
    existing = {
        text_hash: Existing((label if source else given) or "", labelled=bool(source or given_source))
        for text_hash, label, source, given, given_source in documents.values_list(
            "text_hash", "example__label__name", "example__source", "given_label__name", "given_source"
        ).iterator()
    }
    ids = dict(documents.exclude(external_id="").values_list("external_id", "text_hash"))
    return screen(rows, columns, existing, ids)


def _format(csv_import: CsvImport) -> Format:
    return Format(csv_import.encoding, csv_import.delimiter, csv_import.has_header)
