"""CSV files out: what each row says, and that nothing is lost on the way into another project."""

from __future__ import annotations

import csv

import pytest
from django.contrib.auth.models import User

from labelling.csv_io.exporting import COLUMNS, restore
from labelling.models import Decision, Prediction, Project, TrainingExample, Verdict
from labelling.services import exports
from labelling.services.claims import take
from labelling.services.exports import export_lines
from labelling.services.review import decide, relabel
from tests.factories import (
    account,
    fresh,
    fruit_project,
    fruit_rows,
    import_bytes,
    import_doubtful,
    import_rows,
    make_project,
    make_user,
    run_round,
    undo_last,
)
from tests.fakes import KnowingJudge

pytestmark = pytest.mark.django_db

NASTY = [
    "=1+1", "'=1+1", "''=1+1", "+49 30 123456", "-5 %", "@home", "＝全角", "'quoted'", "'", '"', '""', 'say "hi", you',
    "two\nlines", "two\r\nlines", "two\rlines", "'\n1", ";;;|\t|", "שלום, עולם", "مرحبا\u200f!", "e\u0301", "\ufffd",
    "\ufeffmark", "👩‍👩‍👧 emoji", "a\x0bb\x0cc\x85d\u2028e", "x" * 20_000, "null", "inner   spaces", "0", "007",
    "1e5", "yes",
]  # fmt: skip


def export(project: Project) -> str:
    project.refresh_from_db()
    return "".join(export_lines(project))


def rows_of(project: Project) -> dict[str, dict[str, str]]:
    """The export's rows by text, as another program reads them."""
    reader = csv.DictReader(export(project).lstrip("\ufeff").splitlines(keepends=True))
    return {restore(row["text"]): row for row in reader}


def row_of(project: Project, text: str) -> dict[str, str]:
    return {name: cell for name, cell in rows_of(project)[text].items() if cell}


def copy_of(project: Project) -> Project:
    """Another project with this one's export imported."""
    copy = make_project()
    done = import_bytes(copy, export(project).encode())
    assert (done.state, done.counts["rejected"]) == ("done", 0), done.problems
    return copy


