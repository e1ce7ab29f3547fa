"""How the records of a file are laid out: delimiter, quotation marks, rows above the data.

Decided over the first hundreds of records. Nothing here is final: ``oddities`` names what a person should look at.
"""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from statistics import median
from typing import TextIO

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from labelling.csv_io.records import MAX_COLUMNS, QUOTED_CELL, Malformed, Record, bounded_lines, read_records
from labelling.csv_io.stored import OTHER_SHEETS, read_stored

ONE_TEXT_A_LINE = ""
DELIMITERS = {
    ",": gettext_lazy("comma"),
    ";": gettext_lazy("semicolon"),
    "\t": gettext_lazy("tab"),
    "|": gettext_lazy("bar"),
    "^": gettext_lazy("caret"),
    "~": gettext_lazy("tilde"),
    "\x1f": gettext_lazy("unit separator"),
    ONE_TEXT_A_LINE: gettext_lazy("none: one text a line"),
}

# Kinds of files beside CSV, as pages name them. Rows of a peer's are in the columns of our own export.
WORKBOOK, JSON, JSON_LINES, PARQUET = "Excel", "JSON", "JSON lines", "Parquet"
FASTTEXT, FOLDERS = "fastText", "texts in folders"
LABEL_STUDIO, DOCCANO, ARGILLA, PRODIGY = "Label Studio", "doccano", "Argilla", "Prodigy"
PEERS = (LABEL_STUDIO, DOCCANO, ARGILLA, PRODIGY)

TEXT_NAMES = ("text", "message", "content", "body", "document", "question", "utterance", "sentence", "description",
              "answer", "response", "verbatim", "feedback", "comment", "comments", "abstract", "free text", "antwort",
              "kommentar", "nachricht", "beschreibung", "freitext", "bezeichnung", "texte", "libellé", "commentaire",
              "texto", "descripción", "comentario", "descrição", "testo", "descrizione", "commento", "tekst",
              "omschrijving", "opmerking", "fritext", "beskrivning", "beskrivelse", "treść", "opis", "szöveg", "metin",
              "κείμενο", "текст", "описание", "сообщение", "文本", "内容", "本文", "テキスト", "텍스트", "내용",
              "النص")  # fmt: skip
# Where a number is beside them, the words are the label: as data sets on the web write both.
LABEL_NAMES = ("label_text", "label_name", "class_name", "category_name", "intent_name", "topic_name", "label",
               "labels", "category", "categories", "intent", "class", "topic", "topics", "cats", "true_label",
               "gold_label", "code", "coded", "codes", "coding", "kategorie", "thema", "klasse",
               "schlüssel", "kode", "catégorie", "classe",
               "étiquette", "categoría", "categoria", "clase", "etiqueta", "etichetta", "categorie", "kategori",
               "kategoria", "etiket", "κατηγορία", "категория", "метка", "класс", "标签", "类别", "分类", "分類",
               "ラベル", "カテゴリ", "라벨", "카테고리", "التصنيف")  # fmt: skip
ID_NAMES = ("id", "uuid", "key", "document_id", "external_id", "response_id", "responseid", "respondent_id",
            "respondent id", "respondent", "record_id", "record id", "case_id", "case id", "response id", "doc_id",
            "text_id", "message_id", "comment_id", "review_id", "tweet_id", "post_id", "ticket_id", "ticket no.",
            "ticket no", "ticketnummer", "vorgangsnummer", "identifiant", "identificador")  # fmt: skip
# As often a label as a column's name: they say nothing of whether the first row has names.
WEAK_LABEL_NAMES = ("target", "tag", "tags", "sentiment", "annotation", "completion", "y")
KNOWN_NAMES = {
    *TEXT_NAMES, *LABEL_NAMES, *ID_NAMES, "date", "frage", "holdout", "name", "rejected_line", "remark", "remarks",
    "source", "split", "title",
}  # fmt: skip
# The code that a survey tool keeps beside a question's answers.
CODE_OF_QUESTION = re.compile(r"q\d+\w*[_. ]code[ds]?", re.IGNORECASE)
# A column that is called as a classification is.
CLASSIFICATION = re.compile(r"(isco|soc|nace|naics|sic|isic|coicop|cpv|cpc|icd)[\W_]*\d*([\W_]*codes?)?", re.IGNORECASE)
CODE_OF_COLUMN = re.compile(r"[A-Za-z]{1,4}\d+\w*")

