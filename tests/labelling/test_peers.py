"""Files of other programs, in and out: nothing changes on the way there and back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree
from zipfile import ZipFile

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from xlsxwriter import Workbook

from labelling import jobs
from labelling.csv_io import parquet
from labelling.csv_io.exporting import csv_lines
from labelling.csv_io.formats import NotCsv
from labelling.csv_io.workbooks import MAX_CELL_CHARS
from labelling.models import CsvImport, Project
from labelling.services import imports, selections
from labelling.services.review import relabel
from labelling.services.selections import Selection
from tests.factories import csv_file, fruit_rows, import_rows, make_project, make_user, run_round, typed

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

# What people call labels.
NASTY = [
    "0110", "110", "110.0", "1e5", "a, b", "a#b", "a|b", "a;b", 'say "yes"', "two\nlines", "None", "NA", "null", "nan",
    "N/A", "billing", "Billing", "BILLING", "=1+1", "'=1", "<b> & co", "Ünïcode", "日本", "עברית", "true", "-7", "[a]",
    '["a"]', "{x}", "inner space", "label", "text", "007", "#1", "c#", '"quoted"', "'quoted'", "NULL", "nA",
]  # fmt: skip
TEXTS = [
    *(f'Text no. {n}, “{label}”, "x",\n=1 # ; |' for n, label in enumerate(NASTY)),
    "NA",
    "None",
    "=SUM(A1)",
    "'=1",
]


def load(project: Project, data: bytes | str, name: str = "file", **options: Any) -> CsvImport:
    content = ContentFile(data.encode() if isinstance(data, str) else data, name=name)
    csv_import = imports.upload(project, content, user=None)
    for option, value in options.items():
        setattr(csv_import, option, value)
    imports.start_here(csv_import)
    jobs.run_import(csv_import.pk)
    csv_import.refresh_from_db()
    return csv_import


def written(project: Project, format_name: str, **chosen: Any) -> bytes:
    parts = selections.write(project, format_name, Selection(**chosen))
    return b"".join(part.encode() if isinstance(part, str) else part for part in parts)


def rows_of(project: Project) -> list[dict[str, str]]:
    project.refresh_from_db()
    return list(selections.rows(project, Selection()))


@pytest.fixture
def ann() -> User:
    return make_user("ann@example.org")


@pytest.fixture
def client(client: Client, ann: User) -> Client:
    client.force_login(ann)
    return client


def make_mail(ann: User) -> Project:
    """Texts and labels of every kind: seeds, decided by a person, held out, of no label, predicted, and none yet."""
    project = make_project(ann, name="Mail")
    labels = ["", *NASTY, *[""] * (len(TEXTS) - len(NASTY) - 1)]
    rows = [
        ["id", "text", "label", "source", "holdout", "round", "probability", "data", "red_note", "shop"],
        *(
            [f"{n:04}", text, label, "seed" if label else "", "", "", "", "d", "n", str(n % 3)]
            for n, (text, label) in enumerate(zip(TEXTS, labels, strict=True))
        ),
        ["h", "held out", "110", "seed", "yes", "", "", "", "", ""],
        ["z", "of none of them", "", "human", "", "", "", "", "", "7"],
        ["m", "a model said so", "0110", "model", "", "3", "0.8125", "", "", ""],
    ]
    done = load(project, "".join(csv_lines(rows[0], rows[1:])), is_export=True)
    assert (done.state, done.counts["rejected"]) == ("done", 0), done.problems
    relabel(project.documents.get(external_id="0002"), ann, project.labels.get(name="NA"))
    return project


@pytest.fixture
def mail(ann: User) -> Project:
    return make_mail(ann)


# There and back


def from_label_studio(data: bytes) -> list[dict[str, Any]]:
    """What it exports of tasks that came in: numbers of its own, predictions by number, everybody's results."""
    return [
        {
            "id": 100 + number,
            "data": task["data"],
            "annotations": [
                {
                    "id": 200 + number,
                    "completed_by": 1,
                    "was_cancelled": False,
                    "ground_truth": False,
                    "created_at": "2026-11-02T10:00:00.000000Z",
                    "updated_at": "2026-11-02T10:00:00.000000Z",
                    "lead_time": None,
                    "result": [{**result, "id": "aB3", "origin": "manual"} for result in said["result"]],
                }
                for said in task.get("annotations", [])
            ],
            "drafts": [],
            "predictions": [7] if "predictions" in task else [],
            "meta": {},
        }
        for number, task in enumerate(json.loads(data))
    ]


