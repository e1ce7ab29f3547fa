"""What is stored and shown of beliefs, without a round."""

from __future__ import annotations

import math

import pytest

from labelling.jobs.rounds.believing import as_fields
from labelling.models import Prediction, Query
from labelling.templatetags.red import nats, rate


@pytest.mark.parametrize(("belief", "label", "posterior"), [([0.6, 0.3, 0.1], 7, 0.6), ([0.1, 0.2, 0.7], None, 0.7)])
def test_the_most_probable_label_is_stored_with_the_belief(belief, label, posterior):
    fields = as_fields([7, 8], belief, 0.2, [(7, 0.6)])
    assert (fields["posterior_label_id"], fields["posterior"], fields["gain"]) == (label, posterior, 0.2)
    prediction = Prediction(candidates=[[7, 0.5], [8, 0.4]], belief=fields["belief"])
    assert prediction.beliefs == {7: belief[0], 8: belief[1], None: belief[2]}
    assert prediction.doubt == pytest.approx(-sum(p * math.log(p) for p in belief))


def test_a_prediction_from_before_there_were_beliefs_starts_with_its_probabilities():
    assert Prediction(candidates=[[7, 0.5], [8, 0.4]], belief=[]).beliefs == {7: 0.5, 8: 0.4}


@pytest.mark.parametrize(("label", "shown"), [(1, {1, 2}), (2, {2, 3}), (3, {3}), (9, {9, 1})])
def test_a_question_shows_its_label_and_the_next_open_one(label, shown):
    query = Query(label_id=label, examples=[[n, label_id, 0.5] for n, label_id in enumerate([1, 1, 2, 2, 3])])
    assert {row[1] for row in query.compared_examples} == shown & {1, 2, 3}


def test_rates_say_whether_they_are_measured():
    measured = {"mean": 0.92, "low": 0.84, "high": 0.97, "is_prior": False}
    assert rate(measured) == "92 % (84 to 97 %)"
    assert rate(measured | {"is_prior": True}) == "92 % (84 to 97 %), assumed: too few audits to say"
    assert (nats(0.123), nats(None)) == ("0.12 nats", "–")
