"""100,000 rows in and out, within the time that people will wait."""

from __future__ import annotations

import pytest
from django.core.files import File

from labelling import jobs
from labelling.models import Decision, Document, Prediction, Project, Query, Round, Verdict
from labelling.services import imports
from labelling.services.exports import export_lines
from tests import real_data
from tests.factories import make_project, quickest

# Real transactions: the thread that renews the lease writes on a connection of its own.
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

N = 97_407
# CPU seconds for one import, its words put into the index of the search; it takes half.
PATIENCE = 60


def import_file(project: Project, path) -> None:
    with path.open("rb") as file:
        csv_import = imports.upload(project, File(file, name=path.name), user=None)
    imports.start_here(csv_import)
    jobs.run_import(csv_import.pk)
    csv_import.refresh_from_db()
    assert (csv_import.state, csv_import.problems) == ("done", [])


def predict_everything(project: Project) -> None:
    """Give each document a prediction, as a round would, and each tenth a verdict and a decision."""
    labels = list(project.labels.values_list("pk", flat=True))
    candidates = [[pk, 0.5] for pk in labels[:10]]
    round_ = Round.objects.create(project=project, number=1, state="done")
    Prediction.objects.bulk_create(
        Prediction(
            document_id=pk,
            round=round_,
            label_id=labels[0],
            probability=0.5,
            entropy=1.0,
            candidates=candidates,
            belief=[0.5] + 10 * [0.05],
            posterior=0.5,
            posterior_label_id=labels[0],
            gain=0.3,
        )
        for pk in project.documents.values_list("pk", flat=True)
    )
    evidence = [[pk, label, 0.5] for pk, label in enumerate(labels[:10], start=1)]
    queries = Query.objects.bulk_create(
        Query(
            round=round_,
            document_id=pk,
            label_id=labels[0],
            rank=rank,
            probability=0.5,
            posterior=0.5,
            entropy=1.0,
            candidates=candidates,
            examples=evidence,
            neighbours=evidence,
        )
        for rank, pk in enumerate(project.documents.values_list("pk", flat=True)[::10])
    )
    Verdict.objects.bulk_create(
        Verdict(query=query, verdict="invalid", reason="It says so.", judge="neighbours") for query in queries
    )
    Decision.objects.bulk_create(
        Decision(document_id=query.document_id, query=query, action="accept", label_id=labels[0]) for query in queries
    )


def test_a_hundred_thousand_rows_come_in_and_go_out(tmp_path):
    rows = real_data.with_seeds(real_data.read(real_data.data_set("arxiv") / "train.csv"), n_seeds=30)
    path = real_data.write(tmp_path / "arxiv.csv", rows)
    project = make_project()

    assert quickest(lambda: import_file(project, path), runs=1) < PATIENCE
    assert project.documents.count() == N
    assert quickest(lambda: import_file(project, path), runs=1) < PATIENCE
    assert Document.objects.count() == N, "the same file again adds nothing"

    predict_everything(project)
    exported: list[str] = []
    assert quickest(lambda: exported.extend(export_lines(project)), runs=1) < PATIENCE / 2
    assert len(exported) >= N + 1
