"""Files as people's tools write them: read right, or asked about before anything is written."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from labelling import jobs
from labelling.csv_io.rows import folded
from labelling.models import CsvImport, Project
from labelling.services import imports
from labelling.services.exports import export_lines
from labelling.services.imports import writing
from labelling.services.review import relabel
from tests.factories import csv_file, import_bytes, import_rows, make_project, make_user, typed

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

DIALECTS = [(",", "\r\n", "utf-8"), (";", "\n", "cp1252"), ("\t", "\r\n", "utf-16"), ("|", "\n", "utf-8-sig")]


@dataclass(frozen=True)
class Kind:
    """A kind of file: ``write`` gets a delimiter; ``documents`` are (text, label, held out).

    ``asks``: what a refusal names, empty where the file is read at once. ``says``: what is told before that.
    """

    write: Callable[[str], str]
    documents: list[tuple[str, str, bool]]
    asks: str = ""
    says: str = ""
    delimiters: str = ",;\t|"
    ids: list[str] = field(default_factory=list)


def lines(*rows: list[str]) -> Callable[[str], str]:
    """Rows as csv writes them."""

    def write(delimiter: str) -> str:
        out = io.StringIO(newline="")
        csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows(rows)
        return out.getvalue()

    return write


def raw(*rows: list[str]) -> Callable[[str], str]:
    """Rows without any quotation."""
    return lambda delimiter: "".join(delimiter.join(row) + "\n" for row in rows)


def seed(text: str, label: str) -> tuple[str, str, bool]:
    return text, label, False


PAID, OPEN, LATE = "I paid twice", "The shop is closed on Sunday", "My parcel is late"
BASIC = [seed(PAID, "Money"), seed(OPEN, "Hours"), seed(LATE, "")]
ROWS = [[PAID, "Money"], [OPEN, "Hours"], [LATE, ""]]
NAMES = ["text", "label"]

KINDS = {
    "sep line": Kind(
        lambda d: f"sep={d}\n" + lines(NAMES, *ROWS)(d), BASIC, says="1 line above the column names is left out"
    ),
    "sep line in quotes": Kind(
        lambda d: f'"sep={d}"\n' + lines(NAMES, *ROWS)(d), BASIC, says="1 line above the column names is left out"
    ),
    "title": Kind(lines(["Calls of May"], [], NAMES, *ROWS), BASIC, says="above the column names are left out"),
    "title, padded": Kind(
        lines(
            ["Calls of May", "", ""],
            ["as of", "June", ""],
            ["", "", ""],
            [*NAMES, "shop"],
            *[[*row, "7"] for row in ROWS],
        ),
        BASIC,
        says="3 lines above",
    ),
    "empty rows": Kind(
        lines(["", ""], NAMES, ROWS[0], ["", ""], [" ", ""], *ROWS[1:], ["", ""]),
        BASIC,
        says="empty cells are left out",
    ),
    "delimiter at the end of the rows": Kind(
        raw(NAMES, *[[*row, "", ""] for row in ROWS]), BASIC, says="these cells are left out"
    ),
    "delimiter at the end of the names": Kind(raw([*NAMES, ""], *ROWS), BASIC),
    "joined": Kind(
        lambda d: lines(NAMES, *ROWS[:2])(d) + "\ufeff" + lines(NAMES, ROWS[2])(d),
        BASIC,
        says="column names come again",
    ),
    "space before marks": Kind(
        lambda d: raw(["text", " label"], *[[f'"{text}{d} please"', f' "{label}"'] for text, label in ROWS])(d),
        [],
        says="Spaces stand between",
        delimiters=",;|",
    ),
    "three rows of names": Kind(
        lines(
            ["ResponseId", "Q7", "Q7_CODE"],
            ["Response ID", "What went wrong?", "Code of Q7"],
            ['{"ImportId":"_recordId"}', '{"ImportId":"QID7"}', '{"ImportId":"QID7_CODE"}'],
            *[[f"R_{n}", *row] for n, row in enumerate(ROWS)],
        ),
        BASIC,
        asks="--header-rows",
        says="2 rows below the column names",
        ids=["R_0", "R_1", "R_2"],
    ),
    "two rows of names": Kind(
        lines(
            ["Case ID", "What went wrong?", ""],
            ["", "Open-Ended Response", "Code"],
            *[[str(70 + n), *row] for n, row in enumerate(ROWS)],
        ),
        BASIC,
        asks="--header-rows",
        says="1 row below the column names",
    ),
    "codes and questions": Kind(
        lines(["Q1", "Q1_code"], ["What went wrong?", "Code"], *ROWS),
        BASIC,
        asks="--header-rows",
        says="1 row below the column names",
    ),
    "title with a delimiter": Kind(
        lambda d: f"Calls{d} May\n" + lines(NAMES, *ROWS)(d), BASIC, says="1 line above the column names is left out"
    ),
    "joined, names written otherwise": Kind(
        lambda d: lines(NAMES, *ROWS[:2])(d) + raw(["TEXT", " Label "], ROWS[2])(d),
        BASIC,
        says="column names come again",
    ),
    "one short text a line": Kind(
        lambda _: f"Not open\n{PAID}, please help\n{OPEN}\n",
        [seed("Not open", ""), seed(f"{PAID}, please help", ""), seed(OPEN, "")],
        asks="--no-header",
        says="The first row is read as data",
    ),
    "no names": Kind(
        lines(
            *[[f"call-{n}", *row] for n, row in enumerate(ROWS, start=3)], ["call-9", "Still waiting for it", "Late"]
        ),
        [*BASIC, seed("Still waiting for it", "Late")],
        asks="--no-header",
        says="The first row is read as data",
        ids=["call-3", "call-4", "call-5", "call-9"],
    ),
    "no names, and a label that may be one": Kind(
        lines([PAID, "Question"], [OPEN, "Question"], [LATE, "Code"]),
        [seed(PAID, "Question"), seed(OPEN, "Question"), seed(LATE, "Code")],
        asks="--no-header",
        says="The first row is read as data",
    ),
    "one text a line": Kind(
        lambda _: f"{PAID}, please help\n{OPEN}\n{LATE}, and wet\nWell, so it is, again\n",
        [
            seed(f"{PAID}, please help", ""),
            seed(OPEN, ""),
            seed(f"{LATE}, and wet", ""),
            seed("Well, so it is, again", ""),
        ],
        asks="--delimiter",
        says="Each line is read as one text",
    ),
    "one text a line below a name": Kind(
        lambda _: f"text\n{PAID}, please help\n{OPEN}\n{LATE}, and wet\n",
        [seed(f"{PAID}, please help", ""), seed(OPEN, ""), seed(f"{LATE}, and wet", "")],
        asks="--delimiter",
        says="Each line is read as one text",
    ),
    "stray mark": Kind(
        raw(
            NAMES,
            ['"Sale" they said', "Money"],
            [OPEN, "Hours"],
            ['The 15" screen is dark', "Screen"],
            ['"Open', "Hours"],
        ),
        [
            seed('"Sale" they said', "Money"),
            seed(OPEN, "Hours"),
            seed('The 15" screen is dark', "Screen"),
            seed('"Open', "Hours"),
        ],
        asks="--no-quotes",
        says="Quotation marks do not enclose",
    ),
    "stray marks that close each other": Kind(
        raw(NAMES, ['"Open', "Hours"], [PAID, "Money"], ['Screen of 15"', "Screen"]),
        [seed('"Open', "Hours"), seed(PAID, "Money"), seed('Screen of 15"', "Screen")],
        asks="--no-quotes",
        delimiters="\t",
    ),
    "names that are questions": Kind(
        lines(["Tell us, please, what went wrong, if anything?", "Code"], [f"{PAID}, twice", "Money"], [OPEN, "Hours"]),
        [seed(f"{PAID}, twice", "Money"), seed(OPEN, "Hours")],
    ),
    "words for nothing": Kind(
        lines(
            ["id", *NAMES],
            ["7.0", PAID, "Money"],
            ["8.0", OPEN, "NaN"],
            ["9.0", "NULL", "Money"],
            ["10.0", LATE, "None"],
        ),
        [seed(PAID, "Money"), seed(OPEN, ""), seed(LATE, "")],
        asks="--answer",
        says="What does “NaN” mean as a label?",
        ids=["7", "8", "10"],
    ),
    "words for what nobody knows": Kind(
        lines(NAMES, [PAID, "-"], [OPEN, "unbekannt"], [LATE, "?"], ["-", "Money"]),
        [seed(PAID, ""), seed(OPEN, ""), seed(LATE, "")],
        asks="--answer",
        says="What does “-” mean as a text?",
    ),
    "labels under a name that nobody knows": Kind(
        lines(["text", "team"], *[[f"{text} {n}", label] for n in range(3) for text, label in ROWS[:2]]),
        [seed(f"{text} {n}", "") for n in range(3) for text, _ in ROWS[:2]],
        says="May it be “team”?",
    ),
    "a total below": Kind(
        lines(["id", *NAMES], *[[str(n), *row] for n, row in enumerate(ROWS)], ["Total:", "3", ""]),
        BASIC,
        asks="--answer",
        says="What stands at the end of the file?",
        ids=["0", "1", "2"],
    ),
    "remarks below an empty row": Kind(
        lines(["id", *NAMES], *[["", *row] for row in ROWS], ["", "", ""], ["As of May", "", ""], ["Desk 3", "", ""]),
        BASIC,
        asks="--answer",
        says="What stands at the end of the file?",
    ),
    "texts below an empty row": Kind(
        lines(NAMES, *ROWS[:2], ["", ""], ROWS[2]), BASIC, asks="--answer", says="What stands at the end of the file?"
    ),
    "an empty row in the middle": Kind(
        lines(NAMES, ROWS[0], ["", ""], *ROWS[1:]), BASIC, says="Rows of nothing but empty cells are left out"
    ),
    "a rule below the names": Kind(
        lambda d: lines(NAMES, ["---", ":-----"], *ROWS)(d), BASIC, says="Rows of nothing but empty cells are left out"
    ),
    "a column for each label": Kind(
        lines(["id", "text", "Money", "Hours"], ["1", PAID, "x", ""], ["2", OPEN, "", "X"], ["3", LATE, "x", "x"]),
        BASIC,
        asks="--answer",
        says="Labels seem to stand in several columns: “Money”, “Hours”",
        ids=["1", "2", "3"],
    ),
    "a column for each label, in numbers": Kind(
        lines(["text", "Money", "Hours"], [PAID, "1", "0"], [OPEN, "0", "1.0"], [LATE, "0", "0"]),
        BASIC,
        asks="--answer",
        says="yes: each is a label",
    ),
    "flags that are hardly labels": Kind(
        lines(["text", "urgent", "known"], [PAID, "yes", "yes"], [OPEN, "yes", "yes"], [LATE, "no", "no"]),
        [seed(PAID, ""), seed(OPEN, ""), seed(LATE, "")],
        asks="--answer",
        says="no: keep the columns, no label yet",
    ),
    "columns of marks with a word further down": Kind(
        lines(
            ["text", "Money", "Hours"],
            *[[f"{text} {n}", "1", "0"] for n in range(10) for text in (PAID, OPEN)],
            [LATE, "soon", "0"],
        ),
        [*[seed(f"{text} {n}", "") for n in range(10) for text in (PAID, OPEN)], seed(LATE, "")],
    ),
    "a column for each coder": Kind(
        lines(["text", "Coder 1", "Coder 2"], [PAID, "Money", "Money"], [OPEN, "Hours", ""], [LATE, "Hours", "Money"]),
        BASIC,
        asks="--answer",
        says="Labels seem to stand in several columns: “Coder 1”, “Coder 2”",
    ),
    "a column for each level": Kind(
        lines(["text", "Level 1", "Level 2"], [PAID, "Desk", "Money"], [OPEN, "Hours", ""], [LATE, "", ""]),
        BASIC,
        asks="--answer",
        says="yes: a row has the last that is filled",
    ),
    "a flag for the test": Kind(
        lines([*NAMES, "is_test"], [PAID, "Money", "0"], [OPEN, "Hours", "1"], [LATE, "", "0"]),
        [seed(PAID, "Money"), (OPEN, "Hours", True), seed(LATE, "")],
        asks="--answer",
        says="The column “is_test” says “1”",
    ),
    "several labels": Kind(
        lines(NAMES, [PAID, "Money"], [OPEN, "Hours"], [LATE, "Hours#Money"]),
        BASIC,
        asks="--answer",
        says="1 row holds several labels",
    ),
    "several labels as a list": Kind(
        lines(NAMES, [PAID, '["Money"]'], [OPEN, '{"choices":["Hours"]}'], [LATE, '["Hours", "Money"]']),
        BASIC,
        asks="--answer",
        says="3 rows hold several labels",
    ),
    "labels that look alike": Kind(
        lines(
            NAMES,
            [PAID, "Money"],
            [OPEN, "MONEY"],
            [LATE, "Mon ey"],
            ["Cold", "Café "],
            ["Tea", "Café"],
            ["More", "Money"],
        ),
        [
            seed(PAID, "Money"),
            seed(OPEN, "Money"),
            seed(LATE, "Money"),
            seed("Cold", "Café"),
            seed("Tea", "Café"),
            seed("More", "Money"),
        ],
        asks="--answer",
        says="“MONEY” (line 3, rows: 1)",
    ),
    "codes that look alike": Kind(
        lines(NAMES, [PAID, "070"], [OPEN, "70"], [LATE, "71"]),
        [seed(PAID, "070"), seed(OPEN, "70"), seed(LATE, "71")],
        asks="--answer",
        says="“070” (line 2, rows: 1)",
    ),
    "codes as floats": Kind(
        lines(NAMES, [PAID, "70.0"], [OPEN, "71.0"], [LATE, ""]),
        [seed(PAID, "70"), seed(OPEN, "71"), seed(LATE, "")],
        asks="--answer",
        says="All labels end in “.0”",
    ),
    "split": Kind(
        lines([*NAMES, "Split"], [PAID, "Money", "train"], [OPEN, "Hours", "test"], [LATE, "", "test"]),
        [seed(PAID, "Money"), (OPEN, "Hours", True), seed(LATE, "")],
        asks="--answer",
        says="The column “Split” says “test”",
    ),
    "a trimmed export": Kind(
        lines(
            ["text", "label", "source", "holdout"],
            [PAID, "Money", "seed", "yes"],
            [OPEN, "Hours", "model", ""],
            [LATE, "Late", "human", ""],
        ),
        [(PAID, "Money", True), seed(OPEN, ""), seed(LATE, "Late")],
        asks="--export",
        says="is read as an export",
    ),
}
CASES = [
    pytest.param(kind, dialect, id=f"{name} {dialect[0]!r}")
    for name, kind in KINDS.items()
    for dialect in DIALECTS
    if dialect[0] in kind.delimiters
]


def encoded(kind: Kind, delimiter: str, line_end: str, encoding: str) -> bytes:
    return kind.write(delimiter).replace("\n", line_end).encode(encoding, errors="ignore")


def documents(project: Project) -> list[tuple[str, str, bool]]:
    return [
        (text, label or "", held)
        for text, label, held in project.documents.values_list("text", "given_label__name", "holdout")
    ]


def run_command(project: Project, path: Path, *options: str) -> tuple[str, str]:
    """What the command says, and its refusal."""
    out = io.StringIO()
    refusal = ""
    try:
        call_command("import_csv", project.slug, str(path), *options, stdout=out, stderr=out)
    except CommandError as error:
        refusal = str(error)
    return out.getvalue(), refusal


@pytest.mark.parametrize(("kind", "dialect"), CASES)
def test_the_command_reads_it_right_or_asks(kind, dialect, tmp_path):
    path = tmp_path / "file.csv"
    path.write_bytes(encoded(kind, *dialect))
    project = make_project()
    said, refusal = run_command(project, path)
    assert kind.says in said
    if kind.asks:
        assert refusal.startswith("Nothing was imported")
        assert kind.asks in said + refusal
        assert not project.documents.exists()
        assert not project.imports.exists()
        assert run_command(project, path, "--yes")[1] == ""
    else:
        assert refusal == ""
    if kind.documents:
        assert documents(project) == kind.documents
    else:
        assert [label for _, label, _ in documents(project)] == ["Money", "Hours", ""]
    if kind.ids:
        assert list(project.documents.values_list("external_id", flat=True)) == kind.ids


@pytest.mark.parametrize(
    ("kind", "dialect"), [case for case in CASES if ";" in case.id or "close each other" in case.id]
)
def test_a_dry_run_says_the_same_and_writes_nothing(kind, dialect, tmp_path):
    path = tmp_path / "file.csv"
    path.write_bytes(encoded(kind, *dialect))
    project = make_project()
    said, refusal = run_command(project, path, "--dry-run")
    assert (refusal, kind.says in said, "Nothing was imported (--dry-run)" in said) == ("", True, True)
    assert not project.documents.exists()
    assert not project.labels.exists()
    assert not project.imports.exists()


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(make_user("manager"))
    return client


@pytest.mark.parametrize(
    ("kind", "dialect"), [case for case in CASES if "','" in case.id or "close each other" in case.id]
)
def test_the_browser_shows_it_before_anything_is_written(kind, dialect, client):
    project = make_project(manager=client_user(client))
    upload(client, project, encoded(kind, *dialect))
    csv_import = project.imports.get()
    page = client.get(csv_import.get_absolute_url())
    asked = page.content.decode()
    client.post(csv_import.get_absolute_url(), typed(page.context["form"]) | {"start": ""})
    go_on(csv_import)
    if csv_import.questions:
        asked += client.get(csv_import.get_absolute_url()).content.decode()
        assert not project.documents.exists()
        answers = {f"answer-{n}": question["guess"] for n, question in enumerate(csv_import.questions)}
        client.post(reverse("answer_import", args=[project.slug, csv_import.pk]), answers)
        go_on(csv_import)
    assert kind.says in asked
    assert csv_import.state == "done", csv_import.problems
    if kind.documents:
        assert documents(project) == kind.documents


def client_user(client: Client):
    return CsvImport._meta.get_field("created_by").related_model.objects.get(pk=client.session["_auth_user_id"])


def upload(client: Client, project: Project, content: bytes) -> None:
    client.post(reverse("upload", args=[project.slug]), {"file": SimpleUploadedFile("file.csv", content)})


def go_on(csv_import: CsvImport) -> None:
    jobs.run_import(csv_import.pk)
    csv_import.refresh_from_db()


# Answers


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--no-header"], 4),
        (["--header"], 3),
        (["--header-rows=2"], 2),
        (["--header-rows=0"], 4),
        (["--no-header", "--skip-rows=2"], 2),
    ],
)
def test_what_is_said_of_the_names_holds(options, expected, tmp_path):
    path = tmp_path / "file.csv"
    path.write_text("7\tIt is cold here\n8\tIt is warm there\n9\tIt is dark outside\n10\tNo light at all\n")
    project = make_project()
    assert run_command(project, path, "--text-column", *text_column(options), *options)[1] == ""
    assert project.documents.count() == expected


def text_column(options: list[str]) -> list[str]:
    return [{"--header": "It is cold here", "--header-rows=2": "It is cold here"}.get(options[0], "Column 2")]


@pytest.mark.parametrize(
    ("answer", "labels"),
    [
        ("several=one", ["Hours", "Hours#Money", "Money"]),
        ("several=first", ["Hours", "Hours", "Money"]),
        ("several=people", ["Hours", "Money"]),
    ],
)
def test_several_labels_are_what_somebody_says(answer, labels, tmp_path):
    path = tmp_path / "file.csv"
    path.write_text(KINDS["several labels"].write(","))
    project = make_project()
    assert run_command(project, path, "--answer", answer)[1] == ""
    assert sorted(label for _, label, _ in documents(project) if label) == labels
    kept = project.documents.get(text=LATE).metadata
    assert kept == ({"label": "Hours#Money"} if answer == "several=people" else {})


def test_rows_of_several_labels_can_be_rejected(tmp_path):
    path = tmp_path / "file.csv"
    path.write_text(KINDS["several labels"].write(","))
    said, refusal = run_command(make_project(), path, "--answer", "several=reject")
    assert "line 4, column label: The cell holds several labels." in said
    assert "1 rejected" in refusal


@pytest.mark.parametrize("answer", ["leave", "keep"])
def test_what_is_below_the_data_is_what_somebody_says(answer, tmp_path):
    path = tmp_path / "file.csv"
    path.write_text(lines(NAMES, *ROWS, ["", ""], ["As of May", ""], ["Desk 3", ""])(","))
    project = make_project()
    assert run_command(project, path, "--answer", f"footer={answer}")[1] == ""
    added = [] if answer == "leave" else [seed("As of May", ""), seed("Desk 3", "")]
    assert documents(project) == [*BASIC, *added]


@pytest.mark.parametrize("content", ["text,label\n", "text\n", "text;label\r\n\r\n"])
def test_names_without_rows_are_refused(content, tmp_path, client):
    path = tmp_path / "file.csv"
    path.write_text(content)
    project = make_project(manager=client_user(client))
    assert run_command(project, path, "--yes")[1] == "The file has no rows below the column names."
    assert not project.imports.exists()
    upload(client, project, content.encode())
    page = client.get(project.imports.get().get_absolute_url()).content.decode()
    assert "The file has no rows below the column names." in page


def test_columns_of_labels_are_kept_where_they_say_more_than_the_label(tmp_path):
    path = tmp_path / "file.csv"
    project = make_project()
    path.write_text(KINDS["a column for each label"].write(","))
    run_command(project, path, "--yes")
    assert [document.metadata for document in project.documents.all()] == [{}, {}, {"Money": "x", "Hours": "x"}]
    path.write_text(f"text,Level 1,Level 2\n{PAID}!,Desk,Money\n")
    run_command(project, path, "--yes")
    document = project.documents.get(text=f"{PAID}!")
    assert (document.given_label.name, document.metadata) == ("Money", {"Level 1": "Desk", "Level 2": "Money"})


@pytest.mark.parametrize("answer", ["labels", "metadata"])
def test_whether_columns_hold_labels_is_what_somebody_says(answer, tmp_path):
    path = tmp_path / "file.csv"
    path.write_text(f"text,Money,Hours\n{PAID},1,0\n{OPEN},0,1\n")
    project = make_project()
    assert run_command(project, path, "--answer", f"label_columns={answer}")[1] == ""
    assert [label for _, label, _ in documents(project)] == (["Money", "Hours"] if answer == "labels" else ["", ""])
    assert project.documents.filter(metadata={}).count() == (2 if answer == "labels" else 0)


def test_a_word_may_mean_that_a_text_belongs_to_no_label(tmp_path):
    path = tmp_path / "file.csv"
    path.write_text(f"text,label\n{PAID},Money\n{LATE},none\n")
    project = make_project()
    assert run_command(project, path, "--answer", "label:none=none")[1] == ""
    document = project.documents.get(text=LATE)
    assert (document.given_label, document.given_source, document.example.label) == (None, "seed", None)


def test_labels_that_the_project_has_are_the_ones_that_are_meant(tmp_path):
    project = make_project()
    import_rows(project, [("a", "Late delivery"), ("b", "0110")])
    path = tmp_path / "file.csv"
    path.write_text("text,label\nc,late delivery\nd,LATE DELIVERY\ne,LATE DELIVERY\nf,110\n")
    said, _ = run_command(project, path, "--yes")
    assert "“Late delivery” (label of the project)" in said
    assert {label.name for label in project.labels.all()} == {"Late delivery", "0110", "110"}


def test_an_answer_that_is_none_is_refused(client):
    project = make_project(manager=client_user(client))
    csv_import = imports.upload(project, csv_file([("a", "x"), ("b", "X")]), user=None)
    imports.start_here(csv_import)
    go_on(csv_import)
    client.post(reverse("answer_import", args=[project.slug, csv_import.pk]), {"answer-0": "perhaps"})
    csv_import.refresh_from_db()
    assert (csv_import.state, len(csv_import.questions), csv_import.answers) == ("waiting", 1, {})


def test_files_joined_with_their_columns_in_another_order_are_refused(tmp_path):
    path = tmp_path / "file.csv"
    path.write_text(f"text,label\n{PAID},Money\nlabel,text\nHours,{OPEN}\n")
    project = make_project()
    assert "Line 3 holds the column names in another order" in run_command(project, path, "--yes")[1]
    assert not project.documents.exists()


def test_many_labels_of_one_row_are_pointed_at(tmp_path):
    path = tmp_path / "file.csv"
    path.write_text("text,label\n" + "".join(f"text {n},label {n}\n" for n in range(30)))
    assert "30 of the file's 30 labels have one row each" in run_command(make_project(), path)[0]


# Holdout


@pytest.mark.parametrize(("n", "percent"), [(9, 0), (10, 10)])
def test_a_holdout_is_recommended_once_a_label_has_ten_rows(n, percent, tmp_path, client):
    content = "text,label\n" + "".join(f"text {k},x\nother {k},\n" for k in range(n))
    path = tmp_path / "file.csv"
    path.write_text(content)
    project = make_project(manager=client_user(client))
    said, _ = run_command(project, path)
    assert ("1 label has 10 rows or more" in said) == (percent > 0)
    assert project.documents.filter(holdout=True).count() == n * percent // 100
    upload(client, project, content.encode())
    page = client.get(project.imports.first().get_absolute_url())
    assert page.context["form"]["holdout_percent"].value() == percent
    assert ("1 label has 10 rows or more" in page.content.decode()) == (percent > 0)


def test_what_is_recommended_to_hold_out_follows_the_label_column_until_somebody_types_a_share(client):
    manager = make_user(is_staff=True)
    project = make_project(manager)
    rows = [(f"a text, number {n}", "x") for n in range(10)]
    upload = imports.upload(project, csv_file(rows, header=("text", "kind")), manager)
    client.force_login(manager)

    def percent(**chosen: str) -> str:
        form = client.post(upload.get_absolute_url(), {"text_column": "text"} | chosen).context["form"]
        return str(form["holdout_percent"].value())

    shown = client.get(upload.get_absolute_url())
    assert shown.context["form"]["holdout_percent"].value() == 0
    assert 'name="recommended" value="0"' in shown.content.decode()
    assert percent(label_column="kind", holdout_percent="0", recommended="0") == "10"
    assert percent(label_column="kind", holdout_percent="3", recommended="0") == "3"
    assert percent(label_column="kind", holdout_percent="0", recommended="10") == "0"
    unread = {"encoding": "utf-16", "holdout_percent": "10", "recommended": "10"}
    assert percent(label_column="kind", **unread) == "10"


def test_somebody_who_wants_no_holdout_gets_none(tmp_path):
    path = tmp_path / "file.csv"
    path.write_text("text,label\n" + "".join(f"text {k},x\n" for k in range(20)))
    project = make_project()
    run_command(project, path, "--holdout=0")
    assert not project.documents.filter(holdout=True).exists()


def test_near_copies_stay_on_one_side():
    project = make_project()
    rows = [(f"Text number {n}.", f"label {n % 4}") for n in range(80)]
    rows += [(f"text   NUMBER {n}", f"label {n % 3}") for n in range(80)]
    import_rows(project, rows, holdout_percent=20)
    sides: dict[str, set[bool]] = {}
    for text, held in project.documents.values_list("text", "holdout"):
        sides.setdefault(folded(text), set()).add(held)
    assert all(len(side) == 1 for side in sides.values())
    assert project.documents.filter(holdout=True).count() == 32


def test_no_label_loses_its_last_text_to_a_near_copy():
    project = make_project()
    rows = [(f"text {n}", "x") for n in range(20)] + [(f"TEXT {n}", f"only {n}") for n in range(20)]
    import_rows(project, rows, holdout_percent=50)
    assert project.labels.filter(examples=None).count() == 0


@pytest.mark.parametrize(
    ("text", "other", "alike"),
    [("Hello.", "HELLO", True), ("a-b c", "abc", True), ("ﬁn", "fin", True), ("a1", "a2", False), ("!", "?", False)],
)
def test_near_copies_differ_in_case_marks_and_spaces_alone(text, other, alike):
    assert (folded(text) == folded(other)) == alike


# Out


def test_an_export_for_programs_has_neither_mark_nor_apostrophes(client, tmp_path):
    project = make_project(manager=client_user(client))
    rows = [("=1+1", "-0110", "-33.87"), ("'=x", "+12", "@a")]
    import_rows(project, rows, header=("text", "label", "balance"))
    path = tmp_path / "out.csv"
    call_command("export_csv", project.slug, str(path), "--for-programs", stdout=io.StringIO())
    read = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert [(row["text"], row["label"], row["balance"]) for row in read] == rows
    page = client.get(reverse("export", args=[project.slug]), {"for": "programs"})
    assert b"".join(page.streaming_content) == path.read_bytes()


# One text, many rows

ANSWERS = [
    ("1", "nurse", "22", "Hill"),
    ("2", "driver", "", "Depot"),
    ("3", "nurse", "22", "St Ann"),
    ("4", "driver", "", "Post"),
]
HEADER = ("id", "answer", "code", "employer")


def exported(project: Project) -> list[tuple[str, ...]]:
    project.refresh_from_db()
    rows = csv.DictReader(line.lstrip("\ufeff") for line in export_lines(project))
    return sorted((row["id"], row["text"], row["label"], row.get("employer", "")) for row in rows)


@pytest.mark.parametrize("n_columns", [4, 3])
def test_every_row_keeps_its_id_and_metadata(n_columns):
    project = make_project()
    rows = [row[:n_columns] for row in ANSWERS]
    done = import_rows(project, rows, header=HEADER[:n_columns])
    assert (project.documents.count(), done.counts["same_in_file"]) == (2, 2)
    assert exported(project) == [(*row, "")[:4] for row in rows]
    again = import_rows(project, rows, header=HEADER[:n_columns])
    assert (again.n_added, again.questions) == (0, [])
    assert exported(project) == [(*row, "")[:4] for row in rows]


def test_rows_without_ids_are_kept_as_well_and_the_same_file_adds_none():
    project = make_project()
    rows = [("nurse", "Hill"), ("nurse", "St Ann"), ("nurse", "Hill"), ("driver", "")]
    for _ in range(2):
        import_rows(project, rows, header=("answer", "employer"))
        assert exported(project) == [
            ("", "driver", "", ""),
            ("", "nurse", "", "Hill"),
            ("", "nurse", "", "Hill"),
            ("", "nurse", "", "St Ann"),
        ]
    import_rows(project, [("nurse", "Zoo")], header=("answer", "employer"))
    assert len(exported(project)) == 5


def test_one_decision_holds_for_all_rows_and_a_copy_has_them_all():
    project = make_project()
    import_rows(project, ANSWERS, header=HEADER)
    relabel(project.documents.get(text="driver"), make_user(), project.labels.get(name="22"))
    assert [label for _, _, label, _ in exported(project)] == ["22"] * 4
    copy = make_project()
    import_bytes(copy, "".join(export_lines(project)).encode())
    assert exported(copy) == exported(project)


def test_an_interrupted_import_keeps_each_row_once(monkeypatch):
    monkeypatch.setattr(writing, "CHUNK_ROWS", 1)
    project = make_project()
    csv_import = imports.upload(project, csv_file(ANSWERS, header=HEADER), user=None)
    for _ in range(2):
        imports.start_here(csv_import)
        go_on(csv_import)
        csv_import.state = "failed"
        csv_import.save()
    assert exported(project) == ANSWERS


# The same ids again


@pytest.mark.parametrize(("text", "label"), [("keep", "keep"), ("take", "keep"), ("keep", "take"), ("take", "take")])
def test_what_changed_since_is_listed_and_offered(text, label):
    project = make_project()
    import_rows(
        project, [("1", "old words", "x"), ("2", "same", "x"), ("3", "other", "y")], header=("id", "text", "label")
    )
    file = [("1", "new words", "x", "a"), ("2", "same", "y", "b"), ("3", "other", "y", "c")]
    header = ("id", "text", "label", "employer")
    asked = import_rows(project, file, header=header)
    assert [question["key"] for question in asked.questions] == ["changed:text", "changed:label"]
    assert "“y” instead of “x”" in str(asked.questions)
    imports.answer_here(asked, {"changed:text": text, "changed:label": label})
    go_on(asked)
    assert asked.state == "done"
    assert exported(project) == [
        ("1", "new words" if text == "take" else "old words", "x", "a"),
        ("2", "same", "y" if label == "take" else "x", "b"),
        ("3", "other", "y", "c"),
    ]
    learnt = project.documents.get(external_id="2").example
    assert (learnt.label.name, learnt.source) == ("y" if label == "take" else "x", "seed")


def test_a_new_column_of_known_rows_is_taken_over_without_a_question():
    project = make_project()
    import_rows(project, ANSWERS, header=HEADER)
    done = import_rows(project, [(*row[:3], row[3] + "!", "new") for row in ANSWERS], header=(*HEADER, "ward"))
    assert (done.state, done.n_added) == ("done", 0)
    assert [employer for *_, employer in exported(project)] == ["Hill!", "Depot!", "St Ann!", "Post!"]
    assert "ward" in project.metadata_columns


def test_a_text_that_a_person_decided_on_is_not_changed_by_a_file():
    project = make_project()
    import_rows(project, [("1", "a", "x"), ("2", "b", "y")], header=("id", "text", "label"))
    relabel(project.documents.get(text="a"), make_user(), project.labels.get(name="y"))
    done = import_rows(project, [("1", "new", "x")], header=("id", "text", "label"))
    assert "that a person decided on" in done.problems[0]["reason"]


def test_columns_that_may_hold_labels_are_named_on_the_first_page(client):
    project = make_project(manager=client_user(client))
    upload(client, project, KINDS["a column for each coder"].write(",").encode())
    page = client.get(project.imports.get().get_absolute_url()).content.decode()
    assert "Labels seem to stand in several columns: “Coder 1”, “Coder 2”" in page