SAMPLE_RECORDS = 500
# Above the names, and between them and the data.
MAX_ROWS_ABOVE = 20
MAX_MORE_HEADER_ROWS = 3
# Share of the records that must fit a width for the delimiter to be believed.
MIN_FIT = 0.6
# Share of a column's cells that must have one shape for another cell to stand out.
MIN_SHAPE = 0.9
MIN_SHAPED_CELLS = 3
MAX_SHOWN_LINES = 4

SEP_LINE = re.compile(r'"?sep=([^\r\n"])"?[;,\t|]*\s*$', re.IGNORECASE)
SPACED_MARK = re.compile(r'[ \t]"')
RULE = re.compile(r"\s*:?-{3,}:?\s*")
NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)*")
WORDS_OF_A_NAME = 3


@dataclass(frozen=True)
class Format:
    """How to read a file.

    ``skip_rows`` lines stand above the column names, or above the data where there are none; ``more_header_rows``
    records below the names are not data. With ``plain_quotes`` a quotation mark is a character like others; with
    ``skip_spaces`` a delimiter takes the spaces behind it along. A file of another ``kind`` is kept as ``stored`` has
    it, and nothing of this but the rows above and the names says anything of it.
    """

    encoding: str
    delimiter: str
    has_header: bool = True
    skip_rows: int = 0
    more_header_rows: int = 0
    plain_quotes: bool = False
    skip_spaces: bool = False
    kind: str = ""


@dataclass(frozen=True)
class Oddity:
    """Something about a file that a person should know before it is imported.

    ``name`` is the field of Format that says otherwise, or empty when there is nothing to decide. ``doubtful``: the
    other answer may be right, so that somebody has to say so. ``lines``: number and beginning of some it is about.
    """

    name: str
    message: str
    lines: list[tuple[int, str]] = field(default_factory=list)
    doubtful: bool = False


def records_of(text: TextIO, fmt: Format) -> Iterator[Record | Malformed]:
    """Yield the records of a file from the column names on, or from the first row of data where there are none."""
    if fmt.kind:
        return read_stored(text, fmt.skip_rows)
    lines = bounded_lines(text)
    return read_records(lines, fmt.delimiter, not fmt.plain_quotes, fmt.skip_spaces, fmt.skip_rows)


def guess_format(text: str, encoding: str, delimiter: str | None = None) -> Format:
    """Guess how a file that begins with ``text`` is laid out; a delimiter that is given holds."""
    above = 0
    if found := SEP_LINE.match(text.splitlines()[0] if text.strip() else ""):
        above, delimiter = 1, delimiter or found.group(1)
    fmt = Format(encoding, "", skip_rows=above)
    candidates = DELIMITERS if delimiter is None else [delimiter]
    fits = [_Fit(text, _with_quotes(text, replace(fmt, delimiter=each))) for each in candidates if each]
    best = max(fits, key=lambda fit: fit.score, default=None)
    if best is None or (delimiter is None and not best.is_believable):
        best = _Fit(text, replace(fmt, delimiter=_delimiter_of_one_column(text)))
    return _lay_out(best, above)


def guess_rows(text: str, kind: str) -> Format:
    """Guess where the rows of a file that is no CSV begin; in all but a workbook they have names for certain."""
    fmt = Format("utf-8", ",", kind=kind)
    return _lay_out(_Fit(text, fmt), 0) if kind == WORKBOOK else fmt


def oddities(text: str, fmt: Format) -> list[Oddity]:
    """Say what about a file that begins with ``text``, read in this format, is not as in most files."""
    if fmt.kind not in ("", WORKBOOK):
        return []
    fit = _Fit(text, fmt)
    return [odd for odd in (find(text, fit) for find in ODDITIES) if odd]


