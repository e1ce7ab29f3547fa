"""Records to rows: what each column means, and what is wrong with a row."""

from __future__ import annotations

import csv
import io

import pytest

from labelling.csv_io import rows as csv_rows
from labelling.csv_io.columns import REJECTED_COLUMNS, Columns, guess_columns, may_hold_labels, preview, read_header
from labelling.csv_io.exporting import COLUMNS as EXPORT_COLUMNS
from labelling.csv_io.exporting import csv_lines
from labelling.csv_io.formats import Format, NotCsv
from labelling.csv_io.rows import MAX_ID_CHARS, MAX_LABEL_CHARS, Problem, Row, rejected_lines, text_hash
from labelling.csv_io.screening import Existing, Known, screen

UTF8 = Format("utf-8", ",")
COLUMNS = Columns("text", "label", "id")


def file_of(content: str | bytes) -> io.BytesIO:
    return io.BytesIO(content if isinstance(content, bytes) else content.encode())


def header(content: str | bytes, **options) -> list[str]:
    return read_header(file_of(content), Format("utf-8", ",", **options))


def read(content: str | bytes, columns: Columns = COLUMNS, fmt: Format = UTF8, limit: int = 100) -> list[Row | Problem]:
    return list(csv_rows.read_rows(file_of(content), fmt, columns, limit))


def row(content: str, columns: Columns = COLUMNS) -> Row:
    (found,) = read(content, columns)
    assert isinstance(found, Row), found
    return found


def problem(content: str | bytes, columns: Columns = COLUMNS, fmt: Format = UTF8) -> tuple[int, str, str]:
    (found,) = (item for item in read(content, columns, fmt) if isinstance(item, Problem))
    return found.line, found.column, found.reason


def screened(content: str, existing=None, ids=None) -> list[Row | Problem | Known]:
    return list(screen(iter(read(content)), COLUMNS, existing or {}, ids or {}))


def said(item: Row | Problem | Known) -> str:
    return "new" if isinstance(item, Row) else item.reason


# The header


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("text,label", ["text", "label"]),
        (" text ,label\t", ["text", "label"]),
        ("a,a,b,a", ["a", "a (2)", "b", "a (4)"]),
        ("a (3),a,a", ["a (3)", "a", "a (4)"]),
        (",text, ", ["Column 1", "text", "Column 3"]),
        ("Column 2,", ["Column 2", "Column 2 (2)"]),
        ('"a,b","c\nd"', ["a,b", "c\nd"]),
        ("'=a,=a,'b", ["=a", "=a (2)", "'b"]),
        (f"{'x' * 200},{'x' * 200}", ["x" * 200, "x" * 180 + " (2)"]),
        (f"{'x' * 180} (2),{'x' * 201}", ["x" * 180 + " (2)", "x" * 180 + " (3)"]),
    ],
)
def test_names_are_trimmed_unique_and_never_empty(line, names):
    assert header(f"{line}\n1\n") == names


def test_without_a_header_columns_are_numbered_and_the_first_row_is_data():
    fmt = Format("utf-8", ",", has_header=False)
    assert read_header(file_of("hello,card\n"), fmt) == ["Column 1", "Column 2"]
    found = read("hello,card\nyou,\n", Columns("Column 1", "Column 2"), fmt)
    assert [(item.line, item.text, item.label) for item in found] == [(1, "hello", "card"), (2, "you", "")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('"text,label\na,b\n', "opened here and never closed"),
        ('"text"s,label\n', "closing quotation mark"),
        ("te\0xt,label\n", "NUL"),
        (b"text,lab\xe9l\n", "not utf-8"),
        ("\n\n", "empty"),
    ],
)
def test_a_header_that_cannot_be_read_is_a_reason_to_refuse_the_file(content, reason):
    with pytest.raises(NotCsv, match=reason):
        header(content)


def test_the_preview_shows_what_can_be_read():
    content = b'a,b\n1,2\n"open,3\n4\ncaf\xe9,=5\n' + b"6,7\n" * 50
    rows = preview(file_of(content), UTF8, n_rows=4)
    assert rows == [["1", "2"], ["4"], ["caf\ufffd", "=5"], ["6", "7"]]


# Which column holds what


