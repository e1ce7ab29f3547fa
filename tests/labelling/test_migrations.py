"""What an installation holds is still right after an upgrade."""

from __future__ import annotations

import csv
from importlib import import_module

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from labelling import jobs
from labelling.jobs.lease import JobFailed
from labelling.models import (
    Certificate,
    Decision,
    Prediction,
    Project,
    Query,
    QueueEntry,
    Round,
    SettledLabel,
    TrainingExample,
)
from labelling.services import audits, rounds
from labelling.services.claims import claim_next
from labelling.services.exports import export_lines
from labelling.services.review import decide, relabel
from tests.factories import fruit_project, import_doubtful, make_user, run_round
from tests.fakes import KnowingJudge

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def migrate(name: str):
    executor = MigrationExecutor(connection)
    executor.migrate([("labelling", name)])
    return MigrationExecutor(connection).loader.project_state([("labelling", name)]).apps


def migrate_to_the_newest() -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


@pytest.fixture(autouse=True)
def _newest_at_the_end():
    yield
    migrate_to_the_newest()


def test_the_log_of_removals_becomes_a_part_of_the_diary_and_back():
    old = migrate("0016_api").get_model
    ann = old("auth", "User").objects.create(username="ann")
    project = old("labelling", "Project").objects.create(name="Fruit", slug="fruit")
    rows = [(project, ann, "documents", "ticked", {"documents": 3}), (None, None, "project", "Old", {})]
    for of, user, what, name, counts in rows:
        old("labelling", "Removal").objects.create(project=of, user=user, what=what, name=name, counts=counts)
    at = list(old("labelling", "Removal").objects.order_by("pk").values_list("at", flat=True))

    entries = migrate("0018_organisation").get_model("labelling", "DiaryEntry").objects.order_by("pk")
    told = entries.values_list("at", "who", "project_name", "act", "about", "before")
    assert list(told) == [
        (at[0], "ann", "Fruit", "documents-deleted", "ticked", {"documents": 3}),
        (at[1], "", "", "project-deleted", "Old", {}),
    ]
    back = migrate("0016_api").get_model("labelling", "Removal").objects.order_by("pk")
    assert list(back.values_list("at", "what", "name", "counts")) == [
        (at[0], "documents", "ticked", {"documents": 3}),
        (at[1], "project", "Old", {}),
    ]


def test_auto_accept_valid_becomes_threshold_and_probabilities_become_beliefs():
    models = migrate("0001_initial").get_model
    projects = {
        how: models("labelling", "Project").objects.create(name=how, slug=how, auto_accept=how)
        for how in ("valid", "off")
    }
    project = projects["valid"]
    round_ = models("labelling", "Round").objects.create(
        project=project, number=1, settings={"auto_accept": "valid", "certainty": 0.8}
    )
    label = models("labelling", "Label").objects.create(project=project, name="apple")
    document = models("labelling", "Document").objects.create(project=project, text="a text", text_hash="x")
    known = {"document": document, "round": round_, "label": label, "probability": 0.7, "entropy": 1.0}
    models("labelling", "Prediction").objects.create(**known, candidates=[[label.pk, 0.7]])
    models("labelling", "Query").objects.create(
        **known, rank=0, candidates=[[label.pk, 0.7]], examples=[], neighbours=[]
    )

    now = migrate("0002_beliefs").get_model
    found = dict(now("labelling", "Project").objects.values_list("name", "auto_accept"))
    assert found == {"valid": "threshold", "off": "off"}
    assert now("labelling", "Round").objects.get().settings == {
        "auto_accept": "threshold",
        "certainty": 0.8,
        "combination": "highest",
        "audit_share": 0.0,
    }
    prediction = now("labelling", "Prediction").objects.get()
    assert (prediction.posterior, prediction.posterior_label_id, prediction.gain) == (0.7, label.pk, None)
    query = now("labelling", "Query").objects.get()
    assert (query.reason, query.posterior, query.gain) == ("uncertain", 0.7, None)


