"""The rows that are good, kept on disk between the pass that checks a file and the one that writes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator

from labelling.csv_io.rows import Row
from labelling.csv_io.screening import Changed, Known


class Kept:
    """Rows in the order of the file, each as it was compared with the others and with the project.

    No memory has to hold them together. Without their cells, which only a row that is rejected needs, and without
    those whose id and text stand above.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115

    def add(self, item: Row | Known | Changed) -> None:
        if isinstance(item, Known) and item.again:
            return
        row, *beside = [item] if isinstance(item, Row) else vars(item).values()
        self._file.write(json.dumps([type(item).__name__, row._replace(cells=()), *beside]) + "\n")

    def __iter__(self) -> Iterator[Row | Known | Changed]:
        self._file.seek(0)
        for kind, told, *beside in map(json.loads, self._file):
            row = Row(*told)
            yield row if kind == "Row" else KINDS[kind](row, *beside)


KINDS: dict[str, type[Known] | type[Changed]] = {"Known": Known, "Changed": Changed}