@pytest.mark.parametrize(
    ("line", "text", "label", "identifier"),
    [
        ("id,text,label", "text", "label", "id"),
        ("Message,Intent,UUID", "Message", "Intent", "UUID"),
        ("label,remark,comment", "comment", "label", ""),
        ("remark", "remark", "", ""),
        ("label", "label", "", ""),
        ("id,label", "id", "label", ""),
        ("text,Text,category,topic", "text", "category", ""),
        (",".join([*REJECTED_COLUMNS, "short", "comment"]), "comment", "", ""),
        ("text,label,label_name", "text", "label_name", ""),
        ("remark,target", "remark", "target", ""),
        ("remark,ISCO-08 code", "remark", "ISCO-08 code", ""),
        ("описание,категория", "описание", "категория", ""),
        ("Bezeichnung,Schlüssel", "Bezeichnung", "Schlüssel", ""),
        ("review_id,comment,sentiment", "comment", "sentiment", "review_id"),
    ],
)
def test_columns_are_guessed_from_names_and_lengths(line, text, label, identifier):
    names = line.split(",")
    cells = [{"comment": "a long text", "rejected_reason": "an even longer reason"}.get(name, "x") for name in names]
    assert guess_columns(names, [["ragged" * 9], cells]) == Columns(text, label, identifier)


@pytest.mark.parametrize(
    "cells",
    [
        ["2026/05/03 9:12:44 AM GMT+1", "Not open"],
        ["somebody@a-long-name.example.org", "Closed"],
        ["29-1141.00", "nurse"],
        ["https://example.org/a/long/path/to/it", "Late again"],
        ["R_3kJ9x0Zp2Qm1", "Late"],
        ["1.234.567.890,12", "文本"],
    ],
)
def test_what_has_the_most_words_is_the_text(cells):
    assert guess_columns(["a", "b"], [cells]).text == "b"


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (["x", "y"] * 3, True),
        (["x", "y", ""] * 2, False),
        (["x"] * 6, False),
        (["x", "y", "z", "x", "y", "w"], False),
        (["x", "y" * 61] * 3, False),
        (["1", "2"] * 3, True),
    ],
)
def test_a_column_whose_words_come_again_may_hold_labels(cells, found):
    rows = [[f"text {n}", cell] for n, cell in enumerate(cells)]
    assert may_hold_labels(["a", "b"], rows, ["a"]) == (["b"] if found else [])


@pytest.mark.parametrize(
    ("last", "lines"),
    [
        ("Total,2", [4]),
        ("Summe:,", [4]),
        (",total", [4]),
        ("total,greeting", []),
        ("greeting,total", []),
        ("in total,2", []),
        (",\nnote,\n,more", [5, 6]),
        (",\nnote,x", []),
        (",\na,\nb,\nc,\nd,\ne,\nf,", []),
        ("note,", []),
        (",", []),
    ],
)
def test_what_stands_below_the_data_is_hardly_data(last, lines):
    file = file_of(f"text,label\none,x\ntwo,y\n{last}\n")
    found = csv_rows.survey_rows(file, UTF8, Columns("text", "label"))
    assert [record.line for record in found.footer] == lines


def test_an_export_is_known_by_its_columns():
    names = ["extra", *EXPORT_COLUMNS]
    assert guess_columns(names, []) == Columns("text", "label", "id", is_export=True)
    assert guess_columns(["text", "label", "holdout"], [["a", "x", "yes"], ["b", "y", ""]]).is_export
    assert guess_columns(["text", "label", "source"], [["a", "x", "model"]]).is_export


@pytest.mark.parametrize(
    ("names", "cells"),
    [
        (["text", "label"], ["a", "x"]),
        (["text", "source"], ["a", "human"]),
        (["text", "label", "source"], ["a", "x", "twitter"]),
        (["text", "label", "holdout"], ["a", "x", "no"]),
        ([*EXPORT_COLUMNS, "Comments"], [""] * 16),
        ([*EXPORT_COLUMNS, "annotation_id", "annotator"], [""] * 17),
        ([*EXPORT_COLUMNS, "_data_text"], [""] * 16),
        ([*EXPORT_COLUMNS, "label.responses"], [""] * 16),
    ],
)
def test_a_peers_columns_or_words_are_no_export(names, cells):
    assert not guess_columns(names, [cells]).is_export


@pytest.mark.parametrize("columns", [Columns("body"), Columns("text", "body"), Columns("text", "label", "body")])
def test_a_chosen_column_that_is_missing_is_named_with_those_there_are(columns):
    with pytest.raises(NotCsv, match=r"no column body\. Its columns: id, text, label"):
        read("id,text,label\n", columns)


# A row


def test_a_row_with_a_label_is_a_seed_and_one_without_is_pool():
    seed, pool = read("id,text,label\n7, hello ,card \n,you,\n")
    assert (seed.text, seed.label, seed.source, seed.external_id) == ("hello", "card", "seed", "7")
    assert (pool.text, pool.label, pool.source, pool.external_id) == ("you", "", "", "")
    assert seed.text_hash == text_hash("hello")


def test_further_columns_are_metadata_as_they_are():
    found = row("id,text,label,age,rejected_reason,=sum\n7,hello,card, 41 ,late,'=1\n")
    assert found.metadata == {"age": " 41 ", "rejected_reason": "late", "=sum": "'=1"}
    assert row("id,text,label,age\n7,hello,card,\n").metadata == {}


