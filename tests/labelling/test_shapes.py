"""Files of other programs in many shapes: JSON that is no list of objects, archives, lines of fastText."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any
from zipfile import ZipFile

import pytest

from labelling.csv_io.json_documents import named_rows, objects_of, row_of
from labelling.csv_io.names import cells_of_several
from labelling.csv_io.peers import fasttext
from labelling.csv_io.records import NotCsv
from labelling.csv_io.texts import TextFile
from labelling.models import Project
from tests.factories import import_bytes, make_project

A, B, C = "My parcel never arrived", "I was charged twice", "The shop was closed"
LABELLED = [(A, "Delivery"), (B, "Billing"), (C, "Hours")]
TABLE = "text,label\n" + "".join(f"{text},{label}\n" for text, label in LABELLED)
RECORDS = [{"text": text, "label": label} for text, label in LABELLED]


def zipped(files: dict[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def lines(*values: dict[str, Any]) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def documents(project: Project) -> list[tuple[str, str]]:
    return [(text, label or "") for text, label in project.documents.values_list("text", "given_label__name")]


def indexed(cells: list[str]) -> dict[str, str]:
    return {str(n): cell for n, cell in enumerate(cells)}


TEXTS, LABELS = ([row[n] for row in LABELLED] for n in (0, 1))
FIELDS = [{"name": "index", "type": "integer"}, {"name": "text", "type": "string"}, {"name": "label", "type": "string"}]
DOCUMENTS: dict[str, Any] = {
    "columns of lists": {"text": TEXTS, "label": LABELS},
    "columns of rows": {"text": indexed(TEXTS), "label": indexed(LABELS)},
    "rows by ids": {f"r{n}": row for n, row in enumerate(RECORDS)},
    "columns and data": {"columns": ["text", "label"], "index": [0, 1, 2], "data": LABELLED},
    "schema and data": {"schema": {"fields": FIELDS, "pandas_version": "1.4.0"}, "data": RECORDS},
    "below a name": {"meta": {"n": 3}, "examples": RECORDS},
    "below two names": {"rasa_nlu_data": {"common_examples": RECORDS, "regex_features": []}},
    "texts below their labels": {label: [text] for text, label in LABELLED},
    "rows without names": LABELLED,
    "rows below their names": [["text", "label"], *LABELLED],
    "objects": RECORDS,
}


@pytest.mark.django_db
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_json_of_any_shape_is_the_same_table(name, indent):
    done = import_bytes(make_project(), json.dumps(DOCUMENTS[name], indent=indent).encode())
    assert (done.state, done.kind) == ("done", "JSON")
    assert documents(done.project) == LABELLED


@pytest.mark.parametrize(
    ("value", "rows"),
    [
        ({}, []),
        ({"text": "a", "options": [{"id": 1, "text": "x"}]}, [{"text": "a", "options": [{"id": 1, "text": "x"}]}]),
        ({"note": "a", "n": 1}, [{"note": "a", "n": 1}]),
        ({"7": "a", "8": "b"}, [{"key": "7", "value": "a"}, {"key": "8", "value": "b"}]),
        ({"7": {"text": "a"}, "8": {"id": "x"}}, [{"id": "7", "text": "a"}, {"id": "x"}]),
        ({"text": {"0": "a", "1": "b"}, "n": {"1": 2}}, [{"text": "a", "n": None}, {"text": "b", "n": 2}]),
        ({"Late": ["a"], "Lost": ["c"]}, [{"text": "a", "label": "Late"}, {"text": "c", "label": "Lost"}]),
        (
            {"train": [{"text": "a"}], "test": [["b", "x"]]},
            [{"text": "a", "split": "train"}, {"Column 1": "b", "Column 2": "x", "split": "test"}],
        ),
    ],
)
def test_objects_of(value, rows):
    assert list(objects_of(value)) == rows


@pytest.mark.parametrize(
    ("value", "row"),
    [
        ({"_id": "a", "_source": {"text": "b", "n": 1}}, {"_id": "a", "text": "b", "n": 1}),
        ({"row_idx": 0, "row": {"text": "b"}, "cut": []}, {"row_idx": 0, "text": "b", "cut": []}),
        ({"text": "a", "row": {"text": "b"}}, {"text": "a", "row": {"text": "b"}}),
        ({"one": {"text": "a"}, "two": {"text": "b"}}, {"one": {"text": "a"}, "two": {"text": "b"}}),
        ({"n": {"m": 1}}, {"n": {"m": 1}}),
    ],
)
def test_row_of(value, row):
    assert row_of(value) == row


@pytest.mark.django_db
def test_a_conversation_is_a_text_and_its_label():
    turns = [("system", "Choose."), ("user", A), ("assistant", "Delivery")]
    said = lines(
        {"messages": [{"role": role, "content": content} for role, content in turns]},
        {"messages": [{"role": "user", "content": B}]},
    )
    assert documents(import_bytes(make_project(), said.encode()).project) == [(A, "Delivery"), (B, "")]


def test_of_several_lists_the_one_with_texts_is_meant():
    assert objects_of({"intents": [{"name": "x"}], "utterances": [{"text": "a"}]}) == [{"text": "a"}]
    assert objects_of({"features": [{"name": "text"}], "rows": [{"row": {"text": "a"}}]}) == [{"row": {"text": "a"}}]


@pytest.mark.django_db
def test_parts_of_a_data_set_without_names():
    value = {"train": [["book it", "book"]], "oos_val": [["what is it", "oos"]], "test": [["pay it", "pay"]]}
    done = import_bytes(make_project(), json.dumps(value).encode())
    assert [question["key"] for question in done.questions] == ["label:oos", "split:split"]
    assert (done.text_column, done.label_column) == ("Column 1", "Column 2")


def test_several_lists_are_named_and_none_is_guessed():
    with pytest.raises(NotCsv, match="several lists: “news”, “mails”"):
        objects_of({"news": [{"text": "a"}], "mails": [{"text": "b"}]})


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([], []),
        ([["text", "n"], ["a", 1]], [{"text": "a", "n": 1}]),
        ([["text"], ["a", 1]], [{"text": "a", "Column 2": 1}]),
        ([["a", 1], ["b"]], [{"Column 1": "a", "Column 2": 1}, {"Column 1": "b"}]),
    ],
)
def test_rows_get_names(rows, named):
    assert list(named_rows(rows)) == named


CHOICES = [{"id": "Delivery", "text": "Parcels"}, {"id": "Billing", "text": "Bills"}]


@pytest.mark.django_db
def test_of_prodigy_what_was_accepted_is_a_label_and_nothing_else():
    said = lines(
        {"text": A, "options": CHOICES, "accept": ["Delivery"], "answer": "accept", "_session_id": "ann"},
        {"text": B, "label": "Delivery", "answer": "reject", "_task_hash": 1},
        {"text": C, "options": CHOICES, "accept": [], "answer": "ignore"},
        {"text": "both", "options": CHOICES, "accept": ["Delivery", "Billing"], "answer": "accept", "shop": 7},
    )
    done = import_bytes(make_project(), said.encode())
    assert (done.state, done.kind) == ("done", "Prodigy"), done.problems
    assert documents(done.project) == [(A, "Delivery"), (B, ""), (C, ""), ("both", "")]
    assert done.project.documents.get(text=B).metadata == {"answer": "reject", "label (original)": "Delivery"}
    both = done.project.documents.get(text="both")
    assert ([each["label"] for each in both.proposals], both.metadata) == (["Delivery", "Billing"], {"shop": "7"})


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("__label__a b c\n", {"text": "b c", "label": "a"}),
        ("__label__a __label__b c\n", {"text": "c", "label": ["a", "b"]}),
        ('"__label__where-is-it b, c"\r\n', {"text": "b, c", "label": "where-is-it"}),
        ("b __label__a\n", {"text": "b __label__a"}),
        (" \n", None),
    ],
)
def test_lines_of_fasttext(line, row):
    assert [found for _, found in fasttext.rows_of([line])] == ([row] if row else [])


@pytest.mark.django_db
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_of_fasttext(encoding):
    content = "".join(f"__label__{label} {text}, café\n" for text, label in LABELLED)
    done = import_bytes(make_project(), content.encode(encoding))
    assert (done.state, done.kind) == ("done", "fastText")
    assert documents(done.project) == [(f"{text}, café", label) for text, label in LABELLED]


PACKED = {
    "gzip": gzip.compress(TABLE.encode(), mtime=0),
    "a table in a ZIP": zipped({"export/texts.csv": TABLE, "__MACOSX/export/._texts.csv": "\0\5"}),
    "JSON in a ZIP": zipped({"texts.jsonl": lines(*RECORDS)}),
    "texts in folders": zipped({f"mail/{label}/{n}.txt": text for n, (text, label) in enumerate(LABELLED)}),
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", PACKED)
def test_what_is_packed_is_read_as_if_it_were_not(name):
    done = import_bytes(make_project(), PACKED[name])
    assert done.state == "done", done.problems
    assert documents(done.project) == LABELLED
    assert [row.text for row in TextFile(io.BytesIO(PACKED[name])).rows()] == TEXTS


@pytest.mark.django_db
def test_folders_may_say_what_measures():
    done = import_bytes(make_project(), zipped({"test/pos/1.txt": A, "train/neg/1.txt": B}))
    assert [question["key"] for question in done.questions] == ["split:split"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (zipped({"a.csv": TABLE, "b.csv": TABLE}), r"\(a.csv, b.csv\) holds no table, or several"),
        (zipped({"word/document.xml": "<w/>"}), "text document and no table"),
        (zipped({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": ""}), "text document"),
        (gzip.compress(TABLE.encode(), mtime=0)[:30], "archive is damaged"),
        (zipped({"a.json": "["}), "can't be read"),
        (lines(*RECORDS).encode("utf-16"), "not written in UTF-8"),
        (b'{"text": "\xff"}', "not written in UTF-8"),
    ],
)
def test_what_cannot_be_read_is_told_in_words(data, message):
    project = make_project()
    with pytest.raises(NotCsv, match=message):
        import_bytes(project, data)
    assert not project.imports.exists()


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("[]", ()),
        ('["a"]', ("a",)),
        ("['a', 'it\\'s']", ("a", "it's")),
        ('{"a": 1.0, "b": 0.0, "c": 0.5}', ("a", "c")),
        ('{"a": true, "b": false}', ("a",)),
        ('{"id": 7, "name": "a"}', ("a",)),
        ('[{"id": 7, "name": "a"}, {"id": 8, "name": "b"}]', ("a", "b")),
        ('{"choices": ["a", "b"]}', ("a", "b")),
        ('{"id": "x"}', None),
        ('[{"id": "x"}, "a"]', None),
        ("[sic]", None),
        ("{", None),
        ("[" * 5_000, None),
    ],
)
def test_a_cell_may_be_a_list_of_labels(cell, labels):
    assert cells_of_several({cell: 1}, ()).get(cell) == labels
