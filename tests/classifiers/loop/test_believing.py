"""Beliefs after everything that judges said, against Bayes' rule written out answer by answer."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from classifiers.loop.believing import UNKNOWN, Answer, Answers, Factors, asked, best, next_question, open_belief, weigh
from classifiers.posterior import expected_choice_gain, expected_information_gain, label_factors, none_factor, prior
from classifiers.reliability import N_OFFERED, Rates

NONE = -1
RATES = [Rates(0.9, 0.8), Rates(0.7, 0.95), Rates(0.6, 0.6)]


def beliefs(n: int, k: int, random_state: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Beliefs and the candidates they are about, of twelve labels."""
    rng = np.random.default_rng(random_state)
    return rng.dirichlet(np.ones(k + 1), n), np.stack([rng.permutation(12)[:k] for _ in range(n)])


def verdict(document: int, label: int, valid: bool, judge: int = 0) -> Answer:
    return document, label, valid, (), judge


def choice(document: int, label: int, offered: tuple[int, ...], judge: int = 0) -> Answer:
    return document, label, True, offered, judge


def chance(answer: Answer, truth: int, candidates: list[int], rates: list[Rates]) -> float:
    """P(answer | truth), up to a factor that is the same for all truths."""
    _, label, valid, offered, judge = answer
    if not offered:
        if label not in candidates:
            return 1.0
        said_valid = rates[judge].sensitivity if truth == label else 1 - rates[judge].specificity
        return said_valid if valid else 1 - said_valid
    among = [candidate for candidate in candidates if candidate in offered]
    if not among:
        return 1.0
    chosen = label if label in among else NONE
    right = truth if truth in among else NONE
    accuracy = rates[judge].sensitivity
    return accuracy if chosen == right else (1 - accuracy) / len(among)


def by_hand(belief: np.ndarray, labels: np.ndarray, answers: list[Answer], rates: list[Rates]) -> np.ndarray:
    after = belief.copy()
    for document, row in enumerate(labels.tolist()):
        for answer in answers:
            if answer[0] == document:
                after[document] *= [chance(answer, truth, row, rates) for truth in [*row, NONE]]
        after[document] /= after[document].sum()
    return after


def some_answers(labels: np.ndarray, n_answers: int, random_state: int) -> list[Answer]:
    """Verdicts and choices of three judges, about candidates and about labels that are none."""
    rng = np.random.default_rng(random_state)
    answers: list[Answer] = []
    for _ in range(n_answers):
        document, judge = int(rng.integers(len(labels))), int(rng.integers(len(RATES)))
        if rng.random() < 0.6:
            answers.append(verdict(document, int(rng.integers(12)), bool(rng.random() < 0.5), judge))
        else:
            offered = tuple(rng.permutation(12)[: rng.integers(1, N_OFFERED + 1)].tolist())
            answers.append(choice(document, int(rng.choice([*offered, NONE])), offered, judge))
    return answers


# The answers.


def test_answers_are_held_in_columns():
    answers = Answers.of([verdict(3, 7, False, 2), choice(4, 5, (5, 6)), choice(3, NONE, (1, 2, 3, 4, 5), 1)])
    assert len(answers) == 3
    assert answers.document.tolist() == [3, 4, 3]
    assert answers.label.tolist() == [7, 5, NONE]
    assert answers.valid.tolist() == [False, True, True]
    assert answers.judge.tolist() == [2, 0, 1]
    unknown = [UNKNOWN] * N_OFFERED
    assert answers.offered.tolist() == [unknown, [5, 6, *unknown[2:]], [1, 2, 3, 4, 5]]
    assert answers.is_choice.tolist() == [False, True, True]
    assert answers[np.array([2, 0])].label.tolist() == [NONE, 7]
    assert answers[answers.is_choice].document.tolist() == [4, 3]


@pytest.mark.parametrize(("n_first", "n_second"), [(0, 0), (0, 2), (2, 0), (2, 3)])
def test_answers_follow_upon_answers(n_first, n_second):
    rows = some_answers(np.zeros((4, 2), dtype=int), n_first + n_second, 0)
    both = Answers.of(rows[:n_first]).plus(Answers.of(rows[n_first:]))
    whole = Answers.of(rows)
    assert all(np.array_equal(a, b) for a, b in zip(vars(both).values(), vars(whole).values(), strict=True))


def test_no_answers_have_the_columns_of_answers():
    none, some = Answers.of([]), Answers.of([verdict(0, 1, True)])
    assert len(none) == 0
    assert [column.dtype for column in vars(none).values()] == [column.dtype for column in vars(some).values()]
    assert none.is_choice.tolist() == []


# What they weigh.


