"""The arithmetic of beliefs, audits and shares, without a round."""

from __future__ import annotations

import math

import numpy as np
import pytest

from classifiers.reliability import Reliability, reliability
from labelling.jobs.rounds.believing import ASSUMED, Said, as_fields, belief_of, next_gain, open_belief
from labelling.jobs.rounds.querying import audits_in
from labelling.models import Prediction, Query
from labelling.templatetags.red import nats, rate

BELIEF = np.array([0.6, 0.3, 0.1])


@pytest.mark.parametrize(("share", "batch_size"), [(0.1, 200), (0.1, 5), (0.25, 3), (0, 10), (1, 7), (0.1, 1)])
def test_the_share_of_audits_is_kept_over_the_rounds(share, batch_size):
    audits = [audits_in(share, batch_size, number) for number in range(1, 41)]
    assert sum(audits) == math.floor(40 * share * batch_size + 1e-9)
    assert max(audits) - min(audits) <= 1
    assert max(audits) <= batch_size


def weigh(belief: np.ndarray, valid: bool, rates: Reliability) -> np.ndarray:
    """The belief after a verdict on the first of two candidates, labels 7 and 8."""
    return Said(1, 7, (), None, valid, rates, asked_before=True).weigh(belief, np.array([7, 8]))


def test_a_valid_verdict_raises_its_label_and_an_invalid_one_lowers_it():
    raised, lowered = (weigh(BELIEF, valid, ASSUMED) for valid in (True, False))
    assert raised[0] > 0.6 > lowered[0]
    assert raised.sum() == pytest.approx(1)
    assert lowered[1] / lowered[2] == pytest.approx(3), "the others keep their proportion"


def test_answers_weigh_as_much_as_their_judge_is_right():
    coin = reliability(500, 500, 500, 500)
    assert weigh(BELIEF, True, coin)[0] == pytest.approx(0.6, abs=0.02)


def test_what_was_asked_is_nothing_to_ask_about_any_more():
    belief, asked = BELIEF[None, :], np.array([[True, False]])
    assert open_belief(belief, asked)[0].tolist() == pytest.approx([0, 0.3, 0.7])
    assert next_gain(belief, asked, ASSUMED)[0] < next_gain(belief, ~asked, ASSUMED)[0]
    assert next_gain(belief, np.array([[True, True]]), ASSUMED)[0] == 0


@pytest.mark.parametrize(("belief", "label", "posterior"), [([0.6, 0.3, 0.1], 7, 0.6), ([0.1, 0.2, 0.7], None, 0.7)])
def test_the_most_probable_label_is_stored_with_the_belief(belief, label, posterior):
    fields = as_fields([7, 8], belief, 0.2)
    assert (fields["posterior_label_id"], fields["posterior"], fields["gain"]) == (label, posterior, 0.2)
    prediction = Prediction(candidates=[[7, 0.5], [8, 0.4]], belief=fields["belief"])
    assert prediction.beliefs == {7: belief[0], 8: belief[1], None: belief[2]}
    assert prediction.doubt == pytest.approx(-sum(p * math.log(p) for p in belief))


def test_a_prediction_from_before_there_were_beliefs_starts_with_its_probabilities():
    labels, belief = belief_of(Prediction(candidates=[[7, 0.5], [8, 0.4]], belief=[]))
    assert (labels, belief.tolist()) == ([7, 8], pytest.approx([0.5, 0.4, 0.1]))


@pytest.mark.parametrize(("label", "shown"), [(1, {1, 2}), (2, {2, 3}), (3, {3}), (9, {9, 1})])
def test_a_question_shows_its_label_and_the_next_open_one(label, shown):
    query = Query(label_id=label, examples=[[n, label_id, 0.5] for n, label_id in enumerate([1, 1, 2, 2, 3])])
    assert {row[1] for row in query.compared_examples} == shown & {1, 2, 3}


def test_rates_say_whether_they_are_measured():
    measured = {"mean": 0.92, "low": 0.84, "high": 0.97, "is_prior": False}
    assert rate(measured) == "92 % (84 to 97 %)"
    assert rate(measured | {"is_prior": True}) == "92 % (84 to 97 %), a prior: too few audits to say"
    assert (nats(0.123), nats(None)) == ("0.12 nats", "–")
