"""Rows read as arrays: the same as the lists that the fields make of them."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers.subset_classifier import NOISE
from labelling.jobs.rounds import reading
from labelling.jobs.rounds.reading import as_stored, beliefs, candidates, columns, filled, floats, integers, places
from labelling.models import Prediction
from labelling.models.compact import DIGITS, CandidatesField, ProbabilitiesField
from tests.factories import fruit_project, run_round

PROBABILITIES = ProbabilitiesField()


def test_every_stored_probability_is_the_number_that_the_field_reads():
    listed = (np.arange(10**DIGITS + 1) / 10**DIGITS).tolist()
    stored = PROBABILITIES.pack(listed)
    assert beliefs([stored])[0].tolist() == PROBABILITIES.unpack(stored) == listed


@pytest.mark.parametrize("rows", [[], [[]], [[1.0]], [[0.25, 0.75]], [[0.5, 0.2, 0.3], [1.0], [0.4, 0.6], []]])
def test_beliefs_of_fewer_candidates_are_filled_before_that_in_none_of_these(rows):
    k = max((len(row) - 1 for row in rows if row), default=0)
    wanted = [[*row[:-1], *[0.0] * (k + 1 - len(row)), *row[-1:]] if row else [0.0] * (k + 1) for row in rows]
    assert beliefs([PROBABILITIES.pack(row) for row in rows]).tolist() == wanted


@pytest.mark.parametrize("rows", [[], [[]], [[7]], [[3, 2**32 - 1], [5], []]])
def test_candidates_are_filled_where_there_are_fewer(rows):
    k = max(map(len, rows), default=0)
    wanted = [row + [NOISE] * (k - len(row)) for row in rows]
    found = candidates([CandidatesField().pack([[label, 0.5] for label in row]) for row in rows])
    assert (found.tolist(), found.shape) == (wanted, (len(rows), k))


@pytest.mark.parametrize("among", [[], [4], [-3, 0, 4, 9]])
def test_places_are_where_integers_stand(among):
    values = np.arange(-5, 12)
    wanted = [among.index(value) if value in among else len(among) for value in values.tolist()]
    assert places(values, np.array(among, dtype=int)).tolist() == wanted
    assert places(values.reshape(1, -1), np.array(among, dtype=int)).tolist() == [wanted]


@pytest.mark.django_db
@pytest.mark.parametrize("size", [1, 3, 100])
def test_columns_that_come_batch_by_batch_are_those_of_all_rows(size, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK_ROWS", size)
    project = fruit_project()
    run_round(project)
    predictions = Prediction.objects.order_by("document")
    predictions.filter(pk=predictions[0].pk).update(posterior_label=None)
    told = list(predictions.values_list("document_id", "posterior_label_id", "entropy", "belief"))
    assert len(told) > size or size == 100
    names = ("document_id", "posterior_label_id", "entropy", as_stored("belief"))
    documents, labels, entropy, belief = columns(
        predictions.values_list(*names), integers, filled(NOISE), floats, beliefs
    )
    assert documents.tolist() == [row[0] for row in told]
    assert labels.tolist() == [NOISE, *(row[1] for row in told[1:])]
    assert entropy.tolist() == [row[2] for row in told]
    assert belief.tolist() == [row[3] for row in told]
    nothing = columns(predictions.none().values_list(*names), integers, filled(NOISE), floats, beliefs)
    assert [len(column) for column in nothing] == [0] * 4