@pytest.mark.parametrize("k", [1, 2, 4, 9])
@pytest.mark.parametrize("n_answers", [0, 1, 5, 60])
@pytest.mark.parametrize("random_state", range(3))
def test_answers_weigh_what_bayes_says(k, n_answers, random_state):
    belief, labels = beliefs(8, k, random_state)
    answers = some_answers(labels, n_answers, random_state)
    after = weigh(belief, labels, Answers.of(answers), RATES)
    assert after == pytest.approx(by_hand(belief, labels, answers, RATES))
    assert after.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(verdict(0, 7, True), [0.54, 0.06, 0.02], id="valid"),
        pytest.param(verdict(0, 7, False), [0.06, 0.24, 0.08], id="invalid"),
        pytest.param(verdict(0, 8, True), [0.12, 0.27, 0.02], id="the second"),
        pytest.param(verdict(0, 9, True), [0.6, 0.3, 0.1], id="no candidate"),
        pytest.param(choice(0, 7, (7, 8)), [0.54, 0.015, 0.005], id="chosen"),
        pytest.param(choice(0, NONE, (7, 8)), [0.03, 0.015, 0.09], id="none of these"),
        pytest.param(choice(0, 8, (8,)), [0.06, 0.27, 0.01], id="of one"),
        pytest.param(choice(0, 9, (7, 9)), [0.06, 0.27, 0.09], id="chosen is no candidate any more"),
        pytest.param(choice(0, 9, (9, 10)), [0.6, 0.3, 0.1], id="none offered is a candidate any more"),
    ],
)
def test_one_answer_by_hand(answer, expected):
    after = weigh(np.array([[0.6, 0.3, 0.1]]), np.array([[7, 8]]), Answers.of([answer]), RATES[:1])
    assert after[0] == pytest.approx(np.array(expected) / sum(expected))


def test_the_order_of_answers_makes_no_difference():
    belief, labels = beliefs(2, 3)
    answers = some_answers(labels, 5, 1)
    first = weigh(belief, labels, Answers.of(answers), RATES)
    for order in itertools.permutations(answers):
        assert weigh(belief, labels, Answers.of(list(order)), RATES) == pytest.approx(first)


def test_answers_in_two_parts_weigh_as_in_one():
    belief, labels = beliefs(6, 4)
    answers = Answers.of(some_answers(labels, 40, 2))
    parts = weigh(belief, labels, answers[np.arange(15)], RATES)
    parts = weigh(parts, labels, answers[np.arange(15, 40)], RATES)
    assert weigh(belief, labels, answers, RATES) == pytest.approx(parts)


def test_answers_about_other_documents_and_labels_that_are_no_candidates_change_nothing():
    belief, labels = beliefs(5, 3)
    answers = [verdict(2, int(labels[2, 0]), True), choice(3, NONE, tuple(labels[3].tolist()))]
    after = weigh(belief, labels, Answers.of(answers), RATES)
    assert np.array_equal(after[[0, 1, 4]], belief[[0, 1, 4]])
    assert np.array_equal(weigh(belief, labels + 20, Answers.of(answers), RATES), belief)


def test_a_coin_tells_nothing_and_what_was_given_stays_as_it_was():
    belief, labels = beliefs(5, 3)
    untouched = belief.copy()
    answers = Answers.of([verdict(n, int(labels[n, 0]), n % 2 == 0) for n in range(5)])
    assert weigh(belief, labels, answers, [Rates(0.5, 0.5)]) == pytest.approx(belief)
    weigh(belief, labels, answers, RATES)
    assert np.array_equal(belief, untouched)


def test_a_judge_without_error_that_contradicts_itself_is_no_evidence():
    belief, labels = np.array([[0.6, 0.3, 0.1]]), np.array([[7, 8]])
    answers = Answers.of([verdict(0, 7, True), verdict(0, 7, False)])
    assert weigh(belief, labels, answers, [Rates(1.0, 1.0)])[0] == pytest.approx([1, 0, 0])


def test_no_documents_and_no_answers():
    assert weigh(np.empty((0, 3)), np.empty((0, 2), dtype=int), Answers.of([]), RATES).shape == (0, 3)


# What is left to ask.


def test_a_label_is_asked_about_once_and_a_choice_leaves_nothing():
    labels = np.array([[7, 8, 9], [7, 8, 9], [7, 8, 9], [4, 5, 6]])
    answers = Answers.of(
        [verdict(0, 8, True), verdict(0, 9, False), verdict(1, 3, True), choice(2, 7, (7, 8)), verdict(3, 7, True)]
    )
    assert asked(labels, answers).tolist() == [[False, True, True], [False] * 3, [True] * 3, [False] * 3]
    assert not asked(labels, Answers.of([])).any()