def test_a_file_with_nothing_but_texts_is_a_pool():
    assert [item.text for item in read("text\na\n\nb\n", Columns("text"))] == ["a", "b"]


def test_a_header_alone_has_no_rows():
    assert read("id,text,label\n") == []


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        ("1,a", "label", "The row has 2 of 3 columns."),
        ("1", "text", "The row has 1 of 3 columns."),
        ("1,a,b,c,d", "Column 4", "The row has 5 columns instead of 3."),
        ("1,,b", "text", "The text is empty."),
        ('1," \t\n",b', "text", "The text is empty."),
        ("1,a\0,b", "text", "The cell holds a NUL byte."),
        ("1,a,b\0", "label", "The cell holds a NUL byte."),
        (f"1,{'a' * 101},b", "text", "The text has 101 characters; at most 100 are allowed."),
        (f"1,a,{'b' * 201}", "label", "The label has 201 characters; at most 200 are allowed."),
        (f"{'1' * 201},a,b", "id", "The id has 201 characters; at most 200 are allowed."),
        ('1,"open,b', "text", "A quotation mark is opened here and never closed."),
    ],
)
def test_a_bad_row_is_told_by_line_column_and_reason(line, column, reason):
    assert problem(f'id,text,label\n0,"quoted\r\nlines",x\n\n{line}\n') == (5, column, reason)


def test_the_column_of_a_problem_is_called_as_in_the_file():
    content = f"key,body,intent\n1,a,{'b' * 201}\n"
    assert problem(content, Columns("body", "intent", "key"))[1] == "intent"


def test_texts_labels_and_ids_may_have_just_their_limits():
    found = row(f"id,text,label\n{'1' * MAX_ID_CHARS},{'a' * 100} ,{'b' * MAX_LABEL_CHARS}\n")
    assert (len(found.text), len(found.label), len(found.external_id)) == (100, 200, 200)


@pytest.mark.parametrize(
    ("cell", "encoding"), [(b"caf\xe9", "utf-8"), (b"\x81", "cp1252"), (b"\x00\xdcx\x00", "utf-16-le")]
)
def test_a_cell_that_is_not_in_the_encoding_is_told(cell, encoding):
    content = "text,label\n".encode(encoding) + cell + ",card\n".encode(encoding)
    line, column, reason = problem(content, Columns("text", "label"), Format(encoding, ","))
    assert (line, column) == (2, "text")
    assert f"not {encoding}" in reason


def test_a_row_too_long_for_the_header_is_malformed_in_a_numbered_column():
    assert problem('text\na,b,"open\n', Columns("text"))[:2] == (2, "Column 3")


# An exported file


def exported(**cells: str) -> Row:
    names = [*EXPORT_COLUMNS, "@meta"]
    content = "".join(csv_lines(names, [[({"text": "a"} | cells).get(name, "") for name in names]]))
    return row(content, guess_columns(header(content), []))


@pytest.mark.parametrize("source", ["seed", "judge", "human"])
def test_an_export_keeps_sources_history_and_holdout(source):
    found = exported(id="7", label="=card", source=source, holdout="yes", round="2", reviewer="@ann", **{"@meta": "-1"})
    assert (found.external_id, found.label, found.source, found.holdout) == ("7", "=card", source, True)
    assert found.provenance == {"round": "2", "reviewer": "@ann"}
    assert found.metadata == {"@meta": "-1"}


def test_a_label_typed_into_an_export_is_a_seed():
    found = exported(label="card", source="")
    assert (found.label, found.source, found.provenance) == ("card", "seed", {})


def test_a_source_without_a_label_is_none_of_these():
    found = exported(source="human", decision="none")
    assert (found.label, found.source, found.holdout) == ("", "human", False)


def test_what_a_model_predicted_is_history_and_no_label():
    found = exported(label="card", source="model", probability="0.5")
    assert (found.label, found.source) == ("", "")
    assert found.provenance == {"label": "card", "source": "model", "probability": "0.5"}


@pytest.mark.parametrize("text", ["=1+1", "'=1+1", "''=x", "'quoted'", "＝1", "'\nx", 'a "b", c\r\nd', "עברית 🦊"])
def test_an_exported_text_is_the_text_again(text):
    assert exported(text=text).text == text


def test_apostrophes_of_other_files_are_theirs():
    assert row("id,text,label\n1,'=1+1,x\n").text == "'=1+1"


# Rows against each other and against the project

