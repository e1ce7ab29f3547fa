"""Keep a file, guess how to read it, and say what is odd about it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, BinaryIO, cast

from django.contrib.auth.models import User
from django.core.files import File
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from labelling.csv_io.archives import unpacked
from labelling.csv_io.columns import (
    Columns,
    data_records,
    guess_columns,
    is_export_of,
    is_whole_export,
    may_hold_labels,
    preview,
    read_header,
)
from labelling.csv_io.conversion import convert
from labelling.csv_io.dialects import PEERS, Format, Oddity, guess_rows, oddities
from labelling.csv_io.formats import NotCsv, detect, read_sample
from labelling.csv_io.names import Survey, ask, odd_singles
from labelling.csv_io.rows import (
    survey_rows,
)
from labelling.models import (
    BackgroundJob,
    CsvImport,
    Project,
)
from labelling.services.rows import save_with_file

# From so many rows of a label on, a tenth of them measures more than it would teach.
ENOUGH_TO_HOLD_OUT = 10
RECOMMENDED_PERCENT = 10


@dataclass(frozen=True)
class Recommendation:
    """A share of the labelled rows to hold out, in %, and why."""

    percent: int
    reason: str


def upload(
    project: Project,
    file: File,
    user: User | None,
    encoding: str = "",
    delimiter: str | None = None,
    **layout: Any,
) -> CsvImport:
    """Keep an uploaded file and guess how to read it, as far as that is not given.

    Args:
        project: where its rows go.
        file: as it was uploaded.
        user: who did so.
        encoding: empty to guess it.
        delimiter: empty for one text a line, None to guess it.
        **layout: further fields of Format.

    Raises:
        NotCsv: when the file is empty or no CSV.
    """
    inner = unpacked(cast("BinaryIO", file))
    with tempfile.TemporaryFile() as kept:
        kind = convert(inner, kept)
        binary = cast("BinaryIO", kept) if kind else inner
        guess = guess_rows(read_sample(binary, "utf-8"), kind) if kind else detect(binary, encoding, delimiter)
        fmt = replace(guess, **layout)
        columns = _guess_columns(binary, fmt)
        return _create(project, user, file if binary is file else File(binary, name=file.name), columns, fmt)


def _guess_columns(file: BinaryIO, fmt: Format) -> Columns:
    """Rows of a peer's are in our own columns."""
    if fmt.kind in PEERS:
        return Columns("text", "label", "id", is_export=True)
    return guess_columns(read_header(file, fmt), preview(file, fmt))


def _create(project: Project, user: User | None, file: File, columns: Columns, fmt: Format) -> CsvImport:
    csv_import = CsvImport(
        project=project,
        created_by=user,
        state=BackgroundJob.State.WAITING,
        file=file,
        filename=(file.name or "file.csv")[:255],
        text_column=columns.text,
        label_column=columns.label,
        id_column=columns.id,
        is_export=columns.is_export,
        **asdict(fmt),
    )
    save_with_file(csv_import)
    return csv_import


def look_at(csv_import: CsvImport) -> tuple[list[Oddity], Recommendation]:
    """Say what a person should look at before the file is imported as it is to be read now, and what to hold out.

    Raises:
        NotCsv: when it can't be read so.
    """
    fmt = format_of(csv_import)
    with csv_import.file.open("rb") as file:
        binary = cast("BinaryIO", file)
        found = oddities(read_sample(binary, fmt.encoding), fmt)
        header, rows = read_header(binary, fmt), preview(binary, fmt)
        if next(data_records(binary, fmt), None) is None:
            raise NotCsv(_("The file has no rows below the column names."))
        counted = survey_rows(binary, fmt, columns_of(csv_import))
    if is_export_of(header, rows) and not is_whole_export(header) and fmt.kind not in PEERS:
        yes = _("This file is read as an export of this program: its sources and holdout hold.")
        no = _("This file has columns of an export of this program, but is not read as one.")
        found.append(Oddity("is_export", yes if csv_import.is_export else no, [(1, ", ".join(header))], doubtful=True))
    found += [Oddity("", each.text) for each in ask(counted, ()) if each.key == "label_columns"]
    if not csv_import.label_column and not counted.label_columns:
        taken = (csv_import.text_column, *csv_import.more_text_columns, csv_import.id_column)
        found += _ask_for_labels(may_hold_labels(header, rows, {*taken, *counted.splits}))
    if singles := odd_singles(counted):
        found.append(Oddity("label_column", singles))
    if csv_import.is_export:
        return found, Recommendation(0, _("An export says itself what is held out."))
    return found, _recommend_holdout(counted)


def _ask_for_labels(names: Sequence[str]) -> list[Oddity]:
    if not names:
        return []
    told = {"names": ", ".join(f"“{name}”" for name in names)}
    return [Oddity("label_column", _("No column is read as the labels. May it be %(names)s?") % told)]


def _recommend_holdout(counted: Survey) -> Recommendation:
    if any(question.key.startswith("split:") for question in ask(counted, ())):
        return Recommendation(0, _("The file says itself what is held out."))
    n = sum(count >= ENOUGH_TO_HOLD_OUT for count in counted.labels.values())
    if not n:
        return Recommendation(0, "")
    reason = ngettext(
        "%(n)s label has %(rows)s rows or more: %(percent)s %% held out measure how often the classifiers are right.",
        "%(n)s labels have %(rows)s rows or more: %(percent)s %% held out measure how often the classifiers are right.",
        n,
    )
    told = {"n": n, "rows": ENOUGH_TO_HOLD_OUT, "percent": RECOMMENDED_PERCENT}
    return Recommendation(RECOMMENDED_PERCENT, reason % told)


def columns_of(csv_import: CsvImport) -> Columns:
    return Columns(
        csv_import.text_column,
        csv_import.label_column,
        csv_import.id_column,
        csv_import.is_export,
        tuple(csv_import.more_text_columns),
    )


def format_of(csv_import: CsvImport) -> Format:
    """How the file is to be read."""
    return Format(**{each.name: getattr(csv_import, each.name) for each in fields(Format)})