@pytest.fixture
def ann() -> User:
    return account("@ann")


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    """A project after two rounds, with a label from everybody and an answer of each kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("labelling.jobs.rounds.auditing.make_judge", lambda *arguments: KnowingJudge())
        return two_rounds(account("@ann"))


@pytest.fixture
def reviewed(laid_out) -> Project:
    return fresh(laid_out)


def two_rounds(ann: User) -> Project:
    project = fruit_project(judge="neighbours", batch_size=24, retrain_after=0)
    import_doubtful(project)
    import_rows(project, [("one more apple", "apple")], holdout_percent=100)
    run_round(project)
    project.auto_accept, project.batch_size = False, 1
    project.save()
    run_round(project)
    # An error in an audit would need a second person.
    waiting = project.queue.exclude(query__reason="audit").select_related("query")
    for action, entry in zip(("accept", "override", "none", "skip", "accept"), waiting[:5], strict=True):
        assert take(entry, ann)
        other = project.labels.exclude(pk=entry.query.label_id).first()
        decide(project, entry.pk, ann, action, other if action == "override" else None)
    undo_last(project, ann)
    return project


# What each row says


def test_the_header_has_every_column_and_the_projects_own():
    project = make_project()
    import_rows(
        project,
        [("a", "x", "1", "2", "3")],
        header=("message", "label", "text", "@age", "round"),
        text_column="message",
    )
    assert export(project).splitlines()[0] == "\ufeff" + ",".join(
        [*COLUMNS, "text (original)", "'@age", "round (original)"]
    )
    assert row_of(project, "a")["text (original)"] == "1"


def test_a_project_without_documents_exports_the_header():
    assert export(make_project()) == "\ufeff" + ",".join(COLUMNS) + "\r\n"


def test_seeds_and_pool_and_holdout():
    project = make_project()
    import_rows(project, [("7", "a", "x"), ("8", "b", "")], header=("id", "text", "label"))
    import_rows(project, [("c", "x")], holdout_percent=100)
    assert row_of(project, "a") == {"id": "7", "text": "a", "label": "x", "source": "seed"}
    assert row_of(project, "b") == {"id": "8", "text": "b"}
    assert row_of(project, "c") == {"text": "c", "label": "x", "source": "seed", "holdout": "yes"}


def test_a_predicted_label_comes_with_its_probability():
    project = fruit_project(batch_size=1)
    run_round(project)
    prediction = Prediction.objects.filter(document__queries=None).select_related("document", "label").first()
    assert row_of(project, prediction.document.text) == {
        "text": prediction.document.text,
        "label": prediction.label.name,
        "source": "model",
        "probability": f"{prediction.posterior:.4f}",
        "round": "1",
        "certified": "no",
    }


def test_what_the_judge_got_accepted_comes_with_the_verdict(reviewed):
    example = TrainingExample.objects.filter(source="judge").select_related("document").first()
    verdict = Verdict.objects.filter(query__document=example.document).order_by("pk").last()
    row = row_of(reviewed, example.document.text)
    assert (row["label"], row["source"], row["round"]) == (example.label.name, "judge", str(verdict.query.round.number))
    assert (row["verdict"], row["verdict_reason"]) == ("valid", verdict.reason)
    assert (row["judge_model"], row["prompt_version"]) == (verdict.model, verdict.prompt_version)
    assert row["definition_version"] == "0"
    assert "reviewer" not in row


@pytest.mark.parametrize("action", ["accept", "override", "none"])
def test_a_decision_comes_with_reviewer_and_time(reviewed, action):
    decision = Decision.objects.filter(action=action, withdrawn_by=None).select_related("document").get()
    row = row_of(reviewed, decision.document.text)
    assert (row.get("label", ""), row["source"]) == (decision.label.name if decision.label else "", "human")
    assert (row["decision"], row["reviewer"]) == (action, "'@ann")
    assert row["round"] == str(decision.query.round.number)
    assert row["decided_at"] == decision.created_at.isoformat(timespec="seconds")


def test_a_decision_that_was_taken_back_is_not_told(reviewed):
    undone = Decision.objects.get(action="accept", withdrawn_by__isnull=False)
    row = row_of(reviewed, undone.document.text)
    assert row["source"] == "model"
    assert "decision" not in row


def test_the_last_verdict_and_the_last_decision_are_told(ann):
    project = fruit_project(judge="neighbours", batch_size=1, certainty=0.999, retrain_after=0)
    query = run_round(project).queries.get(reason="spot_check")
    document = query.document
    second = run_round(project)
    query.pk, query.round = None, second
    query.save()
    Verdict.objects.create(query=query, verdict="unsure", reason="Later.", judge="neighbours", model="m")
    for label in project.labels.all()[:2]:
        relabel(document, ann, label)
    row = row_of(project, document.text)
    assert (row["verdict"], row["verdict_reason"], row["round"]) == ("unsure", "Later.", "2")
    assert (row["label"], row["decision"]) == (project.labels.all()[1].name, "override")


def test_a_label_outside_the_models_best_has_no_probability(ann):
    project = fruit_project(batch_size=1)
    run_round(project)
    prediction = Prediction.objects.filter(document__project=project).select_related("document").first()
    prediction.candidates, prediction.belief = prediction.candidates[:1], []
    prediction.save()
    relabel(prediction.document, ann, project.labels.exclude(pk=prediction.label_id).first())
    assert "probability" not in row_of(project, prediction.document.text)


# Streaming


@pytest.mark.parametrize("chunk", [1, 7, 36, 37, 1_000])
def test_every_document_is_exported_once_however_they_are_read(chunk, monkeypatch):
    monkeypatch.setattr(exports, "CHUNK", chunk)
    project = fruit_project()
    texts = [row[COLUMNS.index("text")] for row in csv.reader(list(export_lines(project))[1:])]
    assert texts == [text for text, _ in fruit_rows()]


def test_documents_between_those_of_another_project_are_told_of_alike(reviewed, monkeypatch):
    """Keys that lie apart are listed, others are asked for from the first to the last."""
    import_rows(make_project(), [("a guava of somebody else", "guava")])
    import_rows(reviewed, [("a late guava", "guava")])
    told = export(reviewed)
    assert "somebody else" not in told
    for spread in (-1, 0):
        monkeypatch.setattr(exports, "MAX_SPREAD", spread)
        assert export(reviewed) == told


def test_the_number_of_queries_depends_on_the_chunks_alone(reviewed, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(exports, "CHUNK", 10)
    n_chunks = 7
    with django_assert_num_queries(3 + 7 * n_chunks + 1):
        assert len(list(export_lines(reviewed))) == 62


def test_the_first_rows_come_before_the_others_are_read(monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(exports, "CHUNK", 2)
    lines = export_lines(fruit_project())
    with django_assert_num_queries(0):
        next(lines)
    with django_assert_num_queries(2 + 6):
        assert len([next(lines), next(lines)]) == 2


# There and back


def test_an_export_is_imported_without_loss(reviewed):
    sources = {row["source"] for row in rows_of(reviewed).values()}
    assert sources == {"seed", "judge", "human", "model"}, "else this proves little"
    copy = copy_of(reviewed)
    # A certificate is about its own project's audits.
    told = export(reviewed).replace(",no\r\n", ",\r\n").replace(",yes\r\n", ",\r\n")
    assert export(copy) == told
    assert export(copy_of(copy)) == told


def learnt(project: Project) -> set[tuple]:
    examples = TrainingExample.objects.filter(document__project=project)
    return set(examples.values_list("document__text", "label__name", "source"))


def test_the_copy_knows_what_to_learn_from_and_what_to_measure_with(reviewed):
    copy = copy_of(reviewed)
    assert learnt(copy) == learnt(reviewed)
    assert [document.text for document in copy.documents.filter(holdout=True)] == ["one more apple"]
    assert copy.documents.pool().count() == reviewed.documents.pool().count()
    assert run_round(copy).state == "done"


@pytest.mark.parametrize("lost", ["id", "probability", "prompt_version", "decided_at"])
def test_an_export_from_which_a_column_was_removed_is_still_one(reviewed, lost):
    rows = list(csv.reader(export(reviewed).removeprefix("\ufeff").splitlines(keepends=True)))
    position = rows[0].index(lost)
    rest = [row[:position] + row[position + 1 :] for row in rows]
    copy = make_project()
    assert import_rows(copy, rest[1:], header=rest[0]).is_export
    assert learnt(copy) == learnt(reviewed)


def test_columns_that_an_export_happens_to_have_too_make_no_export():
    project = make_project()
    rows = [("a tweet", "x", "twitter", "no"), ("a toot", "y", "mastodon", "no")]
    done = import_rows(project, rows, header=["text", "label", "source", "holdout"])
    assert not done.is_export
    assert TrainingExample.objects.filter(document__project=project).count() == 2


@pytest.mark.parametrize("column", ["text", "label", "id", "meta", "name of a column"])
def test_whatever_the_cells_hold_comes_back(column):
    cells = [cell for cell in NASTY if len(cell) <= 200 or column in ("text", "meta")]
    names = ["id", "text", "label", "meta"]
    rows = [[cell if name == column else f"{name} {n}" for name in names] for n, cell in enumerate(cells)]
    project = make_project()
    if column == "name of a column":
        names += [f"{cell} " for cell in cells]
        rows = [["1", "a", "x", "m", *map(str, range(len(cells)))]]
    answers = {"text:null": "text", "label:null": "name", "id:null": "id"}
    assert import_rows(project, rows, header=names, answers=answers).n_added == len(rows)
    written = set(project.documents.values_list("external_id" if column == "id" else "text", flat=True))
    if column in ("text", "id"):
        assert {cell.strip() for cell in cells} == written
    copy = copy_of(project)
    assert export(copy) == export(project)
    fields = ("text", "external_id", "given_label__name", "metadata")
    assert list(copy.documents.values_list(*fields)) == list(project.documents.values_list(*fields))


def test_columns_that_are_called_like_the_exports_own_come_back():
    project = make_project()
    header = (
        "message",
        "intent",
        *COLUMNS,
        "text (original)",
        "text (original) (original)",
        "rejected_line",
        "rejected_reason",
    )
    import_rows(
        project, [[f"{name} {n}" for name in header] for n in range(3)],
        header=header, text_column="message", label_column="intent", id_column="", is_export=False,
    )  # fmt: skip
    copy = copy_of(project)
    assert export(copy) == export(project)
    assert sorted(copy.documents.first().metadata.values()) == sorted(project.documents.first().metadata.values())


def test_documents_with_and_without_ids_never_get_in_each_others_way():
    project = make_project()
    import_rows(project, [(str(n), f"with {n}") for n in range(30)], header=("id", "text"))
    import_rows(project, [(f"without {n}",) for n in range(30)], header=("text",))
    copy = copy_of(project)
    assert copy.documents.filter(external_id="").count() == 30
    assert export(copy) == export(project)


def test_an_export_adds_nothing_to_its_own_project(reviewed, ann):
    seed = reviewed.documents.filter(given_source="seed", holdout=False).first()
    relabel(seed, ann, None)
    before = export(reviewed)
    done = import_bytes(reviewed, before.encode())
    assert (done.state, done.counts["same_in_project"]) == ("done", 61)
    assert export(reviewed) == before


def test_an_export_brings_labels_and_history_to_texts_that_are_there_already(reviewed):
    other = make_project()
    import_rows(other, [(text, "") for text in rows_of(reviewed)])
    assert import_bytes(other, export(reviewed).encode()).state == "done"
    human = [text for text, row in rows_of(reviewed).items() if row["source"] == "human"]
    assert [row_of(other, text) for text in human] == [row_of(reviewed, text) for text in human]


def test_history_gives_way_to_what_the_project_knows_itself(reviewed):
    copy = copy_of(reviewed)
    bob = make_user("bob")
    text = next(text for text, row in rows_of(copy).items() if row["source"] == "model")
    assert row_of(copy, text)["probability"]
    relabel(copy.documents.get(text=text), bob, None)
    row = row_of(copy, text)
    assert (row["source"], row["decision"], row["reviewer"]) == ("human", "none", "bob")
    assert not {"label", "probability"} & set(row), "the probability was another label's"
