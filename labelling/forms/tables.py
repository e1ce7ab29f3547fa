"""Small files that are read at once: lists of labels, and tables of correspondences."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, cast

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from labelling.csv_io import correspondences
from labelling.csv_io.archives import unpacked
from labelling.csv_io.columns import data_records, fitted, read_header, wrong_record
from labelling.csv_io.conversion import convert
from labelling.csv_io.dialects import guess_rows, is_empty
from labelling.csv_io.exporting import restore
from labelling.csv_io.formats import Format, NotCsv, detect, read_sample
from labelling.csv_io.label_lists import ListedLabel, Unreadable, guess_columns, read_labels
from labelling.csv_io.records import Malformed, Record
from labelling.forms.files import UploadForm

MAX_SHOWN_ERRORS = 20


class TableForm(UploadForm):
    """A file whose columns are known by their names; where those say too little, the form asks, and for the file again.

    ``COLUMNS``: what there may be, by what a column holds.
    """

    COLUMNS: ClassVar[dict[str, Any]] = {}

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        for what, label in self.COLUMNS.items():
            self.fields[f"{what}_column"] = forms.CharField(label=label, required=False, widget=forms.HiddenInput)
        self.order_fields(["file"])

    def guess(self, header: list[str]) -> dict[str, str]:
        """Which column holds what, by their names."""
        raise NotImplementedError

    def missing(self, columns: Mapping[str, str], header: list[str]) -> list[str]:
        """What the file can't do without, and no column holds."""
        raise NotImplementedError

    def read(self, rows: list[dict[str, str]], columns: dict[str, str]) -> list[Any]:
        """What the rows say; Unreadable where they can't be read."""
        raise NotImplementedError

    def clean_file(self) -> list[Any]:
        header, records, fmt = _read_records(super().clean_file())
        columns = self._columns(header)
        records = _without_empty(records, header)
        if wrong := list(_wrong(records, header, fmt)):
            raise forms.ValidationError(wrong[:MAX_SHOWN_ERRORS])
        cells = (record.cells for record in records if isinstance(record, Record))
        rows = (row if fmt.kind else [restore(cell) for cell in row] for row in cells)
        try:
            found = self.read([dict(zip(header, row, strict=True)) for row in rows], columns)
        except Unreadable as error:
            raise forms.ValidationError(error.reasons[:MAX_SHOWN_ERRORS]) from error
        if not found:
            raise forms.ValidationError(_("The file has no rows below the column names."))
        return found

    def _columns(self, header: list[str]) -> dict[str, str]:
        """The chosen columns, or else those that are known by their names."""
        chosen = {what: self.data.get(f"{what}_column", "") for what in self.COLUMNS}
        columns = chosen if any(chosen.values()) else self.guess(header)
        columns = {what: name if name in header else "" for what, name in columns.items()}
        if missing := self.missing(columns, header):
            self._ask_for_columns(header, columns)
            told = {"names": _(" and no column ").join(missing)}
            raise forms.ValidationError(
                _("The file has no column %(names)s. Choose it, and the file once more.") % told
            )
        return columns

    def _ask_for_columns(self, header: list[str], columns: Mapping[str, str]) -> None:
        choices = [("", _("– none –")), *((name, name) for name in header)]
        data = cast("QueryDict", self.data).copy()
        for what, name in columns.items():
            self.fields[f"{what}_column"].widget = forms.Select(choices=choices)
            data[f"{what}_column"] = name
        self.data = data


class DefinitionsForm(TableForm):
    """A file of labels: names, and what there is of codes, parents, definitions and synonyms."""

    PARENTS = (
        ("column", gettext_lazy("in a column, by code or name")),
        ("prefix", gettext_lazy("by codes: a label's code begins with its parent's")),
    )
    COLUMNS: ClassVar[dict[str, Any]] = {
        "name": gettext_lazy("Column of the names"),
        "code": gettext_lazy("Column of the codes"),
        "parent": gettext_lazy("Column of the parents"),
        "definition": gettext_lazy("Column of the definitions"),
        "synonyms": gettext_lazy("Column of the synonyms"),
    }

    parents = forms.ChoiceField(
        label=gettext_lazy("Parents, if there are any, are told"), choices=PARENTS, required=False
    )

    @property
    def by_prefix(self) -> bool:
        return self.cleaned_data["parents"] == "prefix"

    def guess(self, header: list[str]) -> dict[str, str]:
        return guess_columns(header)

    def missing(self, columns: Mapping[str, str], header: list[str]) -> list[str]:
        tells = len(header) == 1 or any(columns[what] for what in ("definition", "code", "parent"))
        return ([] if columns["name"] else ["name"]) + ([] if tells else ["definition"])

    def read(self, rows: list[dict[str, str]], columns: dict[str, str]) -> list[ListedLabel]:
        return read_labels(rows, columns)


class RevisionForm(TableForm):
    """A file of correspondences: which old label becomes which new one."""

    COLUMNS: ClassVar[dict[str, Any]] = {
        "old": gettext_lazy("Column of the old labels, by code or name"),
        "new": gettext_lazy("Column of the new labels, by code or name"),
        "name": gettext_lazy("Column of the new names"),
        "definition": gettext_lazy("Column of the new definitions"),
    }

    def guess(self, header: list[str]) -> dict[str, str]:
        return correspondences.guess_columns(header)

    def missing(self, columns: Mapping[str, str], header: list[str]) -> list[str]:
        return [what for what in ("old", "new") if not columns[what]]

    def read(self, rows: list[dict[str, str]], columns: dict[str, str]) -> list[correspondences.Correspondence]:
        return correspondences.read_correspondences(rows, columns)


def _read_records(file: Any) -> tuple[list[str], list[Record | Malformed], Format]:
    """The header and the records of a file of any format."""
    try:
        inner = unpacked(file)
        with tempfile.TemporaryFile() as kept:
            kind = convert(inner, kept)
            binary = kept if kind else inner
            # Nobody is asked here: a mark that is never closed is a mistake to be told.
            fmt = guess_rows(read_sample(kept, "utf-8"), kind) if kind else replace(detect(inner), plain_quotes=False)
            return [name.strip() for name in read_header(binary, fmt)], list(data_records(binary, fmt)), fmt
    except NotCsv as error:
        raise forms.ValidationError(_("This file can't be read. %(reason)s") % {"reason": error}) from error


def _without_empty(records: list[Record | Malformed], header: list[str]) -> list[Record | Malformed]:
    """Leave out empty rows, and empty cells for which there is no column."""
    return [
        Record(record.line, fitted(record.cells, header)) if isinstance(record, Record) else record
        for record in records
        if isinstance(record, Malformed) or not is_empty(record.cells)
    ]


def _wrong(records: list[Record | Malformed], header: list[str], fmt: Format) -> Iterator[str]:
    for record in records:
        if isinstance(record, Malformed):
            yield _("Line %(line)s: %(reason)s") % {"line": record.line, "reason": record.reason}
        elif wrong := wrong_record(header, record.cells, fmt.encoding):
            told = {"line": record.line, "column": wrong[0], "reason": wrong[1]}
            yield _("Line %(line)s, column %(column)s: %(reason)s") % told
