"""CSV files in: what an import adds, what it refuses, and what it does when it is interrupted."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import transaction

from labelling import jobs
from labelling.csv_io.formats import NotCsv
from labelling.models import BackgroundJob, CsvImport, Document, Project, QueueEntry, TrainingExample
from labelling.services import Refused, imports, queueing
from labelling.services.claims import claim_next
from labelling.services.imports import checking, running, writing
from labelling.services.review import decide, relabel
from tests.factories import csv_file, fruit_project, import_bytes, import_rows, make_project, make_user, run_round

pytestmark = pytest.mark.django_db

State = BackgroundJob.State
ROLES = ("pool", "labelled", "holdout", "same_in_project", "same_in_file", "rejected")


@pytest.fixture
def project() -> Project:
    return make_project()


def contents(project: Project) -> list[tuple]:
    """Everything an import writes, so that two projects can be compared."""
    fields = ("text", "external_id", "metadata", "provenance", "given_label__name", "given_source", "holdout")
    learnt = ("example__label__name", "example__source")
    return sorted(project.documents.values_list(*fields, *learnt), key=str)


def counted(csv_import: CsvImport) -> dict[str, int]:
    """The counts that are not zero, after making sure that they add up."""
    counts = csv_import.counts
    assert sum(counts.get(role, 0) for role in ROLES) == counts.get("rows", 0)
    return {name: n for name, n in counts.items() if n}


def labels_of(project: Project, **which) -> Counter[str]:
    return Counter(project.documents.filter(**which).values_list("given_label__name", flat=True))


# What an import adds


def test_rows_become_seeds_pool_and_labels(project):
    done = import_rows(project, [("a", "x"), ("b", "y"), ("c", ""), ("d", "x")])
    assert (done.state, done.error) == (State.DONE, "")
    assert counted(done) == {"rows": 4, "labelled": 3, "pool": 1, "new_labels": 2}
    assert {label.name for label in project.labels.all()} == {"x", "y"}
    examples = TrainingExample.objects.values_list("document__text", "label__name", "source")
    assert set(examples) == {("a", "x", "seed"), ("b", "y", "seed"), ("d", "x", "seed")}
    assert [document.text for document in project.documents.pool()] == ["c"]


def test_further_columns_are_kept_in_the_order_they_came(project):
    import_rows(project, [("7", "a", "x", "", "s"), ("8", "b", "", "t", "")], header=("id", "text", "label", "q", "p"))
    assert project.documents.get(text="a").metadata == {"p": "s"}
    assert project.documents.get(external_id="8").metadata == {"q": "t"}
    import_rows(project, [("c", "u", "v")], header=("text", "o", "p"))
    project.refresh_from_db()
    assert project.metadata_columns == ["p", "q", "o"]


def test_a_column_may_be_called_by_a_whole_question(project):
    import_rows(project, [("a", "x")], header=("How satisfied are you? " * 20, "label"))
    assert project.documents.get().text == "a"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
def test_texts_arrive_whatever_the_encoding(project, encoding):
    text = "Überweisung à l’hôtel,\r\n“5 €”"
    done = import_bytes(project, f'text;label\r\n"{text}";Gebühr\r\n'.encode(encoding))
    assert (done.state, project.documents.get().text, project.labels.get().name) == (State.DONE, text, "Gebühr")


def test_a_label_that_comes_later_in_the_file_is_learnt(project):
    header = ("id", "text", "label", "age")
    done = import_rows(project, [("", "a", "", "41"), ("7", "a", "x", ""), ("7", "a", "", "")], header=header)
    assert counted(done) == {"rows": 3, "pool": 1, "labelled": 1, "same_in_file": 1, "new_labels": 1}
    assert contents(project) == [("a", "7", {"age": "41"}, {}, "x", "seed", False, "x", "seed")]


def test_a_label_that_comes_with_a_second_file_is_learnt_and_so_is_what_else_it_brings(project):
    import_rows(project, [("a", "", "41"), ("b", "", "42")], header=("text", "label", "age"))
    done = import_rows(project, [("7", "a", "x", "blue")], header=("id", "text", "label", "eyes"))
    assert counted(done) == {"rows": 1, "labelled": 1, "new_labels": 1}
    assert contents(project) == [
        ("a", "7", {"age": "41", "eyes": "blue"}, {}, "x", "seed", False, "x", "seed"),
        ("b", "", {"age": "42"}, {}, None, "", False, None, None),
    ]


def test_a_label_that_comes_later_may_be_in_another_chunk(project, monkeypatch):
    monkeypatch.setattr(writing, "CHUNK_ROWS", 1)
    import_rows(project, [("a", ""), ("b", "y"), ("a", "x")])
    assert labels_of(project) == {"x": 1, "y": 1}


def test_a_text_that_gets_its_label_leaves_the_review_queue():
    project = fruit_project(batch_size=2)
    run_round(project)
    n_waiting = project.queue.count()
    entry = project.queue.select_related("document").first()
    import_rows(project, [(entry.document.text, "apple")])
    assert not QueueEntry.objects.filter(document=entry.document).exists()
    assert project.queue.count() == n_waiting - 1


def test_an_id_stays_that_of_the_first_row(project):
    import_rows(project, [("1", "a", ""), ("2", "a", "x")], header=("id", "text", "label"))
    assert project.documents.get().external_id == "1"


def test_a_header_alone_adds_nothing(project):
    done = import_bytes(project, b"text,label\n")
    assert (done.state, counted(done), project.documents.count()) == (State.DONE, {}, 0)


# Repeats


@pytest.mark.parametrize("holdout_percent", [0, 50])
def test_the_same_file_twice_adds_nothing(project, holdout_percent):
    rows = [("1", "a", "x"), ("2", "b", "x"), ("3", "c", ""), ("3", "c", "y"), ("4", "d", "")]
    import_rows(project, rows, header=("id", "text", "label"), holdout_percent=holdout_percent)
    before = contents(project)
    again = import_rows(project, rows, header=("id", "text", "label"), holdout_percent=100 - holdout_percent)
    assert (again.state, again.n_added) == (State.DONE, 0)
    assert counted(again) == {"rows": 5, "same_in_project": 5}
    assert again.problems == []
    assert contents(project) == before


def test_repeats_are_shown_as_notices_and_stop_nothing(project):
    done = import_rows(project, [("a", "x"), ("a", "x")])
    assert done.state == State.DONE
    assert done.problems == [{"line": 3, "column": "text", "reason": "The same text as line 2.", "notice": True}]


def test_what_somebody_decides_while_a_file_is_read_holds(monkeypatch):
    project, expert = fruit_project(batch_size=5, retrain_after=0), make_user()
    run_round(project)
    entry = claim_next(project, expert)
    prepare = running.prepare_project

    def prepare_while_somebody_decides(*arguments):
        prepare(*arguments)
        decide(project, entry.pk, expert, "accept")

    monkeypatch.setattr(running, "prepare_project", prepare_while_somebody_decides)
    believed = entry.query.label
    other = "banana" if believed.name == "apple" else "apple"
    assert import_rows(project, [(entry.document.text, other), ("new", "apple")]).state == State.DONE
    example = TrainingExample.objects.get(document=entry.document)
    assert (example.label, example.source) == (believed, "human")
    assert project.documents.filter(text="new").exists()


def test_files_go_with_their_project(project):
    csv_import = import_rows(project, [("a", "x"), ("", "y")], keep_good_rows=True)
    paths = [Path(file.path) for file in (csv_import.file, csv_import.rejected_file)]
    assert all(path.exists() for path in paths)
    project.delete()
    assert not any(path.exists() for path in paths)


def test_what_a_person_decided_counts_as_known(project):
    import_rows(project, [("a", "x"), ("b", "y")])
    relabel(project.documents.get(text="a"), make_user(), project.labels.get(name="y"))
    relabel(project.documents.get(text="b"), make_user(), None)
    assert counted(import_rows(project, [("a", "y")])) == {"rows": 1, "same_in_project": 1}
    again = import_rows(project, [("a", "x"), ("b", "y")])
    assert [problem["reason"] for problem in again.problems] == [
        "The project has this text with the label “y”, here it is “x”.",
        "The project has this text with the label “”, here it is “y”.",
    ]


# Bad rows

BAD = (
    f"""id,text,label
