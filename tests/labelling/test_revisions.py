"""A revision of the classification: from the table to new labels for every text, and back."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from labelling.csv_io.correspondences import Correspondence, guess_columns, read_correspondences
from labelling.csv_io.label_lists import Unreadable
from labelling.models import Label, Prediction, Project, Query, Revision, SettledLabel, TrainingExample
from labelling.services import Refused, label_life, review, revisions, rounds
from labelling.services.exports import rows as exported_rows
from labelling.services.revisions import STAYS, Kind
from tests.factories import account, fresh, fruit_project, import_rows, run_round

pytestmark = pytest.mark.django_db

# cherry is divided, apple recoded, banana and mango become one.
TABLE = """old,new,name,definition
apple,A1,pome,
banana,B1,soft fruit,
mango,B1,soft fruit,
cherry,C1,sweet cherry,Dark and sweet.
cherry,C2,sour cherry,Light and sour.
fig,F1,fig,
"""


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    project = fruit_project(manager=account("ann"))
    import_rows(project, [(f"cherry held out, {n}", "cherry") for n in range(2)])
    project.documents.filter(text__contains="held out").update(holdout=True)
    TrainingExample.objects.filter(document__holdout=True).delete()
    run_round(project)
    return project


@pytest.fixture
def project(laid_out) -> Project:
    return fresh(laid_out)


@pytest.fixture
def client(client, ann):
    client.force_login(ann)
    return client


def load(client, project: Project, content: str, **data: str):
    address = reverse("revisions", args=[project.slug])
    return client.post(address, {"file": SimpleUploadedFile("table.csv", content.encode())} | data)


@pytest.fixture
def revision(client, project) -> Revision:
    assert load(client, project, TABLE).status_code == 302
    return project.revisions.get()


def state(project: Project) -> dict[str, object]:
    """Everything about labels that a revision may touch."""
    return {
        "labels": sorted(project.labels.in_use().values_list("name", "code", "definition", "synonyms", "parent")),
        "examples": sorted(TrainingExample.objects.values_list("document", "label__name", "source")),
        "given": sorted(project.documents.values_list("pk", "given_label__name", "given_source", "holdout")),
        "settled": sorted(SettledLabel.objects.filter(left_at=None).values_list("document", "label__name")),
    }


# The table


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (["old", "new"], {"old": "old", "new": "new", "name": "", "definition": ""}),
        (
            ["Old code", "New code", "New name"],
            {"old": "Old code", "new": "New code", "name": "New name", "definition": ""},
        ),
        (["from", "to", "definition"], {"old": "from", "new": "to", "name": "", "definition": "definition"}),
        (["a", "b"], dict.fromkeys(("old", "new", "name", "definition"), "")),
    ],
)
def test_columns_are_guessed(header, found):
    assert guess_columns(header) == found


COLUMNS = {"old": "o", "new": "n", "name": "t", "definition": ""}


def test_each_pair_is_read_once():
    rows = [
        {"o": " 1 ", "n": "11", "t": "one"},
        {"o": "1", "n": "11", "t": "one again"},
        {"o": "1", "n": "12", "t": ""},
    ]
    assert read_correspondences(rows, COLUMNS) == [Correspondence("1", "11", "one"), Correspondence("1", "12")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"o": "", "n": "1", "t": ""}, "Row 1: The old or the new label is missing."),
        ({"o": "1", "n": " ", "t": ""}, "Row 1: The old or the new label is missing."),
        ({"o": "1", "n": "x" * 51, "t": "a name"}, "at most 50"),
        ({"o": "1", "n": "x" * 201, "t": ""}, "at most 200"),
        ({"o": "1", "n": "2", "t": "x" * 201}, "at most 200"),
    ],
)
def test_a_row_that_says_too_little_is_told(row, reason):
    with pytest.raises(Unreadable) as caught:
        read_correspondences([row], COLUMNS)
    assert reason in caught.value.reasons[0]


def test_columns_are_asked_for(client, project):
    text = load(client, project, "Vorher,Jetzt\napple,A1\n").content.decode()
    assert "The file has no column old and no column new" in text
    assert load(client, project, "Vorher,Jetzt\napple,A1\n", old_column="Vorher", new_column="Jetzt").status_code == 302


# The plan


def kinds(plan: revisions.Plan) -> dict[str, tuple[str, int]]:
    return {step.label.name: (step.kind, step.n_documents) for step in plan.steps}


def test_what_it_will_do_is_counted_and_nothing_is_changed(client, project, revision):
    before = state(project)
    plan = revisions.plan(revision)
    assert {name: kind for name, (kind, _) in kinds(plan).items()} == {
        "apple": Kind.RECODE,
        "banana": Kind.MERGE,
        "mango": Kind.MERGE,
        "cherry": Kind.DIVIDE,
    }
    settled = project.settled_labels.filter(left_at=None, label__name="cherry", document__example=None).count()
    assert kinds(plan)["cherry"][1] == 4 + 2 + settled
    assert plan.unknown == ["fig"]
    assert plan.untouched == []
    shown = client.get(reverse("revision", args=[project.slug, revision.pk])).content.decode()
    assert "1 old label of the table is not in this project" in shown
    assert "C1 sweet cherry<br>C2 sour cherry" in shown
    assert state(project) == before


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("apple", "apple")], STAYS),
        ([("apple", "pome")], Kind.RECODE),
        ([("apple", "banana"), ("banana", "banana")], Kind.MERGE),
        ([("apple", "apple"), ("apple", "quince")], Kind.DIVIDE),
        ([("apple", "pome"), ("banana", "pome")], Kind.MERGE),
    ],
)
def test_kinds_of_steps(project, rows, expected):
    plan = revisions.plan(Revision(project=project, table=[[*row, "", ""] for row in rows]))
    assert kinds(plan)["apple"][0] == expected


def test_what_can_not_be_is_refused(client, project):
    chain = [["apple", "banana", "", ""], ["banana", "quince", "", ""]]
    with pytest.raises(Refused, match="an old label that becomes another one"):
        revisions.plan(Revision(project=project, table=chain))
    assert "Nothing would change" in load(client, project, "old,new\nfig,F1\n").content.decode()
    apple = project.labels.get(name="apple")
    project.labels.filter(name="mango").update(parent=apple)
    with pytest.raises(Refused, match="has labels below it"):
        revisions.plan(Revision(project=project, table=[["apple", "x", "", ""], ["apple", "y", "", ""]]))
    assert not project.revisions.exists()


# Carried out


@pytest.fixture
def carried_out(client, project, revision) -> Revision:
    client.post(reverse("carry_out_revision", args=[project.slug, revision.pk]))
    revision.refresh_from_db()
    assert revision.stands
    return revision


def named(project: Project, name: str) -> Label:
    return project.labels.get(name=name)


def test_one_to_one_is_carried_over_and_the_rest_is_open(carried_out, project):
    assert sorted(project.labels.in_use().values_list("code", "name")) == [
        ("A1", "pome"),
        ("B1", "soft fruit"),
        ("C1", "sweet cherry"),
        ("C2", "sour cherry"),
    ]
    assert named(project, "pome").examples.count() == 4
    assert named(project, "soft fruit").examples.count() == 8
    assert named(project, "sweet cherry").definition == "Dark and sweet."
    assert not TrainingExample.objects.filter(label__name="cherry").exists()
    texts = set(project.documents.filter(recoded_from__name="cherry").values_list("text", flat=True))
    assert {text for text in texts if "seed" in text or "held out" in text} == {
        *(f"cherry cherry seed number {n}" for n in range(4)),
        *(f"cherry held out, {n}" for n in range(2)),
    }
    assert revisions.open_documents(project).count() == len(texts)
    assert carried_out.counts["asked_again"] == len(texts)


def test_only_the_successors_come_into_question(carried_out, project, client):
    run_round(project)
    successors = {named(project, name).pk for name in ("sweet cherry", "sour cherry")}
    recoded = Prediction.objects.filter(document__recoded_from__name="cherry")
    assert recoded.count() == project.documents.filter(recoded_from__name="cherry").count()
    for prediction in recoded:
        assert {pk for pk, probability in prediction.candidates if probability} == successors
        assert prediction.posterior_label_id in successors | {None}
    others = Prediction.objects.filter(document__recoded_from=None, document__holdout=False)
    assert any(pk not in successors for one in others for pk, probability in one.candidates[:1])
    entry = project.queue.filter(document__recoded_from__isnull=False).first()
    project.queue.exclude(pk=entry.pk).delete()
    shown = client.get(reverse("review", args=[project.slug])).content.decode()
    assert "sweet cherry" in shown
    assert "sour cherry" in shown
    assert "soft fruit" not in shown


def test_the_judge_chooses_among_the_successors(carried_out, project, client, api, price):
    Project.objects.filter(pk=project.pk).update(judge="anthropic")
    page = client.get(reverse("revision", args=[project.slug, carried_out.pk])).content.decode()
    assert "Ask the judge about" in page
    client.post(reverse("ask_about_revision", args=[project.slug, carried_out.pk]))
    round_ = project.rounds.first()
    assert (round_.settings["revises"], round_.question) == (True, "choose")
    from labelling import jobs

    jobs.run_round(round_.pk)
    round_.refresh_from_db()
    assert round_.state == "waiting", round_.error
    asked = Query.objects.filter(round=round_, reason=Query.Reason.REVISED)
    assert asked.count() == revisions.open_documents(project).count()
    successors = {named(project, name).pk for name in ("sweet cherry", "sour cherry")}
    assert all(set(query.offered) == successors for query in asked)
    rounds.agree(round_)
    jobs.run_round(round_.pk)
    assert asked.filter(verdict__isnull=False).count() == asked.count()


def test_without_a_judge_people_decide_and_what_they_said_before_counts_no_more(project, revision, ann):
    text = project.documents.get(text="cherry cherry in the pool, item 0")
    review.relabel(text, ann, named(project, "cherry"))
    revisions.carry_out(revision, ann)
    with pytest.raises(Refused, match="has no judge"):
        revisions.ask(project, ann)
    assert not TrainingExample.objects.filter(document=text).exists()
    review.relabel(text, ann, named(project, "sour cherry"))
    assert TrainingExample.objects.get(document=text).label.name == "sour cherry"
    review.undo(project, ann, text.decisions.standing().first().pk)
    assert not TrainingExample.objects.filter(document=text).exists(), "the old label does not come back"
    assert revisions.standing(revision)["n_open"] == revisions.open_documents(project).count()


def test_it_is_undone_as_one(project, revision, ann, client):
    review.relabel(project.documents.get(text="cherry cherry in the pool, item 0"), ann, named(project, "cherry"))
    before = state(project)
    revisions.carry_out(revision, ann)
    with pytest.raises(Refused, match="a part of a revision"):
        label_life.undo(project.label_events.first(), ann)
    with pytest.raises(Refused, match="carried out already"):
        revisions.carry_out(revision, ann)
    run_round(project)
    client.post(reverse("undo_revision", args=[project.slug, revision.pk]))
    revision.refresh_from_db()
    assert not revision.stands
    after = state(project)
    settled = ("settled",)
    assert {name: rows for name, rows in after.items() if name not in settled} == {
        name: rows for name, rows in before.items() if name not in settled
    }
    assert not project.documents.exclude(recoded_from=None).exists()
    with pytest.raises(Refused, match="undone already"):
        revisions.undo(revision, ann)
    assert "Part of a revision" not in client.get(reverse("label_events", args=[project.slug])).content.decode()


def test_what_people_decided_since_stays_when_it_is_undone(carried_out, project, ann):
    text = project.documents.get(text="cherry cherry seed number 0")
    review.relabel(text, ann, named(project, "sour cherry"))
    revisions.undo(carried_out, ann)
    assert TrainingExample.objects.get(document=text).label.name == "sour cherry"
    assert named(project, "sour cherry").retired_at
    assert not project.labels.filter(name="sweet cherry").exists()
    assert named(project, "cherry").examples.count() == 3


def test_a_later_step_is_undone_first(carried_out, project, ann):
    event = label_life.rename(named(project, "sweet cherry"), "sweet", ann)
    with pytest.raises(Refused, match="later step"):
        revisions.undo(carried_out, ann)
    label_life.undo(event, ann)
    revisions.undo(carried_out, ann)


def test_exports_show_the_new_labels(carried_out, project):
    labels = {row["label"] for row in exported_rows(project)}
    assert {"pome", "soft fruit"} <= labels
    assert "cherry" not in labels