def is_empty(cells: Sequence[str]) -> bool:
    """Whether a row holds nothing, or the rule below the names of a table in Markdown."""
    return not any(cell and not cell.isspace() and not RULE.fullmatch(cell) for cell in cells)


def same_names(cells: Sequence[str], header: Sequence[str]) -> bool:
    """Whether a row repeats the column names, as in files that were joined."""
    return len(cells) == len(header) and [plain(cell) for cell in cells] == [plain(name) for name in header]


class _Fit:
    """How well a format fits a sample: its records, the width that most of them have, and how many do."""

    def __init__(self, text: str, fmt: Format):
        self.format = fmt
        read = list(islice(records_of(io.StringIO(text, newline=""), fmt), SAMPLE_RECORDS))
        # Of wider ones enough to see that they are.
        self.all = [Record(item.line, item.cells[: MAX_COLUMNS + 1]) for item in read if isinstance(item, Record)]
        self.records = [record for record in self.all if not is_empty(record.cells)]
        widths = {len(cells) for cells in map(_without_empty_end, self.records)} or {0}
        counts = {width: sum(fits_width(record.cells, width) for record in self.records) for width in widths}
        self.width = max(counts, key=lambda width: (counts[width], width))
        self.share = counts[self.width] / (len(self.records) + len(read) - len(self.all) or 1)

    @property
    def names_at(self) -> int:
        """Position of the record that holds the names, or the first data: rows above it are apart or less filled."""
        if not self.records:
            return 0
        candidates = [n for n, record in enumerate(self.records[:MAX_ROWS_ABOVE]) if self._may_be_names(record)]
        known = next((n for n in candidates if knows(self.records[n].cells)), 0)
        names = self.records[known]
        surely = all(plain(cell) in KNOWN_NAMES for cell in names.cells)
        if surely or all(_n_filled(record) < _n_filled(names) for record in self.records[:known]):
            return known
        first = next(iter(candidates), 0)
        names = self.records[first]
        return first if all(self._is_apart(record, names) for record in self.records[:first]) else 0

    @property
    def header(self) -> list[str]:
        return self.records[self.names_at].cells if self.records else []

    @property
    def score(self) -> tuple[float, ...]:
        return (
            self.width > 1 and len(_without_empty_end(self.header)) > 1,
            sum(plain(name) in KNOWN_NAMES for name in self.header),
            round(self.share, 2),
            self.width,
        )

    @property
    def is_believable(self) -> bool:
        names = _without_empty_end(self.records[0]) if self.records else []
        if self.width < 2 or (len(names) == 1 and plain(names[0]) in KNOWN_NAMES):
            return False
        return self.share >= MIN_FIT or knows(self.header)

    def _may_be_names(self, record: Record) -> bool:
        return _n_filled(record) > max(1, self.width // 2)

    def _is_apart(self, record: Record, names: Record) -> bool:
        """Whether an empty row stands between, or the record is not as wide as the others."""
        return len(record.cells) < self.width or any(
            record.line < other.line < names.line for other in self.all if is_empty(other.cells)
        )


def have_one_shape(cells: list[str]) -> bool:
    """Whether these cells are all different and alike but for their digits, as ids are."""
    return bool(_common_shape(cells)) and len(set(cells)) == len(cells)


def fits_width(cells: Sequence[str], width: int) -> bool:
    """Whether a row has this many cells; empty ones at its end are too much for nobody."""
    return len(cells) == width or (len(cells) > width and is_empty(cells[width:]))


def _without_empty_end(record: Record | Sequence[str]) -> Sequence[str]:
    cells = record.cells if isinstance(record, Record) else record
    return cells[: max((n for n, cell in enumerate(cells, start=1) if cell.strip()), default=0)]


def _n_filled(record: Record) -> int:
    return sum(bool(cell.strip()) for cell in record.cells)


def plain(cell: str) -> str:
    """A column's name as names are compared."""
    return cell.strip('\ufeff" \t\r\n').casefold()


def knows(names: Iterable[object], known: Collection[str] = KNOWN_NAMES) -> bool:
    """Whether one of the names is called as columns are."""
    return any(plain(str(name)) in known for name in names)


def _with_quotes(text: str, fmt: Format) -> Format:
    """Decide what quotation marks mean: by default they enclose cells."""
    if '"' not in text:
        return fmt
    if _has_stray_marks(text, fmt):
        return replace(fmt, plain_quotes=True)
    spaced = replace(fmt, skip_spaces=True)
    if SPACED_MARK.search(text) and _stripped(text, spaced) != _stripped(text, fmt):
        return spaced if _Fit(text, spaced).share >= _Fit(text, fmt).share else fmt
    return fmt


def _has_stray_marks(text: str, fmt: Format) -> bool:
    """Whether marks that open a cell do not close it, while without them all lines have one width.

    Unquoted texts are the rule between tabs; between other delimiters one cell in proper marks speaks against it.
    """
    between_tabs = fmt.delimiter == "\t"
    quoted = _Fit(text, fmt)
    if quoted.share == 1 and not (between_tabs and _spans_lines(quoted.records)):
        return False
    plain = _Fit(text, replace(fmt, plain_quotes=True))
    if plain.width < 2 or plain.share < 1 or len(plain.records) < 2:
        return False
    marked = [cell for record in plain.records for cell in record.cells if cell.startswith('"')]
    proper = sum(bool(QUOTED_CELL.fullmatch(cell)) for cell in marked)
    return proper < len(marked) and (between_tabs or not proper)


def _spans_lines(records: Sequence[Record]) -> bool:
    return any("\n" in cell or "\r" in cell for record in records for cell in record.cells)


def _stripped(text: str, fmt: Format) -> list[list[str]]:
    return [[cell.strip() for cell in record.cells] for record in _Fit(text, fmt).records]


def _delimiter_of_one_column(text: str) -> str:
    """Comma where it cuts nothing, or quotation marks protect it; else nothing."""
    fit = _Fit(text, Format("", ","))
    return "," if not fit.records or (fit.width == 1 and fit.share == 1) else ONE_TEXT_A_LINE


def _lay_out(fit: _Fit, above: int) -> Format:
    """Find the names: which line, whether there are any, and how many rows they take."""
    if not fit.records:
        return fit.format
    names_at = fit.names_at
    names, below = fit.records[names_at], fit.records[names_at + 1 :]
    above = names.line - 1 if names is not fit.all[0] else above
    fmt = replace(fit.format, skip_rows=above)
    if header_evidence(names.cells, [record.cells for record in below]) < 0:
        return replace(fmt, has_header=False)
    return replace(fmt, more_header_rows=_count_header_rows(names.cells, below, fit.width))


def header_evidence(names: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """How much speaks for the first row being the columns' names: positive yes, negative no, 0 nobody knows."""
    data = [row for row in rows if not same_names(row, names)]
    if any(plain(name) in KNOWN_NAMES and not _comes_again(name, n, data) for n, name in enumerate(names)):
        return 1
    columns = [[row[n] for row in rows if n < len(row) and row[n].strip()] for n in range(len(names))]
    if len(names) == 1:
        return _vote_of_one_column(names[0].strip(), columns[0])
    votes = sum(_vote(name.strip(), cells) for name, cells in zip(names, columns, strict=True))
    return votes + _vote_of_lengths(names, columns)


def _comes_again(name: str, n: int, rows: Sequence[Sequence[str]]) -> bool:
    """Whether a word that may be a column's name is a label of this file, as "question" may be."""
    return any(plain(row[n]) == plain(name) for row in rows if n < len(row))


def _vote(name: str, cells: list[str]) -> int:
    """Compare a name with the cells below: a number among numbers or a label that comes again is no name."""
    shape = _common_shape(cells)
    if shape and name:
        return 1 if _shape(name) != shape else -1
    if name and cells.count(name) > 0:
        return -1
    return int("_" in name and " " not in name)


def _vote_of_one_column(name: str, cells: list[str]) -> int:
    """A single word or a question may be a name; nobody knows."""
    is_question = name.endswith(("?", ":")) and not any(cell.strip().endswith(name[-1]) for cell in cells)
    return 0 if is_question or len(name.split()) < 2 else -1


def _vote_of_lengths(names: Sequence[str], columns: list[list[str]]) -> int:
    """Look at the column of the longest texts: names are short, or questions."""
    lengths = [median(map(len, cells)) if cells else 0 for cells in columns]
    if not lengths:
        return 0
    longest = lengths.index(max(lengths))
    name, usual = names[longest].strip(), median([len(cell.split()) for cell in columns[longest]] or [0])
    if name.endswith(("?", ":")) and not any(cell.strip().endswith(name[-1]) for cell in columns[longest]):
        return 1
    n_words = len(name.split())
    if n_words < WORDS_OF_A_NAME:
        return int(usual >= 2 * n_words > 0)
    return -1 if 2 * len(name) >= lengths[longest] else 0


def _shape(cell: str) -> str:
    """What a number, a date or an id has in common with its neighbours: "P12" and "P7" are both "P9"."""
    cell = cell.strip()
    return "9" if NUMBER.fullmatch(cell) else re.sub(r"\d+", "9", cell)


def _common_shape(cells: list[str]) -> str:
    """Return the shape with a digit that nearly all cells have, if there is one."""
    if len(cells) < MIN_SHAPED_CELLS:
        return ""
    shape, n = Counter(map(_shape, cells)).most_common(1)[0]
    return shape if "9" in shape and n >= MIN_SHAPE * len(cells) else ""


def _count_header_rows(names: Sequence[str], below: Sequence[Record], width: int) -> int:
    """How many rows below the names go on with them: what survey tools write there."""
    shapes = [
        _common_shape([r.cells[n] for r in below[MAX_MORE_HEADER_ROWS:] if n < len(r.cells)]) for n in range(width)
    ]
    found = int(_explains_codes(names, below))
    for n_rows, record in enumerate(below[:MAX_MORE_HEADER_ROWS], start=1):
        if any('"ImportId"' in cell for cell in record.cells):
            return n_rows
        rest = [other.cells for other in below[n_rows:]]
        if found == n_rows - 1 and _continues_names(record.cells, rest, shapes):
            found = n_rows
    return found


def _explains_codes(names: Sequence[str], below: Sequence[Record]) -> bool:
    """Whether the names are a survey's codes and the row below has the questions, which no other row does."""
    if len(below) < 2:
        return False
    return any(
        CODE_OF_COLUMN.fullmatch(name.strip())
        and below[0].cells[n : n + 1]
        and below[0].cells[n].strip().endswith("?")
        and not any(cell.strip().endswith("?") for record in below[1:] for cell in record.cells[n : n + 1])
        for n, name in enumerate(names)
    )


def _continues_names(cells: Sequence[str], rest: list[list[str]], shapes: list[str]) -> bool:
    """Whether a row has none of the shapes that columns have below it: words for numbers, nothing for an id."""
    matching = missing = False
    for n, cell in enumerate(cells):
        shape = _common_shape([row[n] for row in rest if n < len(row)]) or (shapes[n] if n < len(shapes) else "")
        if shape:
            matching |= _shape(cell) == shape
            missing |= not any(map(str.isdigit, cell)) if cell.strip() else n == 0
    return missing and not matching


def _beginning(cells: Sequence[str]) -> str:
    return " | ".join(cell.strip("\ufeff") for cell in cells)[:200]


def _shown(records: Sequence[Record]) -> list[tuple[int, str]]:
    return [(record.line, _beginning(record.cells)) for record in records[:MAX_SHOWN_LINES]]


def _rows_above(text: str, fit: _Fit) -> Oddity | None:
    n = fit.format.skip_rows
    if not n:
        return None
    if fit.format.kind:
        lines = [
            (record.line, _beginning(record.cells)) for record in read_stored(text.splitlines()) if record.line <= n
        ]
    else:
        lines = [(at, line.strip()[:200]) for at, line in enumerate(islice(text.splitlines(), n), start=1)]
    message = ngettext(
        "%(n)s line above the column names is left out.", "%(n)s lines above the column names are left out.", n
    )
    doubtful = not knows(fit.header) and not SEP_LINE.match(text)
    return Oddity("skip_rows", message % {"n": n}, lines[:MAX_SHOWN_LINES], doubtful)


def _sheets(text: str, fit: _Fit) -> Oddity | None:
    number, *names = json.loads(text.partition("\n")[0]) if fit.format.kind and text else (0,)
    if number != OTHER_SHEETS:
        return None
    told = {"sheet": names[0], "others": ", ".join(f"“{name}”" for name in names[1:])}
    message = _("The sheet “%(sheet)s” is read, and not %(others)s: import another one as a file of its own.")
    return Oddity("", message % told)


def _names(text: str, fit: _Fit) -> Oddity | None:
    if not fit.records:
        return None
    evidence = header_evidence(fit.records[0].cells, [record.cells for record in fit.records[1:]])
    shown = _shown(fit.records[:1])
    if not fit.format.has_header:
        return Oddity("has_header", _("The first row is read as data: the file has no column names."), shown, True)
    if evidence > 0 or len(fit.records) < 2:
        return None
    return Oddity("has_header", _("The first row is read as the column names. Is it data?"), shown, True)


def _more_names(text: str, fit: _Fit) -> Oddity | None:
    n = fit.format.more_header_rows
    if not n:
        return None
    message = ngettext(
        "%(n)s row below the column names is read as a part of them and left out.",
        "%(n)s rows below the column names are read as a part of them and left out.",
        n,
    )
    return Oddity("more_header_rows", message % {"n": n}, _shown(fit.records[1 : n + 1]), True)


def _marks(text: str, fit: _Fit) -> Oddity | None:
    if not fit.format.plain_quotes or fit.format.delimiter == ONE_TEXT_A_LINE:
        return None
    message = _("Quotation marks do not enclose the cells of this file: they are kept as a part of the texts.")
    return Oddity(
        "plain_quotes", message, _shown([r for r in fit.records if any('"' in cell for cell in r.cells)]), True
    )


def _spaces(text: str, fit: _Fit) -> Oddity | None:
    message = _("Spaces stand between a delimiter and a quotation mark: they are left out.")
    return Oddity("skip_spaces", message, _shown(fit.records[1:3])) if fit.format.skip_spaces else None


def _one_text(text: str, fit: _Fit) -> Oddity | None:
    if fit.format.delimiter != ONE_TEXT_A_LINE:
        return None
    return Oddity("delimiter", _("Each line is read as one text, with the commas in it."), _shown(fit.records), True)


def _empty_rows(text: str, fit: _Fit) -> Oddity | None:
    empty = [record for record in fit.all if is_empty(record.cells)]
    message = _("Rows of nothing but empty cells are left out.")
    return Oddity("", message, _shown(empty)) if empty else None


def _empty_ends(text: str, fit: _Fit) -> Oddity | None:
    longer = [record for record in fit.records if len(record.cells) > len(fit.header)]
    longer = [record for record in longer if is_empty(record.cells[len(fit.header) :])]
    message = _("Rows end in empty cells for which there is no column name: these cells are left out.")
    return Oddity("", message, _shown(longer)) if longer else None


def _repeated_names(text: str, fit: _Fit) -> Oddity | None:
    if not fit.format.has_header:
        return None
    repeated = [record for record in fit.records[1:] if same_names(record.cells, fit.header)]
    message = _("The column names come again, as in files that were joined: these rows are left out.")
    return Oddity("", message, _shown(repeated)) if repeated else None


ODDITIES = (
    _sheets, _rows_above, _one_text, _names, _more_names, _marks, _spaces, _empty_rows, _empty_ends, _repeated_names,
)  # fmt: skip
