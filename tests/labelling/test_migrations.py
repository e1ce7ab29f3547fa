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


@pytest.fixture
def before():
    """The tables before beliefs; the newest ones stand again at the end."""
    yield migrate("0001_initial")
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def test_auto_accept_valid_becomes_threshold_and_probabilities_become_beliefs(before):
    models = before.get_model
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