1,good,x
2,,x
3,good,y
1,other,x
4,{"a" * 31},x
5,ragged
6,n\0l,x
7,good,x
8,ok,
9,été,y
""".encode()
    + b'10,caf\xe9,x\n11,"open,x\n'
)


@pytest.fixture
def bad_file(settings) -> bytes:
    settings.MAX_TEXT_CHARS = 30
    return BAD


def test_nothing_is_imported_while_rows_are_bad(project, bad_file):
    checked = import_bytes(project, bad_file)
    assert (checked.state, project.documents.count(), project.labels.count()) == (State.WAITING, 0, 0)
    assert counted(checked) == {
        "rows": 12, "labelled": 2, "pool": 1, "rejected": 8, "same_in_file": 1, "new_labels": 2,
    }  # fmt: skip
    assert [(problem["line"], problem["column"]) for problem in checked.problems if "notice" not in problem] == [
        (3, "text"), (4, "label"), (5, "id"), (6, "text"), (7, "label"), (8, "text"), (12, "text"), (13, "text"),
    ]  # fmt: skip


def test_good_rows_are_imported_when_the_user_says_so(project, bad_file):
    checked = import_bytes(project, bad_file)
    imports.keep_good_rows(checked)
    jobs.run_import(checked.pk)
    checked.refresh_from_db()
    assert checked.state == State.DONE
    assert set(project.documents.values_list("text", flat=True)) == {"good", "ok", "été"}


def test_saying_so_in_advance_asks_nothing(project, bad_file):
    assert import_bytes(project, bad_file, keep_good_rows=True).state == State.DONE
    assert project.documents.count() == 3


def test_rejected_rows_can_be_mended_and_imported(project, bad_file):
    checked = import_bytes(project, bad_file, keep_good_rows=True)
    lines = checked.rejected_file.read().splitlines()
    assert lines[0] == b"\xef\xbb\xbfrejected_line,rejected_column,rejected_reason,id,text,label"
    assert b"10,caf\xe9,x" in lines[7], "the row as it was"
    mended = [lines[0], lines[1].replace(b"2,,x", b"2,mended,x"), lines[7].replace(b"\xe9", "é".encode())]
    done = import_bytes(project, b"\r\n".join(mended))
    assert counted(done) == {"rows": 2, "labelled": 2}
    assert project.documents.get(text="mended").external_id == "2"
    assert project.documents.get(text="café").metadata == {}


def test_rejected_rows_that_nobody_mended_are_rejected_again(project, bad_file):
    rejected = import_bytes(project, bad_file, keep_good_rows=True).rejected_file.read()
    again = import_bytes(project, rejected)
    assert counted(again) == {"rows": 8, "rejected": 8}
    assert b"10,caf\xe9,x" in again.rejected_file.read()


def test_a_file_of_nothing_but_bad_rows_adds_nothing(project):
    done = import_bytes(project, b"text,label\n,x\n,y\n", keep_good_rows=True)
    assert (done.state, counted(done)) == (State.DONE, {"rows": 2, "rejected": 2})


def test_of_many_problems_the_first_are_listed_and_all_can_be_downloaded(project, monkeypatch):
    monkeypatch.setattr(checking, "MAX_SHOWN_PROBLEMS", 3)
    checked = import_rows(project, [("", "x")] * 5 + [("a", "x")] * 6)
    assert [problem["line"] for problem in checked.problems] == [2, 3, 4, 8, 9, 10]
    assert checked.n_unlisted == 4
    assert len(checked.rejected_file.read().splitlines()) == 6


def test_a_file_without_the_chosen_column_fails_with_the_names_there_are(project):
    with pytest.raises(NotCsv, match="no column body"):
        import_rows(project, [("a", "x")], text_column="body")
    failed = project.imports.get()
    assert (failed.state, failed.error) == (State.FAILED, "The file has no column body. Its columns: text, label.")


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"<html>", b'"text,label\n'])
def test_what_is_no_csv_leaves_no_import_behind(project, data):
    with pytest.raises(NotCsv):
        import_bytes(project, data)
    assert not project.imports.exists()


# Holdout

SEEDS = [(f"{label} number {n}", label) for label, count in (("a", 20), ("b", 10), ("c", 1)) for n in range(count)]
POOL = [(f"pool {n}", "") for n in range(5)]


@pytest.mark.parametrize(
    ("percent", "held_out"),
    [(0, {}), (20, {"a": 4, "b": 2}), (99, {"a": 19, "b": 9}), (100, {"a": 20, "b": 10, "c": 1})],
)
def test_a_share_of_every_label_is_held_out_and_never_learnt(project, percent, held_out):
    done = import_rows(project, SEEDS + POOL, holdout_percent=percent)
    assert labels_of(project, holdout=True) == held_out
    assert done.counts.get("holdout", 0) == sum(held_out.values())
    assert TrainingExample.objects.count() == 31 - sum(held_out.values())
    assert not TrainingExample.objects.filter(document__holdout=True).exists()
    assert project.documents.pool().count() == 5


@pytest.mark.parametrize(
    ("percent", "n"), [(1, 2), (4, 8), (5, 10), (6, 12), (15, 30), (50, 100), (90, 180), (99, 180)]
)
def test_few_examples_of_many_labels_come_to_the_share_as_well(project, percent, n):
    import_rows(
        project,
        [(f"{label} {k}", f"label {label}") for label in range(20) for k in range(10)],
        holdout_percent=percent,
    )
    held_out = labels_of(project, holdout=True)
    assert sum(held_out.values()) == n
    assert max(held_out.values()) - min([held_out.get(f"label {label}", 0) for label in range(20)]) <= 1


@pytest.mark.parametrize("rows", [SEEDS[::-1], SEEDS[7:] + SEEDS[:7], SEEDS + SEEDS[:13], POOL + SEEDS])
def test_the_same_texts_are_held_out_whatever_the_order_and_the_repeats(project, rows):
    other = make_project()
    import_rows(project, SEEDS, holdout_percent=20)
    import_rows(other, rows, holdout_percent=20)

    def held_out(where: Project) -> set[str]:
        return set(where.documents.filter(holdout=True).values_list("text", flat=True))

    assert held_out(other) == held_out(project)


def test_a_text_whose_label_comes_later_may_be_held_out(project):
    import_rows(project, [("a", ""), ("b", "")])
    done = import_rows(project, [("a", "x"), ("c", ""), ("c", "y")], holdout_percent=100)
    assert counted(done) == {"rows": 3, "holdout": 2, "pool": 1, "new_labels": 2}
    assert labels_of(project, holdout=True) == {"x": 1, "y": 1}
    assert not TrainingExample.objects.exists()


# Interruption


class Died(Exception):
    """The worker is gone."""


class Progress:
    """Reports to nobody; what the n-th transaction wrote is rolled back, as when the worker dies in it."""

    def __init__(self, csv_import: CsvImport, dies_in: int = 0):
        self.csv_import = csv_import
        self.dies_in = dies_in
        self.begun = 0

    def report(self, step: str, done: int = 0, total: int = 0) -> None:
        self.csv_import.step = step

    @contextmanager
    def transaction(self):
        self.begun += 1
        with transaction.atomic():
            yield
            if self.begun == self.dies_in:
                raise Died


ROWS = [("a", ""), ("b", "x"), ("a", "x"), ("c", "x"), ("b", "y"), ("", "x"), ("d", "x"), ("c", "x"), ("e", "")]


# One for the labels, one for each chunk of a row.
N_TRANSACTIONS = 7


def run_alone(csv_import: CsvImport, dies_in: int = 0) -> str:
    csv_import = CsvImport.objects.get(pk=csv_import.pk)
    return imports.run(csv_import, Progress(csv_import, dies_in))


@pytest.mark.parametrize("dies_in", range(1, N_TRANSACTIONS + 2))
def test_an_interrupted_import_goes_on_to_the_same_end(project, dies_in, monkeypatch):
    monkeypatch.setattr(writing, "CHUNK_ROWS", 1)
    untouched = make_project()
    counts = import_rows(untouched, ROWS, holdout_percent=50, keep_good_rows=True).counts

    csv_import = imports.upload(project, csv_file(ROWS), user=None)
    CsvImport.objects.update(holdout_percent=50, keep_good_rows=True)
    if dies_in <= N_TRANSACTIONS:
        with pytest.raises(Died):
            run_alone(csv_import, dies_in)
        assert contents(project) != contents(untouched)
    assert run_alone(csv_import) == State.DONE
    assert contents(project) == contents(untouched)
    csv_import.refresh_from_db()
    assert csv_import.counts == counts


def test_a_cancelled_import_keeps_what_it_wrote_and_can_import_the_rest(project, monkeypatch):
    monkeypatch.setattr(writing, "CHUNK_ROWS", 2)
    csv_import = imports.upload(project, csv_file([(f"text {n}", "x") for n in range(6)]), user=None)
    imports.start_here(csv_import)
    write = writing._write_chunk

    def write_and_cancel(*args) -> None:
        write(*args)
        queueing.cancel(csv_import)

    with monkeypatch.context() as cancelling:
        cancelling.setattr(writing, "_write_chunk", write_and_cancel)
        jobs.run_import(csv_import.pk)
    csv_import.refresh_from_db()
    assert (csv_import.state, csv_import.step, project.documents.count()) == (State.CANCELLED, "write", 2)

    imports.retry(csv_import)
    jobs.run_import(csv_import.pk)
    csv_import.refresh_from_db()
    assert (csv_import.state, csv_import.counts["labelled"]) == (State.DONE, 6)
    assert project.documents.count() == TrainingExample.objects.count() == 6


def test_a_cancelled_upload_never_starts(project):
    csv_import = imports.upload(project, csv_file([("a", "x")]), user=None)
    queueing.cancel(csv_import)
    csv_import.refresh_from_db()
    with pytest.raises(Refused, match="started already"):
        imports.start(csv_import)


# One at a time


def test_an_upload_waits_until_its_columns_are_chosen(project, messages, django_capture_on_commit_callbacks):
    csv_import = imports.upload(project, csv_file([("a", "x")], header=("Intent", "remark"), name="mine.csv"), None)
    assert (csv_import.state, csv_import.step, csv_import.filename) == (State.WAITING, "", "mine.csv")
    assert (csv_import.text_column, csv_import.label_column, csv_import.id_column) == ("remark", "Intent", "")
    with django_capture_on_commit_callbacks(execute=True):
        imports.start(csv_import)
    assert messages == [("labelling.jobs.run_import", csv_import.pk)]


def test_an_import_starts_once(project):
    csv_import = imports.upload(project, csv_file([("a", "x")]), user=None)
    imports.start(csv_import)
    with pytest.raises(Refused, match="started already"):
        imports.start(csv_import)
    with pytest.raises(Refused, match="failed or cancelled"):
        imports.retry(csv_import)


def test_one_import_of_a_project_runs_at_a_time(project):
    first, second = (imports.upload(project, csv_file([(text, "x")]), user=None) for text in "ab")
    elsewhere = imports.upload(make_project(), csv_file([("a", "x")]), user=None)
    imports.start(first)
    imports.start(elsewhere)
    with pytest.raises(Refused, match="Another import"):
        imports.start(second)
    jobs.run_import(first.pk)
    second.refresh_from_db()
    imports.start(second)
    jobs.run_import(second.pk)
    assert Document.objects.filter(project=project).count() == 2


def test_a_finished_import_does_not_run_again(project):
    done = import_rows(project, [("a", "x")])
    jobs.run_import(done.pk)
    assert project.documents.count() == 1