def json_of_label_studio(data: bytes) -> bytes:
    return json.dumps(from_label_studio(data)).encode()


def min_of_label_studio(data: bytes) -> bytes:
    rows = [
        {
            **task["data"],
            "id": task["id"],
            "annotator": None,
            "annotation_id": None,
            "created_at": None,
            "lead_time": None,
        }
        | {"updated_at": said["updated_at"], "annotator": 1, "annotation_id": said["id"], "lead_time": 1.5}
        | ({"label": said["result"][0]["value"]["choices"][0]} if said["result"] else {})
        for task in from_label_studio(data)
        for said in task["annotations"] or [{"updated_at": "", "id": None, "result": []}]
    ]
    return json.dumps(rows).encode()


def csv_of_label_studio(data: bytes, delimiter: str = ",") -> bytes:
    rows = json.loads(min_of_label_studio(data))
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(dict.fromkeys(name for row in rows for name in row)), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def zip_of_doccano(data: bytes) -> bytes:
    """Of a project that is not shared: what was imported is the importer's."""
    out = io.BytesIO()
    lines = [json.loads(line) | {"Comments": []} for line in data.splitlines()]
    bare = [line | {"label": []} for line in lines]
    with ZipFile(out, "w") as archive:
        for name, examples in (("admin.jsonl", lines), ("ben.jsonl", bare)):
            archive.writestr(name, "".join(json.dumps(example) + "\n" for example in examples))
    return out.getvalue()


JOURNEYS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "Label Studio, tasks as they are": ("label-studio", bytes),
    "Label Studio, JSON": ("label-studio", json_of_label_studio),
    "Label Studio, JSON_MIN": ("label-studio", min_of_label_studio),
    "Label Studio, CSV": ("label-studio", csv_of_label_studio),
    "Label Studio, TSV": ("label-studio", lambda data: csv_of_label_studio(data, "\t")),
    "doccano, JSON lines": ("doccano", bytes),
    "doccano, ZIP": ("doccano", zip_of_doccano),
    "Argilla": ("argilla", bytes),
    "Excel": ("xlsx", bytes),
    "JSON lines": ("jsonl", bytes),
    "CSV": ("csv", bytes),
}


@pytest.mark.parametrize(("format_name", "through"), JOURNEYS.values(), ids=JOURNEYS)
def test_nothing_changes_on_the_way_there_and_back(mail, format_name, through):
    before = rows_of(mail)
    copy = make_project()
    done = load(copy, through(written(mail, format_name)), is_export=True)
    assert (done.state, done.counts["rejected"], done.questions) == ("done", 0, []), done.problems
    assert rows_of(copy) == before


def test_a_label_that_was_changed_there_is_a_persons_word_here(mail):
    tasks = from_label_studio(written(mail, "label-studio"))
    changed = next(task for task in tasks if task["data"]["external_id"] == "0001")
    changed["annotations"][0] |= {
        "updated_at": "2026-11-05T09:00:00Z",
        "updated_by": 5,
        "result": [
            {"from_name": "label", "to_name": "text_view", "type": "choices", "value": {"choices": ["billing"]}}
        ],
    }
    gone = next(task for task in tasks if task["data"]["external_id"] == "0003")
    gone["annotations"] = []
    copy = make_project()
    load(copy, json.dumps(tasks))
    found = {row["id"]: row for row in rows_of(copy)}
    told = {name: found["0001"][name] for name in ("label", "source", "reviewer", "decided_at")}
    assert told == {
        "label": "billing",
        "source": "human",
        "reviewer": "ls-user-5",
        "decided_at": "2026-11-05T09:00:00Z",
    }
    assert (found["0003"]["label"], found["0003"]["source"]) == ("", "")


