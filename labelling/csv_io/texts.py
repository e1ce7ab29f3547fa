"""Texts out of a file, row by row, with all that stands beside them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from django.utils.translation import gettext as _

from labelling.csv_io.archives import unpacked
from labelling.csv_io.columns import data_records, guess_columns, preview, read_header, text_of
from labelling.csv_io.conversion import convert
from labelling.csv_io.dialects import guess_rows, is_empty
from labelling.csv_io.formats import NotCsv, detect, printable, read_sample
from labelling.csv_io.records import Malformed


class TextRow(NamedTuple):
    """A row of a file: as many cells as the header has names, and its text; empty where none could be read."""

    cells: list[str]
    text: str


class TextFile:
    """A file with a text in each row, of any format that an import reads; encoding and layout are guessed.

    Args:
        file: open for reading, and to be kept open while the rows are read.
        text_columns: their names; where the file has not got the first, the column is guessed.

    Attributes:
        header: the names of its columns.
        text_columns: those that are read, joined.

    Raises:
        NotCsv: when the file can't be read.
    """

    def __init__(self, file: BinaryIO, text_columns: Sequence[str] = ()):
        kept = tempfile.TemporaryFile()  # noqa: SIM115 closed with this object
        inner = unpacked(file)
        kind = convert(inner, kept)
        self._file = kept if kind else inner
        self._format = guess_rows(read_sample(kept, "utf-8"), kind) if kind else detect(inner)
        self.header = read_header(self._file, self._format)
        if not (text_columns and text_columns[0] in self.header):
            text_columns = [guess_columns(self.header, preview(self._file, self._format)).text]
        self.text_columns = [name for name in text_columns if name in self.header]
        if not self.text_columns:
            raise NotCsv(_("The file has no column with texts."))

    def rows(self) -> Iterator[TextRow]:
        """Yield every row that is not empty; of one that can't be read its beginning, in the first cell."""
        width = len(self.header)
        for item in data_records(self._file, self._format):
            if isinstance(item, Malformed):
                yield TextRow([printable(item.text), *[""] * (width - 1)], "")
            elif not is_empty(item.cells):
                cells = [printable(cell) for cell in item.cells[:width]]
                cells += [""] * (width - len(cells))
                text = text_of(dict(zip(self.header, cells, strict=True)), self.text_columns)
                yield TextRow(cells, text.replace("\0", ""))
