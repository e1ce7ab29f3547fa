"""What an installation holds is still right after an upgrade."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

pytestmark = pytest.mark.django_db(transaction=True)


def migrate(name: str):
    executor = MigrationExecutor(connection)
    executor.migrate([("labelling", name)])
    return MigrationExecutor(connection).loader.project_state([("labelling", name)]).apps


@pytest.fixture(autouse=True)
def _newest_at_the_end():
    yield
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


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