def test_the_configuration_names_each_label_as_it_is(mail):
    mail.labels.filter(name="two\nlines").update(definition='Use when <it> says "two"\nand more')
    view = ElementTree.fromstring(selections.configuration(mail))
    names = [choice.get("value") for choice in view.iter("Choice")]
    assert sorted(map(str, names)) == sorted(NASTY)
    assert view.find(".//Choice[@hint]").get("hint") == 'Use when <it> says "two"\nand more'
    control = view.find("Choices")
    assert (control.get("name"), control.get("toName")) == ("label", view.find("Text").get("name"))


def test_doccano_gets_the_same_names_in_each_line_and_nothing_but_words(mail):
    lines = [json.loads(line) for line in written(mail, "doccano").splitlines()]
    assert len({tuple(line) for line in lines}) == 1
    assert not {"data", "filename", "upload_name", "example_uuid", "source", "holdout"} & set(lines[0])
    assert all(isinstance(value, str) for line in lines for name, value in line.items() if name != "label")
    assert [line["label"] for line in lines if line["id"] == "m"] == [[]], "a model's word is no label"


def test_a_person_whom_argilla_knows_gives_a_response_and_all_others_a_suggestion(ann):
    user = "6f3c9a0e-3f0e-4e5d-9d0f-0f0e4e5d9d0f"
    flat = [
        {"id": "1", "status": "completed", "_server_id": "x", "text": "one", "shop": "7", "label.responses": ["A"],
         "label.responses.users": [user], "label.responses.status": ["submitted"], "label.suggestion": "B",
         "label.suggestion.score": 0.75, "label.suggestion.agent": "m-1"},
        {"id": "2", "status": "pending", "_server_id": "y", "text": "two", "shop": None, "label.responses": ["A"],
         "label.responses.users": [user], "label.responses.status": ["discarded"], "label.suggestion": "B",
         "label.suggestion.score": 0.75, "label.suggestion.agent": "m-1"},
        {"id": "3", "status": "pending", "_server_id": "z", "text": "three", "label.responses": ["A", "B"],
         "label.responses.users": [user, "u2"], "label.responses.status": ["submitted", "submitted"]},
    ]  # fmt: skip
    project = make_project()
    load(project, json.dumps(flat))
    found = {row["id"]: row for row in rows_of(project)}
    assert [(found[i]["label"], found[i]["source"]) for i in "123"] == [("A", "human"), ("B", "model"), ("", "")]
    assert (found["2"]["probability"], found["2"]["judge_model"]) == ("0.7500", "m-1")
    assert project.documents.get(external_id="3").is_disputed
    assert project.documents.get(external_id="1").proposals == [
        {"label": "B", "by": "m-1", "at": "", "score": 0.75, "is_person": False}
    ]
    record = json.loads(written(project, "argilla"))[0]
    assert record["responses"] == {"label": [{"value": "A", "user_id": user, "status": "submitted"}]}
    with pytest.raises(NotCsv, match="flatten=True"):
        load(make_project(), json.dumps([{"fields": {"text": "a"}, "responses": {"label": [{"value": "A"}]}}]))


# People who disagree


def annotation(label: str, by: str, hour: int, **more: Any) -> dict[str, Any]:
    at = f"2026-11-02T{hour:02}:00:00Z"
    result = [{"from_name": "topic", "type": "choices", "value": {"choices": [label]}}] if label else []
    return {"completed_by": {"email": by}, "created_at": at, "updated_at": at, "result": result} | more


