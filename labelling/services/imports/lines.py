"""Every line that came in keeps its id and metadata, also where several share a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from labelling.csv_io.rows import (
    Row,
)
from labelling.csv_io.screening import Changed, Known
from labelling.models import (
    CsvImport,
    Document,
)
from labelling.models import Row as StoredRow


class Lines:
    """Gives every line that came in a place of its own: its document's, a known line's, or a further row.

    A line is a known one when its id says so or, where one of the two has no id, when their metadata do not
    contradict. A known line is found once in a file, so that the same file again adds nothing.
    """

    def __init__(self, csv_import: CsvImport, repeated: set[str]):
        self.csv_import = csv_import
        self.repeated = repeated
        self.found: set[tuple[type, int]] = set()

    def keep(self, rows: list[Row]) -> None:
        """Write lines whose texts are there already."""
        if not rows:
            return
        documents = self._documents({row.text_hash for row in rows})
        further: list[StoredRow] = []
        changed: dict[tuple[type, int], Document | StoredRow] = {}
        for row in rows:
            document = documents[row.text_hash]
            line = self._known_line(document, row)
            if line is None:
                further.append(
                    StoredRow(
                        document=document,
                        csv_import=self.csv_import,
                        line=row.line,
                        external_id=row.external_id,
                        metadata=dict(row.metadata),
                    )
                )
            elif bring_up_to_date(line, row):
                changed[type(line), line.pk] = line
        # After an interruption some of them are there.
        StoredRow.objects.bulk_create(further, ignore_conflicts=True)
        fields_of_a_line = ["external_id", "metadata"]
        documents_changed = [line for line in changed.values() if isinstance(line, Document)]
        Document.objects.bulk_update(documents_changed, fields_of_a_line)
        StoredRow.objects.bulk_update(
            [line for line in changed.values() if isinstance(line, StoredRow)], fields_of_a_line
        )

    def _documents(self, hashes: set[str]) -> dict[str, Document]:
        found = Document.objects.filter(project_id=self.csv_import.project_id, text_hash__in=hashes)
        found = found.only("text_hash", "external_id", "metadata", "csv_import")
        return {document.text_hash: document for document in found.prefetch_related("rows")}

    def _known_line(self, document: Document, row: Row) -> Document | StoredRow | None:
        all_lines: list[Document | StoredRow] = [document, *document.rows.all()]
        lines = [line for line in all_lines if (type(line), line.pk) not in self.found and self._may_be(line, row)]
        by_id = (line for line in lines if row.external_id and line.external_id == row.external_id)
        alike = (
            line for line in lines if not (row.external_id and line.external_id) and _agree(line.metadata, row.metadata)
        )
        line = next(by_id, None) or next(alike, None)
        if line:
            self.found.add((type(line), line.pk))
        return line

    def _may_be(self, line: Document | StoredRow, row: Row) -> bool:
        """Lines of one file are different ones, unless one brings the id that the other lacks."""
        own = line.csv_import_id == self.csv_import.pk
        return not own or bool(row.external_id and line.external_id in ("", row.external_id))


def _agree(known: Mapping[str, str], new: Mapping[str, str]) -> bool:
    return all(known.get(name, value) == value for name, value in new.items())


def bring_up_to_date(line: Document | StoredRow, row: Row) -> bool:
    """Take over what a row brings; return whether that was anything."""
    before = (line.external_id, line.metadata)
    line.external_id = line.external_id or row.external_id
    line.metadata = {**line.metadata, **row.metadata}
    return before != (line.external_id, line.metadata)


def further_lines(chunk: list[Row | Known | Changed], csv_import: CsvImport, repeated: set[str]) -> Iterator[Row]:
    """The rows that go to texts that are there: not those that say nothing new, nor those that made the documents."""
    known = {item.row.text_hash for item in chunk if isinstance(item, Known) and not item.in_file}
    own = Document.objects.filter(csv_import=csv_import, text_hash__in=known).values_list("text_hash", flat=True)
    # Written by this import before an interruption.
    written = set(own) if known else set()
    for item in chunk:
        if isinstance(item, Row):
            yield item
        elif isinstance(item, Known):
            row = item.row
            says_something = row.external_id or row.metadata or row.text_hash in repeated
            if item.in_file or (says_something and row.text_hash not in written):
                yield row
