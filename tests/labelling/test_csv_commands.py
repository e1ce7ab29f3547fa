"""import_csv and export_csv: the same as in the browser, from the command line."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from labelling.models import Project
from labelling.services import imports
from labelling.services.exports import export_lines
from tests.factories import csv_file, import_rows, make_project

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return make_project(name="Mail")


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "texts.csv"


def call(command: str, *args: str | Path) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command(command, *map(str, args), stdout=out, stderr=err)
    return out.getvalue().strip(), err.getvalue().strip()


def test_a_file_is_imported_with_everything_guessed(project, path):
    path.write_bytes("text;label\nÜberweisung;Geld\nDanke;\n".encode("cp1252"))
    out, err = call("import_csv", "mail", path)
    said = out.removeprefix("Imported: ").removesuffix(".").split(", ")
    assert set(said) == {"2 rows", "1 labelled", "1 pool", "0 rejected", "1 new labels"}
    assert err == ""
    assert project.documents.get(given_label__name="Geld").text == "Überweisung"
    assert project.imports.get().filename == "texts.csv"


def test_nothing_is_imported_when_rows_are_bad(project, path):
    path.write_text("text,label\na,x\n,y\nb\n")
    err = StringIO()
    with pytest.raises(CommandError, match=r"Nothing was imported \(.*2 rejected.*--keep-good-rows"):
        call_command("import_csv", "mail", str(path), stderr=err)
    assert err.getvalue().splitlines() == [
        "line 3, column text: The text is empty.",
        "line 4, column label: The row has 1 of 2 columns.",
    ]
    assert not project.documents.exists()


def test_good_rows_are_imported_when_asked_for(project, path):
    path.write_text("text,label\na,x\n,y\n")
    out, err = call("import_csv", "mail", path, "--keep-good-rows")
    assert "1 rejected" in out
    assert "line 3" in err
    assert project.documents.get().text == "a"


def test_what_is_given_is_not_guessed(project, path):
    path.write_bytes("key|first, second; third|what\n1|Zażółć|x\n2|gęślą|x\n".encode("cp1250"))
    call(
        "import_csv", "mail", path, "--encoding=cp1250", "--delimiter=|", "--id-column=key",
        "--text-column=first, second; third", "--label-column=what", "--holdout-percent=50",
    )  # fmt: skip
    fields = ("external_id", "text", "given_label__name")
    assert set(project.documents.values_list(*fields)) == {("1", "Zażółć", "x"), ("2", "gęślą", "x")}
    assert project.documents.filter(holdout=True).count() == 1


def test_columns_are_guessed_with_the_delimiter_that_is_given(project, path):
    path.write_text("text|label, or none, or both\na|x\n")
    call("import_csv", "mail", path, "--delimiter=|", "--label-column=")
    document = project.documents.get()
    assert (document.text, document.metadata) == ("a", {"label, or none, or both": "x"})


def test_utf8_may_be_given_for_a_file_with_a_byte_order_mark(project, path):
    path.write_text("text,label\na,x\n", encoding="utf-8-sig")
    call("import_csv", "mail", path, "--encoding=utf-8")
    assert project.documents.count() == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--text-column=body"], "no column body"),
        (["--encoding=klingon"], "no encoding “klingon”"),
        (["--holdout-percent=101"], "less than or equal to 100"),
        (["--holdout-percent=-1"], "greater than or equal to 0"),
        (["--delimiter=x"], "invalid choice"),
    ],
)
def test_a_wrong_option_is_told_in_words(project, path, options, message):
    path.write_text("text,label\na,x\n")
    with pytest.raises(CommandError, match=message):
        call("import_csv", "mail", path, *options)
    assert not project.documents.exists()


@pytest.mark.parametrize(("content", "message"), [(b"", "empty"), (b"%PDF-1.7", "PDF"), (b'"open,x\n', "never closed")])
def test_a_file_that_is_no_csv_is_told_in_words(project, path, content, message):
    path.write_bytes(content)
    with pytest.raises(CommandError, match=message):
        call("import_csv", "mail", path)


def test_a_missing_file_or_project_is_told_in_words(project, path):
    with pytest.raises(CommandError, match="No such file"):
        call("import_csv", "mail", path)
    with pytest.raises(CommandError, match="no project 'post'"):
        call("import_csv", "post", path)
    with pytest.raises(CommandError, match="no project 'post'"):
        call("export_csv", "post", path)


def test_an_import_waits_for_no_other(project, path):
    imports.start(imports.upload(project, csv_file([("a", "x")]), user=None))
    path.write_text("text\nb\n")
    with pytest.raises(CommandError, match="Another import"):
        call("import_csv", "mail", path)


def test_the_export_is_written_as_it_is_streamed(project, path):
    import_rows(project, [("=1+1,\r\nünd", "x"), ("b", "")])
    out, _ = call("export_csv", "mail", path)
    assert out == f"Wrote {path}."
    assert path.read_bytes().decode() == "".join(export_lines(project))
    call("import_csv", "mail", path)
    assert project.documents.count() == 2


def test_a_place_that_cannot_be_written_is_told_in_words(project, path):
    with pytest.raises(CommandError, match="No such file or directory"):
        call("export_csv", "mail", path / "in" / "no" / "folder")