DISPUTED = [
    {
        "id": 1,
        "data": {"title": "Card", "text": "apple apple where is it"},
        "annotations": [annotation("banana", "ben", 8), annotation("apple", "ann", 7)],
        "predictions": [
            {"model_version": "v3", "score": 0.9, "result": annotation("cherry", "", 1)["result"]},
        ],
    },
    {
        "id": 2,
        "data": {"title": "Both", "text": "cherry cherry again"},
        "annotations": [annotation("cherry", "ann", 7), annotation("cherry", "ben", 9)],
    },
    {"id": 3, "data": {"text": "skipped"}, "annotations": [annotation("apple", "ann", 7, was_cancelled=True)]},
    {"id": 4, "data": {"text": "sent without a choice"}, "annotations": [annotation("", "ann", 7)]},
]


def test_people_who_disagree_are_heard_and_decided_on_here(ann, client):
    project = make_project(ann, auto_accept=True, batch_size=3, retrain_after=4)
    import_rows(project, fruit_rows())
    done = load(project, json.dumps(DISPUTED))
    assert (done.kind, done.counts["disputed"]) == ("Label Studio", 1)
    found = {row["id"]: row for row in rows_of(project) if row["id"]}
    assert (found["1"]["label"], found["1"]["title"]) == ("", "Card")
    assert (found["2"]["label"], found["2"]["source"], found["2"]["reviewer"]) == ("cherry", "human", "ben")
    assert (found["3"]["source"], found["3"]["skipped by"]) == ("", "ann")
    assert (found["4"]["label"], found["4"]["source"]) == ("", ""), "not the same as “none of the labels”"
    run_round(project)
    disputed = project.documents.get(external_id="1")
    assert project.queue.filter(document=disputed, query__reason="review").exists()
    page = client.get(reverse("document", args=[project.slug, disputed.pk])).content.decode()
    for said in ("People disagreed", "banana", "ben", "cherry", "v3", "0.90"):
        assert said in page


def test_several_controls_are_columns_to_choose_from(ann):
    both = annotation("apple", "ann", 7)
    both["result"] = [*both["result"], {"from_name": "mood", "type": "choices", "value": {"choices": ["good", "new"]}}]
    project = make_project(ann)
    done = load(project, json.dumps([{"id": 1, "data": {"text": "a"}, "annotations": [both]}]), label_column="topic")
    assert (done.state, done.kind) == ("done", "JSON")
    assert rows_of(project)[0]["label"] == "apple"


def test_the_zip_of_doccano_brings_each_persons_word(ann):
    out = io.BytesIO()
    with ZipFile(out, "w") as archive:
        archive.writestr(
            "ann.csv", "\ufeffid,text,label,Comments,shop\r\n1,one,A,,7\r\n2,two,A#B,,7\r\n3,three,A,hm,7\r\n"
        )
        archive.writestr("ben.csv", "\ufeffid,text,label,Comments,shop\r\n1,one,A,,7\r\n2,two,A,,7\r\n3,three,C,,7\r\n")
    project = make_project(ann)
    done = load(project, out.getvalue())
    assert (done.kind, done.counts["disputed"]) == ("doccano", 2)
    found = {row["id"]: row for row in rows_of(project)}
    assert (found["1"]["label"], found["1"]["reviewer"], found["1"]["shop"]) == ("A", "ben", "7")
    assert {p["label"] for p in project.documents.get(external_id="3").proposals} == {"A", "C"}


# Tables


def workbook(rows: Iterable[Iterable[Any]], above: int = 0) -> bytes:
    out = io.BytesIO()
    with Workbook(out, {"remove_timezone": True, "default_date_format": "yyyy-mm-dd"}) as book:
        book.add_worksheet("empty")
        sheet = book.add_worksheet("answers")
        for n, row in enumerate(rows, start=above):
            for column, cell in enumerate(row):
                if isinstance(cell, str):
                    sheet.write_string(n, column, cell)
                else:
                    sheet.write(n, column, cell)
    return out.getvalue()