def test_what_is_predicted_keeps_every_digit_in_fewer_bytes_and_back(monkeypatch):
    monkeypatch.setattr(import_module("labelling.migrations.0034_compact"), "CHUNK", 2)
    before = migrate("0032_files").get_model
    project = before("labelling", "Project").objects.create(name="p", slug="p")
    label = before("labelling", "Label").objects.create(project=project, name="apple")
    round_ = before("labelling", "Round").objects.create(project=project, number=1, state="done")
    known = {"round": round_, "label": label, "probability": 0.123456, "entropy": 1.0, "posterior": 0.5}
    told = [
        ([[label.pk, 0.123456], [label.pk + 1, 0.000001]], [0.333333, 0.0, 1.0], [[label.pk, 0.5]]),
        ([[label.pk, 1.0]], [], []),
        ([], [0.25], [[1, 0.75], [2, 0.6]]),
        ([[2**32 - 1, 0.5]], [1e-06], []),
        ([], [], []),
    ]
    fields = ("candidates", "belief", "path")
    for n, lists in enumerate(told):
        document = before("labelling", "Document").objects.create(project=project, text=str(n), text_hash=str(n))
        rows = before("labelling", "Prediction").objects
        rows.create(document=document, **known, **dict(zip(fields, lists, strict=True)))
    migrate("0034_compact")
    assert list(Prediction.objects.order_by("document").values_list(*fields)) == told
    before = migrate("0032_files").get_model("labelling", "Prediction")
    assert list(before.objects.order_by("document").values_list(*fields)) == told


def test_what_waits_learns_its_round_and_rounds_how_much_they_laid_out():
    before = migrate("0008_team").get_model
    project = before("labelling", "Project").objects.create(name="p", slug="p")
    label = before("labelling", "Label").objects.create(project=project, name="apple")
    rounds = [before("labelling", "Round").objects.create(project=project, number=n, state="done") for n in (1, 2)]
    rows = [(rounds[0], "waits"), (rounds[1], "waits"), (rounds[1], "decided"), (rounds[1], "withdrawn, waits")]
    for n, (round_, what) in enumerate(rows):
        document = before("labelling", "Document").objects.create(project=project, text=what, text_hash=str(n))
        query = before("labelling", "Query").objects.create(
            round=round_, document=document, label=label, rank=n, probability=0.5, posterior=0.5, entropy=1.0,
            candidates=[], examples=[], neighbours=[],
        )  # fmt: skip
        if "waits" in what:
            before("labelling", "QueueEntry").objects.create(
                project=project, document=document, query=query, priority=n
            )
        if what != "waits":
            said = before("labelling", "Decision").objects.create(document=document, query=query, action="none")
        if "withdrawn" in what:
            before("labelling", "Decision").objects.create(document=document, action="undo", withdraws=said)

    now = migrate("0009_progress").get_model
    assert list(now("labelling", "Round").objects.order_by("number").values_list("laid_out", flat=True)) == [1, 3]
    assert list(now("labelling", "QueueEntry").objects.order_by("pk").values_list("round__number", flat=True)) == [
        1,
        2,
        2,
    ]


def labels_of(project: Project) -> list[tuple[str, ...]]:
    rows = csv.DictReader("".join(export_lines(project)).lstrip("\ufeff").splitlines(keepends=True))
    return [tuple(row[name] for name in ("text", "label", "source", "verdict", "decision")) for row in rows]