@pytest.mark.parametrize("random_state", range(5))
def test_what_was_asked_is_looked_up_by_label(random_state):
    _, labels = beliefs(8, 4, random_state)
    answers = some_answers(labels, 30, random_state)
    expected = [
        [any(d == document and (offered or label == code) for d, label, _, offered, _ in answers) for code in row]
        for document, row in enumerate(labels.tolist())
    ]
    assert asked(labels, Answers.of(answers)).tolist() == [[bool(cell) for cell in row] for row in expected]


def test_what_was_asked_moves_to_the_last_column():
    belief = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
    was_asked = np.array([[False, False], [True, False], [True, True]])
    assert open_belief(belief, was_asked) == pytest.approx(np.array([[0.5, 0.3, 0.2], [0, 0.3, 0.7], [0, 0, 1]]))
    assert belief[1].tolist() == [0.5, 0.3, 0.2]


@pytest.mark.parametrize("random_state", range(4))
def test_the_next_question_is_about_the_most_probable_label_that_was_not_asked_about(random_state):
    belief, labels = beliefs(20, 4, random_state)
    was_asked = np.random.default_rng(random_state).random(labels.shape) < 0.5
    column, gain = next_question(belief, was_asked, RATES[0])
    for document in range(20):
        left = [c for c in range(4) if not was_asked[document, c]]
        if not left:
            assert gain[document] == -np.inf
            continue
        assert column[document] == max(left, key=lambda c: belief[document, c])
        best_left = belief[document, column[document]]
        assert gain[document] == pytest.approx(float(expected_information_gain(best_left, *RATES[0])))


def test_a_choice_is_offered_among_the_best_few():
    belief, labels = beliefs(10, N_OFFERED + 3)
    nothing = np.zeros(labels.shape, dtype=bool)
    offered = belief[:, :-1] >= np.sort(belief[:, :-1], axis=1)[:, -N_OFFERED][:, None]
    column, gain = next_question(belief, nothing, Rates(0.9, 0.9), "choose")
    assert column.tolist() == belief[:, :-1].argmax(axis=1).tolist()
    assert gain == pytest.approx(expected_choice_gain(belief, offered, 0.9))
    assert (next_question(belief, ~nothing, Rates(0.9, 0.9), "choose")[1] == -np.inf).all()


@pytest.mark.parametrize("question", ["validate", "choose"])
def test_of_no_documents_nothing_is_asked(question):
    column, gain = next_question(np.empty((0, 4)), np.empty((0, 3), dtype=bool), RATES[0], question)
    assert (len(column), len(gain)) == (0, 0)


# The best label.


@pytest.mark.parametrize(
    ("belief", "label", "posterior"),
    [([0.6, 0.3, 0.1], 7, 0.6), ([0.3, 0.6, 0.1], 8, 0.6), ([0.1, 0.2, 0.7], NONE, 0.7), ([0.4, 0.4, 0.2], 7, 0.4)],
)
def test_the_best_label_is_the_most_probable_one(belief, label, posterior):
    found, probability = best(np.array([belief]), np.array([[7, 8]]), NONE)
    assert (found.tolist(), probability.tolist()) == ([label], [posterior])


# How common labels are.


@pytest.mark.parametrize("off_list", [(0, 0), (0, 40), (10, 40)])
def test_factors_are_learnt_from_the_pool_and_looked_up_by_label(off_list):
    rng = np.random.default_rng(0)
    probabilities = -np.sort(-rng.dirichlet(np.ones(5), 50), axis=1)[:, :4]
    labels = np.stack([rng.permutation(6)[:4] for _ in range(50)])
    n_examples, n_known = np.array([5, 5, 5, 5, 5, 9]), np.array([0, 0, 1, 0, 3, 4])
    factors = Factors.of(probabilities, labels, n_examples, n_known, off_list)
    assert factors.none == none_factor(probabilities, *off_list)
    assert np.array_equal(factors.labels, label_factors(probabilities, labels, n_examples, n_known))
    expected = prior(probabilities, factors.none, factors.labels[labels])
    assert np.array_equal(factors.prior(probabilities, labels), expected)
    assert factors.prior(probabilities, labels).sum(axis=1) == pytest.approx(1)


def test_factors_multiply_odds_by_hand():
    factors = Factors(2.0, np.array([1.0, 3.0, 0.5]))
    found = factors.prior(np.array([[0.6, 0.3]]), np.array([[2, 1]]))
    assert found[0] == pytest.approx(np.array([0.3, 0.9, 0.2]) / 1.4)


def test_more_documents_off_the_list_make_none_of_these_more_common():
    probabilities = np.full((40, 2), 0.45)
    labels = np.tile([0, 1], (40, 1))
    factors = [
        Factors.of(probabilities, labels, np.array([5, 5]), np.zeros(2, dtype=int), (n, 40)).none for n in (0, 4, 20)
    ]
    assert factors == sorted(factors)
    assert factors[0] < factors[2]