@pytest.mark.parametrize("above", [0, 3])
def test_a_workbook_keeps_codes_dates_and_whatever_a_cell_holds(ann, above):
    rows = [["id", "text", "label", "date", "n"], [7, "=1+1\r\nnew", "0110", datetime(2026, 5, 3), 1.5]]
    rows += [[8, "", "", None, None], [9, "b", "", datetime(2026, 5, 3, 4, 5), True]]
    done = load(make_project(ann), workbook(rows, above), keep_good_rows=True)
    assert done.counts["rejected"] == 1
    assert done.problems[0]["line"] == above + 3, "the row of the sheet"
    found = {row["id"]: row for row in rows_of(done.project)}
    assert (found["7"]["text"], found["7"]["label"]) == ("=1+1\r\nnew", "0110")
    assert (found["7"]["date"], found["7"]["n"]) == ("2026-05-03", "1.5")
    assert (found["9"]["date"], found["9"]["n"]) == ("2026-05-03 04:05:00", "true")


def test_rows_above_the_names_of_a_workbook_are_told_with_their_numbers(ann, client):
    data = workbook([["Calls of May"], [], ["text", "label"], ["I paid twice", "Money"], ["Closed", "Hours"]])
    project = make_project(ann)
    csv_import = imports.upload(project, ContentFile(data, name="calls.xlsx"), ann)
    assert (csv_import.skip_rows, csv_import.kind) == (2, "Excel")
    page = client.get(csv_import.get_absolute_url())
    assert "Read as Excel." in page.content.decode()
    assert "Calls of May" in page.content.decode()
    assert "encoding" not in page.context["form"].fields
    client.post(csv_import.get_absolute_url(), typed(page.context["form"]) | {"start": ""})
    jobs.run_import(csv_import.pk)
    assert [row["label"] for row in rows_of(project)] == ["Money", "Hours"]


def book_of(*sheets: tuple[str, list[list[Any]]], merged: Iterable[tuple[int, int, int, int, str]] = ()) -> bytes:
    """A workbook; what is merged is (first row, column, last row, column, cell) of the last sheet."""
    out = io.BytesIO()
    with Workbook(out) as book:
        for name, rows in sheets:
            sheet = book.add_worksheet(name)
            for n, row in enumerate(rows):
                sheet.write_row(n, 0, row)
        for each in merged:
            sheet.merge_range(*each)
    return out.getvalue()


TABLE = [["text", "label"], ["I paid twice", "Money"], ["Closed", "Hours"]]
NOTES = [["Read me"], ["The answers are on the other sheet."]]


@pytest.mark.parametrize(
    ("sheets", "read", "others"),
    [
        ([("notes", NOTES), ("answers", TABLE)], "answers", "“notes”"),
        ([("answers", TABLE), ("codes", [["code", "name"], ["1", "a"]])], "answers", "“codes”"),
        ([("sums", [["a", "b"], ["1", "2"]]), ("answers", TABLE), ("notes", NOTES)], "answers", "“sums”, “notes”"),
        ([("empty", []), ("answers", TABLE)], "answers", ""),
    ],
)
def test_the_sheet_that_is_read_is_named_with_those_that_are_not(ann, client, sheets, read, others):
    project = make_project(ann)
    csv_import = imports.upload(project, ContentFile(book_of(*sheets), name="calls.xlsx"), ann)
    page = client.get(csv_import.get_absolute_url()).content.decode()
    assert (f"The sheet “{read}” is read, and not {others}:" in page) == bool(others)
    assert [row["text"] for row in rows_of(load(project, book_of(*sheets)).project)] == ["I paid twice", "Closed"]


def test_what_is_merged_over_rows_stands_in_each_of_them(ann):
    rows = [["Calls", ""], ["label", "text"], ["", "a"], ["", "b"], ["Hours", "c"], ["", "d"]]
    data = book_of(("calls", rows), merged=[(0, 0, 0, 1, "Calls"), (2, 0, 3, 0, "Money")])
    found = rows_of(load(make_project(ann), data).project)
    assert [(row["text"], row["label"]) for row in found] == [("a", "Money"), ("b", "Money"), ("c", "Hours"), ("d", "")]