EXISTING = {
    text_hash("pool"): Existing("", labelled=False),
    text_hash("seed"): Existing("a", labelled=True),
    text_hash("none"): Existing("", labelled=True),
}
KNOWN_IDS = {"7": text_hash("pool"), "8": text_hash("seed"), "9": text_hash("other")}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["1,t,a", "1,t,a"], ["new", "The same text as line 2."]),
        (["1,t,", "2,t,"], ["new", "The same text as line 2."]),
        (["1,t,a", "1, t ,"], ["new", "The same text as line 2."]),
        (["1,t,", "1,t,a"], ["new", "new"]),
        (["1,t,", "1,t,a", "1,t,", "1,t,a"], ["new", "new", "The same text as line 3.", "The same text as line 3."]),
        (
            ["1,t,", "1,t,a", "1,t,b"],
            ["new", "new", "Line 3 has the same text with the label “a”, here it is “b”."],
        ),
        (["1,t,a", "1,T,b"], ["new", "The id “1” stands for another text in line 2."]),
        (["9,t,a"], ["The id “9” stands for another text in the project."]),
        (["8,seed,a"], ["The project has this text already."]),
        (["1,seed,"], ["The project has this text already."]),
        (["1,seed,b"], ["The project has this text with the label “a”, here it is “b”."]),
        (["1,none,b"], ["The project has this text with the label “”, here it is “b”."]),
        (["1,pool,"], ["The project has this text already."]),
        (["1,pool,a"], ["new"]),
        (["1,pool,", "1,pool,a"], ["The project has this text already.", "new"]),
        (["1,seed,", "1,seed,a"], ["The project has this text already.", "The project has this text already."]),
        (["7,pool,a"], ["new"]),
        (["1,seed,b", "1,t,a"], ["The project has this text with the label “a”, here it is “b”.", "new"]),
        (["9,t,a", "1,t,b"], ["The id “9” stands for another text in the project.", "new"]),
    ],
)
def test_rows_are_compared_with_those_before_and_with_the_project(lines, expected):
    content = "\n".join(["id,text,label", *lines])
    assert [said(item) for item in screened(content, EXISTING, KNOWN_IDS)] == expected


def test_repeats_in_the_file_are_told_from_repeats_of_the_project():
    found = screened("id,text,label\n1,t,a\n1,t,a\n,seed,a\n", EXISTING)
    assert [item.in_file for item in found if isinstance(item, Known)] == [True, False]


def test_contradictions_name_the_columns_of_the_file():
    columns = Columns("body", "intent", "key")
    content = "key,body,intent\n1,t,a\n2,t,b\n1,other,a\n3,seed,b\n9,new,a\n"
    found = screen(iter(read(content, columns)), columns, EXISTING, KNOWN_IDS)
    assert [item.column for item in found if isinstance(item, Problem)] == ["intent", "key", "intent", "key"]


# The rejected rows as a file


def rejected(content: str) -> str:
    names = header(content)
    problems = [
        item
        for item in read(content, guess_columns(names, preview(file_of(content), UTF8)))
        if isinstance(item, Problem)
    ]
    return "".join(rejected_lines(names, problems)).lstrip("\ufeff")


BAD = f"""id,text,label,=meta\r\n1,=fine,a,-1\r\n2,'=long,{"b" * 201},-2\r\n3,,a,@3\r\n4,short\r\n5,"open,a,4\r\n"""


def test_rejected_rows_come_with_line_column_and_reason_and_are_as_they_were():
    written = list(csv.reader(io.StringIO(rejected(BAD), newline="")))
    assert written[0] == [*REJECTED_COLUMNS, "id", "text", "label", "'=meta"]
    assert [cells[:2] for cells in written[1:]] == [["3", "label"], ["4", "text"], ["5", "label"], ["6", "text"]]
    assert written[2][3:] == ["3", "", "a", "'@3"]
    assert written[3][3:] == ["4", "short"]
    assert written[4][3:] == ['5,"open,a,4']


def test_mended_the_file_imports_and_its_first_three_columns_are_passed_over():
    mended = rejected(BAD).replace("b" * 201, "b").splitlines()[:2]
    found = row("\n".join(mended))
    assert (found.text, found.label, found.external_id) == ("'=long", "b", "2")
    assert found.metadata == {"=meta": "-2"}


def test_rows_that_are_rejected_again_are_written_the_same_but_for_the_reason():
    def own(content: str) -> list[list[str]]:
        return [cells[3:] for cells in csv.reader(io.StringIO(content, newline=""))]

    once = rejected(BAD)
    assert own(rejected(once)) == own(rejected(rejected(once))) == own(once)


def test_a_rejected_row_of_an_export_gets_no_second_apostrophe():
    content = "".join(
        csv_lines(EXPORT_COLUMNS, [["" if name in ("source", "holdout") else "=x" * 101 for name in EXPORT_COLUMNS]])
    ).lstrip("\ufeff")
    once = rejected(content)
    assert once.splitlines()[1].endswith(content.splitlines()[1])
