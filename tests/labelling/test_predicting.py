"""A file of texts in, the same file with labels out: on the command line and in the browser."""

from __future__ import annotations

import csv
import io
import sys
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from labelling.csv_io.formats import NotCsv
from labelling.csv_io.texts import TextFile
from labelling.models import Document, Prediction, Project
from labelling.services.predicting import COLUMNS, header
from tests.factories import csv_file, fresh, fruit_project, run_round

pytestmark = pytest.mark.django_db

# Files.


def read(data: str | bytes, *columns: str) -> tuple[TextFile, list[str]]:
    file = TextFile(io.BytesIO(data.encode() if isinstance(data, str) else data), columns)
    return file, [row.text for row in file.rows()]


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        pytest.param("text\napple\nmango\n", ["apple", "mango"], id="one column"),
        pytest.param("id;message\n1;apple pie\n2;mango\n", ["apple pie", "mango"], id="another delimiter"),
        pytest.param("id,text\n1,\n2,mango\n", ["", "mango"], id="a text is missing"),
        pytest.param("id,text\n1,apple\n\n,\n2,mango\n", ["apple", "mango"], id="empty rows"),
        pytest.param("id,text\n1\n2,mango,more\n", ["", "mango"], id="too few and too many cells"),
        pytest.param(
            'id,text\n1,"a, b"\n2,"c, d"\n3,"apple\n4,mango\n',
            ["a, b", "c, d", "", "mango"],
            id="a mark that is never closed",
        ),
        pytest.param("id,text\n1,Äpfel\n".encode("utf-16"), ["Äpfel"], id="UTF-16"),
        pytest.param("id,text\n1,Äpfel\n".encode("cp1252"), ["Äpfel"], id="cp1252"),
    ],
)
def test_every_row_comes_with_its_text(data, texts):
    file, found = read(data)
    assert found == texts
    assert all(len(row.cells) == len(file.header) for row in file.rows())


def test_the_usual_column_is_read_where_the_file_has_it():
    data = "text,other\napple,mango\n"
    assert read(data, "other")[1] == ["mango"]
    assert read(data, "gone")[1] == ["apple"]
    assert read(data, "text", "other", "gone")[1] == ["text: apple\nother: mango"]


def test_files_of_other_formats_are_read():
    assert read('{"text": "apple"}\n{"text": "mango"}\n')[1] == ["apple", "mango"]


def test_what_is_no_text_file_is_refused():
    with pytest.raises(NotCsv):
        read(b"%PDF-1.4")


def test_the_files_own_columns_give_way():
    assert header(read("text,certified,model\na,b,c\n")[0])[:3] == ["text", "certified (original)", "model (original)"]


# The command, and the page.


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    project = fruit_project(retrain_after=0)
    run_round(project)
    return project


@pytest.fixture
def project(laid_out) -> Project:
    return fresh(laid_out)


ROWS = [("7", "apple apple, new", "web"), ("8", "", "post"), ("9", "a ripe mango", "=1+1")]


def table(lines: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(lines.removeprefix("\ufeff"))))


def check(rows: list[dict[str, str]]) -> None:
    assert [row["id"] for row in rows] == ["7", "8", "9"]
    assert [row["predicted_label"] for row in rows] == ["apple", "", "mango"]
    assert [row["certified"] for row in rows] == ["ask a person", "", "ask a person"]
    assert rows[0]["model"] == "round 1"
    assert 1 >= float(rows[0]["probability"]) > float(rows[0]["second_probability"]) > 0
    assert {rows[1][name] for name in COLUMNS} == {""}


def test_the_command_writes_the_file_again_with_labels(project, tmp_path, capsys):
    path = tmp_path / "new.csv"
    path.write_bytes(csv_file(ROWS, header=("id", "text", "channel")).read())
    n = Document.objects.count()
    call_command("predict", project.slug, str(path), "--to", str(tmp_path / "out.csv"), "--for-programs")
    written = (tmp_path / "out.csv").read_text(encoding="utf-8")
    check(table(written))
    assert table(written)[2]["channel"] == "=1+1"
    assert "3 rows" in capsys.readouterr().err
    assert Document.objects.count() == n


def test_the_command_reads_standard_input_and_writes_standard_output(project, monkeypatch, capsys):
    data = csv_file(ROWS, header=("id", "text", "channel")).read()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    call_command("predict", project.slug, "-")
    said = capsys.readouterr().out
    check(table(said))
    assert table(said)[2]["channel"] == "'=1+1"


def test_the_command_gives_the_projects_own_texts_the_projects_own_labels(project, tmp_path, capsys):
    predictions = list(Prediction.objects.filter(document__project=project).select_related("document"))
    path = tmp_path / "known.csv"
    path.write_bytes(csv_file([(one.document.text,) for one in predictions], header=("text",)).read())
    call_command("predict", project.slug, str(path))
    for row, prediction in zip(table(capsys.readouterr().out), predictions, strict=True):
        assert row["predicted_label"] == prediction.posterior_label.name
        assert row["probability"] == f"{prediction.posterior:.4f}"


@pytest.mark.parametrize(
    ("slug", "file", "reason"),
    [("none", "new.csv", "no project"), ("", "gone.csv", "No such file"), ("", "empty.csv", "empty")],
)
def test_the_command_says_what_is_wrong(project, tmp_path, slug, file, reason):
    (tmp_path / "new.csv").write_text("text\napple\n")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(CommandError, match=reason):
        call_command("predict", slug or project.slug, str(tmp_path / file))


def test_the_command_needs_a_model(tmp_path):
    with pytest.raises(CommandError, match="no model yet"):
        call_command("predict", fruit_project().slug, "-")


def test_the_page_sends_the_file_back(project, served, client):
    client.force_login(project.memberships.get().user)
    address = reverse("predict", args=[project.slug])
    assert client.get(address).status_code == 200
    upload = csv_file(ROWS, header=("id", "text", "channel"), name="Nöw “1”.csv")
    response = client.post(address, {"file": upload})
    check(table(b"".join(response).decode()))
    assert response["Content-Disposition"].endswith('-Nw1-labelled.csv"')


def test_the_page_says_what_is_wrong(project, client):
    client.force_login(project.memberships.get().user)
    address = reverse("predict", args=[project.slug])
    response = client.post(address, {"file": csv_file([("apple", "")])})
    assert (response.status_code, b"manage.py serve_model" in response.content) == (503, True)
    assert b"not a CSV file" in client.post(address, {"file": csv_file([], header=("%PDF-1.4",))}).content


def test_the_page_says_that_there_is_no_model(served, client):
    project = fruit_project()
    client.force_login(project.memberships.get().user)
    response = client.post(reverse("predict", args=[project.slug]), {"file": csv_file([("apple", "")])})
    assert b"no model yet" in response.content