def test_json_lines_have_columns_for_all_names_that_occur(ann):
    lines = '{"text": "a", "label": 110, "id": 1}\n\n{"text": "b", "code": "0110", "tags": ["x", 1], "ok": true}\n'
    done = load(make_project(ann), lines)
    assert done.kind == "JSON lines"
    found = rows_of(done.project)
    assert [(row["text"], row["label"]) for row in found] == [("a", "110"), ("b", "")]
    assert (found[1]["code"], found[1]["tags"], found[1]["ok"]) == ("0110", '["x", 1]', "true")
    assert [d.text for d in load(make_project(ann), '["one", "two"]').project.documents.all()] == ["one", "two"]


def test_parquet(ann, tmp_path, monkeypatch):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet as files

    path = tmp_path / "texts.parquet"
    table = {"text": ["a\nb", "c"], "label": ["0110", None], "at": [datetime(2026, 5, 3, tzinfo=UTC), None]}
    files.write_table(pa.table(table), path)
    done = load(make_project(ann), path.read_bytes())
    assert [(row["text"], row["label"]) for row in rows_of(done.project)] == [("a\nb", "0110"), ("c", "")]
    with pytest.raises(NotCsv, match="Parquet file can't be read"):
        load(make_project(ann), b"PAR1nonsense")

    def missing(*arguments: object) -> None:
        raise parquet.NoPyarrow

    monkeypatch.setattr(parquet, "convert", missing)
    with pytest.raises(NotCsv, match="need the package pyarrow"):
        load(make_project(ann), path.read_bytes())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\x03\x04nonsense", "archive is damaged"),
        (workbook([["text"], ["a"]])[:900], "archive is damaged"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "workbook is damaged"),
        (b'[{"text": "a"}, {"text": ', "JSON file can't be read"),
        (b'[{"text": "a"}, 7]', "Value 2"),
        (b'[["a", "b"], "c"]', "Value 2"),
        (b'{"text": "a"}\n{"text": \n', "Line 2"),
        (b'{"text": "a"}\n[1]\n', "Line 2"),
        (b'{"text": "a"}\n{"text": "\xff"}\n', "UTF-8"),
        (b'{"text":\n "a"\n', "JSON file can't be read"),
        (b"[]", "file is empty"),
        (b"{}", "file is empty"),
    ],
)
def test_a_damaged_file_is_told_in_words_and_nothing_is_written(ann, data, message):
    project = make_project(ann)
    with pytest.raises(NotCsv, match=message):
        load(project, data)
    assert not project.imports.exists()
    assert not project.documents.exists()


# What is chosen


def test_rows_and_columns_are_chosen(mail, client, tmp_path):
    address = reverse("export_file", args=[mail.slug])
    decided = client.get(address, {"format": "programs", "rows": "people", "columns": ["id", "label"]})
    assert decided.getvalue().decode().splitlines() == ["id,label", "0002,NA", "z,"]
    label = mail.labels.get(name="110")
    one = client.get(address, {"format": "jsonl", "label": label.pk, "columns": ["id", "holdout"]})
    told = [json.loads(line) for line in one.getvalue().decode().splitlines()]
    assert {"id": "h", "holdout": "yes"} in told
    assert len(told) == 1
    assert client.get(address, {"rows": "certified", "format": "programs"}).getvalue().decode().count("\n") == 1
    assert client.get(address, {"format": "word"}).status_code == 404
    refused = client.get(address, {"format": "doccano", "columns": ["id"]}, follow=True)
    assert "This format needs all columns" in refused.content.decode()
    page = client.get(reverse("export_page", args=[mail.slug])).content.decode()
    assert "two\nlines" in page
    path = tmp_path / "out.csv"
    call_command("export_csv", "mail", path, "--format=programs", "--label=NA", "--columns", "id", stdout=io.StringIO())
    assert path.read_text() == "id\n0002\n0012\n"
    for option in ("--label=nobody", "--release=9"):
        with pytest.raises(CommandError, match="has no"):
            call_command("export_csv", "mail", path, option)
    with pytest.raises(CommandError, match="no column"):
        call_command("export_csv", "mail", path, "--columns", "nothing")