@pytest.fixture
def old_project(monkeypatch) -> tuple[int, list[tuple[str, ...]]]:
    """A project as 0010 leaves it: two rounds, the second one stopped; all kinds of labels, a waiting audit."""
    judge = KnowingJudge()
    monkeypatch.setattr("labelling.jobs.rounds.auditing.make_judge", lambda *arguments: judge)
    project, ann = fruit_project(judge="neighbours", batch_size=20, retrain_after=0), make_user("ann")
    import_doubtful(project)
    run_round(project)
    for action in ("accept", "none", "skip"):
        decide(project, claim_next(project, ann).pk, ann, action)
    relabel(project.documents.filter(given_source="seed")[0], ann, project.labels.last())
    judge.stops_after = len(judge.asked) + 3
    with pytest.raises(JobFailed):
        run_round(project)
    # What there was not yet.
    SettledLabel.objects.all().delete()
    unasked = Query.objects.filter(reason__in=Query.UNASKED, decisions=None)
    project.queue.filter(query__in=unasked).delete()
    unasked.delete()
    for query in Query.objects.filter(reason__in=Query.UNASKED):
        # Before, a label was asked about once a round, whoever was asked.
        same = Query.objects.filter(round=query.round_id, document=query.document_id, label=query.label_id)
        Decision.objects.filter(query=query).update(query=same.exclude(pk=query.pk).first() or query)
        QueueEntry.objects.filter(query=query).update(query=same.exclude(pk=query.pk).first() or query)
        if same.exclude(pk=query.pk).exists():
            query.delete()
        else:
            same.update(reason="uncertain")
    old_accepted = TrainingExample.objects.filter(source="judge")
    assert old_accepted.count() > 5
    assert Round.objects.get(number=2).state == "failed"
    before = labels_of(project)

    models = migrate("0010_audits_of_the_batch").get_model
    models("labelling", "Project").objects.update(auto_accept="threshold", audit_share=0.1)
    for name in ("certified", "off"):
        models("labelling", "Project").objects.create(name=name, slug=name, auto_accept=name, judge="anthropic")
    for round_ in models("labelling", "Round").objects.all():
        round_.settings |= {"auto_accept": "threshold", "audit_share": 0.1}
        del round_.settings["learns"]
        round_.certificate = {"holds": False, "n": 0, "sentence": "Not certified yet."}
        round_.save()
    queue = models("labelling", "QueueEntry").objects.filter(project=project.pk)
    audit = queue.exclude(query__decisions__action="skip").first().query
    models("labelling", "Query").objects.filter(pk=audit.pk).update(reason="audit")
    models("labelling", "Audit").objects.create(query=audit, label=audit.label, posterior=0.9)
    accepted = models("labelling", "TrainingExample").objects.filter(source="judge").first()
    other = models("labelling", "Label").objects.filter(project=project.pk).exclude(pk=accepted.label_id).first()
    models("labelling", "Prediction").objects.filter(document=accepted.document_id).update(
        posterior_label=other, posterior=0.97
    )
    return project.pk, before


def test_a_project_under_way_opens_goes_on_and_exports_the_same_labels(old_project, django_user_model):
    pk, before = old_project
    migrate_to_the_newest()
    settings = dict(Project.objects.values_list("name", "auto_accept"))
    project = Project.objects.get(pk=pk)
    assert settings == {project.name: True, "certified": True, "off": False}
    assert (project.judge, project.limit, project.level, project.restarts) == ("none", "0.05", "0.95", 0)
    assert set(Project.objects.exclude(pk=pk).values_list("judge", flat=True)) == {"anthropic"}
    assert labels_of(project) == before

    accepted = TrainingExample.objects.filter(source="judge", document__project=pk)
    adopted = SettledLabel.objects.filter(project=pk, left_at=None)
    assert set(adopted.values_list("document", "label", "source")) == {
        (document, label, "judge") for document, label in accepted.values_list("document", "label")
    }
    assert 0.85 in adopted.values_list("posterior", flat=True), "of what was believed then nothing is known"
    assert not Certificate.objects.exists()

    first, second = project.rounds.order_by("number")
    assert first.settings["auto_accept"] == "threshold", "what is done stays as it was"
    assert (second.settings["auto_accept"], second.settings["judge"]) == (True, "none")
    waiting = audits.waiting(project).get(reason="audit")
    rounds.go_on(second)
    jobs.run_round(second.pk)
    second.refresh_from_db()
    assert (second.state, second.error) == ("done", "")
    assert project.queue.filter(query=waiting).exists()
    assert not SettledLabel.objects.filter(document=waiting.document_id).exists(), "it waits for a person"
    assert project.settled_labels.filter(left_at=None, source="model").exists()
    after = {row[0]: row for row in labels_of(project)}
    kept = [row for row in before if row[2] in ("seed", "judge", "human")]
    assert [after[row[0]] for row in kept] == kept

    ann = django_user_model.objects.get(username="ann")
    while entry := claim_next(project, ann):
        decide(project, entry.pk, ann, "accept")
    third = rounds.start_round(project)
    jobs.run_round(third.pk)
    third.refresh_from_db()
    assert (third.state, third.error) == ("done", "")
