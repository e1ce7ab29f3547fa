"""Many rows at once: what is there already, what is returned, what is left alone."""

from __future__ import annotations

import pytest

from labelling.models import Embedding, Prediction, Round
from labelling.services import inserting
from tests.factories import make_project

pytestmark = pytest.mark.django_db

COLUMNS = ("document_id", "round_id", "label_id", "probability", "entropy", "posterior", "candidates", "belief", "path")
COMPARED = ("candidates", "belief")


@pytest.fixture(params=[1, 2, 2_000])
def _batch(request, monkeypatch) -> None:
    monkeypatch.setattr(inserting, "BATCH", request.param)


@pytest.mark.usefixtures("_batch")
def test_rows_that_are_new_are_returned_and_others_left_out():
    keys = ["apple", "a\tfig", "b\\n", "käse\nmit", '"', "", "\\."]
    columns = ("text_hash", "encoder", "vector", "n_windows")
    unique = ("text_hash", "encoder")
    rows = [[key, "e", f"\\x{n}\0\t".encode(), n] for n, key in enumerate(keys)]
    Embedding.objects.create(text_hash="apple", encoder="e", vector=b"there", n_windows=9)
    returned = inserting.insert(Embedding, columns, rows, unique, returning=("id", "text_hash"))
    new = Embedding.objects.exclude(text_hash="apple").order_by("pk")
    assert [[one.text_hash, one.encoder, bytes(one.vector), one.n_windows] for one in new] == rows[1:]
    assert dict(returned) == dict(new.values_list("pk", "text_hash"))
    assert inserting.insert(Embedding, columns, rows, unique, returning=("id",)) == []
    assert inserting.insert(Embedding, columns, []) == []
    assert bytes(Embedding.objects.get(text_hash="apple").vector) == b"there"


@pytest.mark.usefixtures("_batch")
def test_a_prediction_is_replaced_where_it_differs_in_what_is_compared():
    project = make_project()
    label = project.labels.create(name="apple")
    documents = [project.documents.create(text=str(n), text_hash=str(n)) for n in range(4)]
    rounds = [Round.objects.create(project=project, number=n, state="done") for n in (1, 2)]

    def predict(round_: Round, beliefs: list[list[float]]) -> None:
        packed = [Prediction._meta.get_field(name).pack for name in ("candidates", "belief", "path")]
        lists = ([[[label.pk, 0.5]], belief, []] for belief in beliefs)
        stored = ([pack(value) for pack, value in zip(packed, row, strict=True)] for row in lists)
        rows = [
            [document.pk, round_.pk, label.pk, 0.5, 1.0, 0.6, *row]
            for document, row in zip(documents, stored, strict=False)
        ]
        inserting.replace(Prediction, COLUMNS, rows, "document_id", COMPARED)

    predict(rounds[0], [[0.5, 0.5], [0.123456, 0.876544], []])
    keys = list(Prediction.objects.order_by("document").values_list("pk", flat=True))
    predict(rounds[1], [[0.5, 0.5], [0.123457, 0.876543], [], [1.0, 0.0]])
    found = Prediction.objects.order_by("document")
    assert [(one.round, one.belief) for one in found] == [
        (rounds[0], [0.5, 0.5]),
        (rounds[1], [0.123457, 0.876543]),
        (rounds[0], []),
        (rounds[1], [1.0, 0.0]),
    ]
    assert [one.pk for one in found][:3] == keys
    assert found[0].candidates == [[label.pk, 0.5]]