def test_what_a_workbook_cannot_hold_is_told(ann, client, settings):
    settings.MAX_TEXT_CHARS = MAX_CELL_CHARS + 1
    project = make_project(ann)
    import_rows(project, [("x" * (MAX_CELL_CHARS + 1), "a")])
    page = client.get(reverse("export_file", args=[project.slug]), {"format": "xlsx"}, follow=True)
    assert "a workbook holds 32,767" in page.content.decode()


# Several columns make a text


def test_a_text_of_several_columns_names_them(ann, client):
    rows = [
        ("1", "primary school", "teacher", "2341"),
        ("2", "driving school", "teacher", "5165"),
        ("3", "", "cook", "5120"),
    ]
    project = make_project(ann)
    csv_import = imports.upload(project, csv_file(rows, ("id", "industry", "occupation", "code")), ann)
    address = csv_import.get_absolute_url()
    form = client.get(address).context["form"]
    chosen = typed(form) | {"text_column": "industry", "more_text_columns": ["occupation"]}
    page = client.post(address, chosen)
    assert page.context["form"]["more_text_columns"].value() == ["occupation"]
    client.post(address, chosen | {"start": "", "holdout_percent": 0})
    jobs.run_import(csv_import.pk)
    found = {row["id"]: row for row in rows_of(project)}
    assert found["1"]["text"] == "industry: primary school\noccupation: teacher"
    assert found["2"]["label"] == "5165"
    assert found["3"]["text"] == "occupation: cook"
    assert "industry" not in found["1"], "it is a part of the text"


def test_the_command_joins_columns_too(ann, tmp_path):
    path = tmp_path / "jobs.csv"
    path.write_text("id,industry,occupation,code\n1,hotel,cleaner,9112\n2,hospital,cleaner,9112\n")
    project = make_project(ann, name="Jobs")
    options = ("--text-column=industry", "--text-column=occupation", "--yes")
    call_command("import_csv", "jobs", path, *options, stdout=io.StringIO())
    assert list(project.documents.values_list("text", flat=True)) == [
        "industry: hotel\noccupation: cleaner",
        "industry: hospital\noccupation: cleaner",
    ]


# Lists of labels


def test_the_columns_of_a_list_of_labels_are_chosen_and_codes_stay_codes(ann, client):
    project = make_project(ann)
    address = reverse("import_definitions", args=[project.slug])
    listed = b"Key,Meaning\n0110,Officers\n0210,Other ranks\n110,Clerks\n"
    asked = client.post(address, {"file": SimpleUploadedFile("codes.csv", listed)})
    assert "The file has no column name and no column definition. Choose it" in asked.content.decode()
    chosen = {"name_column": "Key", "definition_column": "Meaning"}
    read = client.post(address, {"file": SimpleUploadedFile("codes.csv", listed)} | chosen, follow=True)
    assert "These labels look alike: 0110, 110." in read.content.decode()
    assert list(project.labels.values_list("name", "definition")) == [
        ("0110", "Officers"), ("0210", "Other ranks"), ("110", "Clerks"),
    ]  # fmt: skip
    book = workbook([["Key", "Meaning", "Other words"], ["0310", "Cooks", "chefs"]])
    client.post(address, {"file": SimpleUploadedFile("codes.xlsx", book), "synonyms_column": "Other words"} | chosen)
    assert project.labels.get(name="0310").synonyms == "chefs"


def test_a_column_without_a_name_before_the_texts_is_no_text_a_line(ann):
    """As R and pandas write their numbers."""
    done = load(make_project(ann), ',text\n0,"I paid twice, again"\n1,Closed\n')
    assert [row["text"] for row in rows_of(done.project)] == ["I paid twice, again", "Closed"]
    assert [row["Column 1"] for row in rows_of(done.project)] == ["0", "1"]
