"""The simulated loop: who sees the truth, what answers weigh, budgets kept, and a bad judge found out."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field, fields, replace

import numpy as np
import pytest

from classifiers.posterior import prior
from classifiers.query import STRATEGIES
from classifiers.red_classifier import GRADUATED, RedClassifier
from classifiers.reliability import choice_accuracy, expected, reliability
from classifiers.simulation import (
    MAX_QUESTIONS,
    UNKNOWN,
    ArticleLoop,
    Choosing,
    Data,
    Judge,
    Loop,
    Plan,
    Validating,
)
from classifiers.subset_classifier import NOISE
from tests.classifiers.clusters import N_DIMS, clusters, some_units

N_LABELS = 6
PLAN = Plan(rounds=3, judge_calls=30, reviews=10, audits=5)
LOOPS = [
    pytest.param(Loop, PLAN, id="validate"),
    pytest.param(Loop, replace(PLAN, question="choose"), id="choose"),
    pytest.param(ArticleLoop, replace(PLAN, strategy="entropy"), id="article"),
]


def some_data(scale: float = 0.3, n_pool: int = 25, n_nowhere: int = 10) -> Data:
    """Some of the pool belongs to no label."""
    X, y = clusters(N_LABELS, 4, 0, scale)
    X_pool, y_pool = clusters(N_LABELS, n_pool, 1, scale)
    X_test, y_test = clusters(N_LABELS, 5, 2, scale)
    X_pool = np.concatenate([X_pool, some_units(n_nowhere, N_DIMS, 3)])
    y_pool = np.append(y_pool, np.full(n_nowhere, NOISE))
    order = np.random.default_rng(4).permutation(len(y_pool))
    return Data(X, y, X_pool[order], y_pool[order], X_test, y_test)


def model() -> RedClassifier:
    return RedClassifier(subset_size=3, n_deals=1, noise_ratio=2.0, self_training=0)


@dataclass(frozen=True)
class WatchedJudge(Judge):
    """Remembers what it was asked."""

    asked: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)

    def is_valid(self, document: int, label: int) -> bool:
        self.asked.append((int(document), (int(label),)))
        return super().is_valid(document, label)

    def choice(self, document: int, offered: np.ndarray) -> int:
        self.asked.append((int(document), tuple(offered.tolist())))
        return super().choice(document, offered)


def judge_of(data: Data, sensitivity: float = 0.9, specificity: float = 0.9, random_state: int = 0) -> WatchedJudge:
    return WatchedJudge(data.y_pool, sensitivity, specificity, random_state)


def gone_round(kind: type[Loop], plan: Plan, data: Data, judge: Judge | None = None) -> Loop:
    loop = kind(data, judge or judge_of(data), model, plan)
    list(loop.run())
    return loop


def decisions(loop: Loop) -> list[list]:
    return [loop.human.tolist(), loop.accepted.tolist(), loop.answers.n_answers.tolist()]


# Who sees the truth.


class Truth:
    """The true labels, and the functions that looked at them."""

    def __init__(self, labels: np.ndarray):
        self.labels = labels
        self.seen_by: set[str] = set()

    def __getitem__(self, rows):
        self.seen_by.add(sys._getframe(1).f_code.co_name)
        return self.labels[rows]


class Secret:
    """Nothing may be done with it."""

    def __getattr__(self, name):
        raise AssertionError(f"Somebody looked at the pool's labels: {name}.")

    def __getitem__(self, rows):
        raise AssertionError("Somebody looked at the pool's labels.")


@pytest.mark.parametrize(("kind", "plan"), LOOPS)
def test_only_the_judge_the_reviewer_and_the_score_see_the_truth(kind, plan):
    data = some_data()
    truth = Truth(data.y_pool)
    gone_round(kind, plan, replace(data, y_pool=Secret()), Judge(truth, 0.9, 0.9))
    assert truth.seen_by <= {"is_valid", "choice", "_person_says", "_result"}


@pytest.mark.parametrize(("kind", "plan"), LOOPS)
def test_the_truth_of_documents_nobody_was_asked_about_changes_nothing(kind, plan):
    data = some_data()
    loop = gone_round(kind, plan, data)
    untouched = (loop.answers.n_answers == 0) & (loop.human == UNKNOWN)
    assert untouched.sum() > 10
    other = replace(data, y_pool=np.where(untouched, (data.y_pool + 2) % N_LABELS, data.y_pool))
    assert decisions(gone_round(kind, plan, other)) == decisions(loop)


# The judge.


@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.95, 0.6), (0.7, 0.98), (1.0, 1.0), (0.98, 0.3)])
def test_the_judge_is_right_at_its_rates_and_answers_the_same_question_the_same_way(sensitivity, specificity):
    truth = np.random.default_rng(0).integers(0, 5, 1500)
    judge = Judge(truth, sensitivity, specificity, random_state=1)
    right = [judge.is_valid(document, truth[document]) for document in range(1500)]
    wrong = [judge.is_valid(document, (truth[document] + 1) % 5) for document in range(1500)]
    assert np.mean(right) == pytest.approx(sensitivity, abs=0.035)
    assert np.mean(wrong) == pytest.approx(1 - specificity, abs=0.035)
    assert [judge.is_valid(document, truth[document]) for document in range(100)] == right[:100]


@pytest.mark.parametrize("accuracy", [0.6, 0.95, 1.0])
def test_the_judge_chooses_right_at_its_rate_and_errs_evenly(accuracy):
    truth = np.random.default_rng(0).integers(0, 6, 1500)
    judge, offered = Judge(truth, accuracy, 0.5), np.array([3, 1, 0, 4])
    right = np.array([{3: 0, 1: 1, 0: 2, 4: 3}.get(label, 4) for label in truth.tolist()])
    choices = np.array([judge.choice(document, offered) for document in range(1500)])
    assert (choices == right).mean() == pytest.approx(accuracy, abs=0.035)
    assert [judge.choice(document, offered) for document in range(50)] == choices[:50].tolist()
    errors = np.bincount((choices - right)[choices != right] % 5, minlength=5)[1:]
    assert (errors > 0.4 * errors.mean()).all() or accuracy == 1.0


def test_another_judge_errs_elsewhere():
    truth = np.zeros(200, dtype=int)
    first, other = ([Judge(truth, 0.5, 0.5, seed).is_valid(d, 0) for d in range(200)] for seed in (0, 1))
    assert first != other


# What answers weigh.


def beliefs(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Beliefs and the candidates they are about, of nine labels."""
    rng = np.random.default_rng(0)
    probabilities = -np.sort(-rng.dirichlet(np.ones(k + 1), n), axis=1)[:, :k]
    return prior(probabilities), np.stack([rng.permutation(9)[:k] for _ in range(n)])


def bayes(row: np.ndarray, likelihood: list[float]) -> list[float]:
    joint = [p * chance for p, chance in zip(row, likelihood, strict=True)]
    return [p / sum(joint) for p in joint]


@pytest.mark.parametrize("n_questions", [1, 2, MAX_QUESTIONS])
def test_verdicts_weigh_what_bayes_says(n_questions):
    belief, labels = beliefs(40, 4)
    answers = Validating(40)
    judge = Judge(labels[:, 1], 0.8, 0.7)
    for _ in range(n_questions):
        columns, _ = answers.questions(answers.weigh(belief, labels), labels)
        for document in range(0, 40, 2):
            answers.ask(judge, document, labels[document], columns[document], 0.5)
    audits = {document: int(labels[document, 1]) for document in range(10)}
    answers.measure(np.full(40, UNKNOWN), audits)
    sensitivity, specificity = answers.rates.sensitivity.mean, answers.rates.specificity.mean
    after = answers.weigh(belief, labels)
    for document in range(40):
        likelihood = [1.0] * 5
        for turn in range(answers.n_answers[document]):
            label, valid = answers.labels[document, turn], answers.valid[document, turn]
            for column, candidate in enumerate([*labels[document].tolist(), NOISE]):
                said_valid = sensitivity if candidate == label else 1 - specificity
                likelihood[column] *= said_valid if valid else 1 - said_valid
        assert after[document] == pytest.approx(bayes(belief[document], likelihood))


def test_verdicts_on_labels_that_are_no_candidates_any_more_do_not_count():
    belief, labels = beliefs(6, 4)
    answers = Validating(6)
    for document in range(6):
        answers.ask(Judge(labels[:, 0], 1.0, 1.0), document, labels[document], 0, 0.5)
    assert np.array_equal(answers.weigh(belief, labels + 9), belief)


def test_choices_weigh_what_bayes_says():
    belief, labels = beliefs(40, 7)
    answers = Choosing(40)
    truth = np.where(np.arange(40) % 4 == 0, NOISE, labels[np.arange(40), np.arange(40) % 7])
    for document in range(0, 40, 2):
        answers.ask(Judge(truth, 0.7, 0.7), document, labels[document], 0, 0.5)
    answers.measure(truth, {document: int(truth[document]) for document in range(0, 20, 2)})
    after, rate = answers.weigh(belief, labels), answers.rates.sensitivity.mean
    for document in range(40):
        if not answers.n_answers[document]:
            assert np.array_equal(after[document], belief[document])
            continue
        offered = [label for label in labels[document].tolist() if label in answers.offered[document]]
        likelihood = []
        for candidate in [*labels[document].tolist(), NOISE]:
            right = answers.chosen[document] == (candidate if candidate in offered else NOISE)
            likelihood.append(rate if right else (1 - rate) / len(offered))
        assert after[document] == pytest.approx(bayes(belief[document], likelihood))


def test_rates_are_counted_on_audits_and_expected_from_the_rest():
    answers = Validating(5)
    candidates = np.array([5, 6, 7])
    judge = Judge(np.array([5, 6, 5, 5, 7]), 1.0, 1.0)
    for document, columns in enumerate([[0], [0, 1], [1, 2], [0], [1, 2]]):
        for column in columns:
            answers.ask(judge, document, candidates, column, 0.5)
    # 0: 5 valid, right. 1: 5 refused, wrong; 6 valid, right. 2: a person says 6, which was refused; 7 too.
    # 3: nobody has seen it. 4: reviewed, 6 refused, wrong; 7 valid, right.
    answers.measure(np.array([5, 6, 6, UNKNOWN, 7]), {0: 5, 1: 6, 2: 6})
    priors = expected(np.array([0.5, 0, 1]), np.array([True, False, True]))
    assert answers.rates == reliability(true_valid=2, false_invalid=1, true_invalid=2, false_valid=0, priors=priors)
    choosing = Choosing(3)
    for document in range(3):
        choosing.ask(Judge(np.array([5, NOISE, 6]), 1.0, 1.0), document, candidates, 0, 0.5)
    # A person agrees that 1 is none of these, and says 8 of the third, which wasn't offered: "none" was right.
    choosing.measure(np.array([5, 8, 8]), {0: 5, 1: 8, 2: 8})
    assert choosing.rates.sensitivity == choice_accuracy(right=2, wrong=1)


@pytest.mark.parametrize("answers", [Validating(3), Choosing(3)])
def test_before_any_answer_nothing_is_believed_but_the_model(answers):
    belief, labels = beliefs(3, 4)
    assert np.array_equal(answers.weigh(belief, labels), belief)


# The rounds.


@pytest.mark.parametrize(("kind", "plan"), LOOPS)
def test_the_same_seed_goes_the_same_way(kind, plan):
    data = some_data()
    first, again = gone_round(kind, plan, data), gone_round(kind, plan, data)
    assert decisions(first) == decisions(again)
    assert [repr(result) for result in first.results] == [repr(result) for result in again.results]
    assert first.stopped == again.stopped


def assert_budget_is_kept(kind: type[Loop], plan: Plan) -> None:
    data = some_data()
    judge = judge_of(data)
    results = gone_round(kind, plan, data, judge).results
    calls, reviews = ([0, *(getattr(result, name) for result in results)] for name in ("judge_calls", "reviews"))
    assert calls[-1] == len(judge.asked)
    assert all(0 <= spent <= plan.judge_calls for spent in np.diff(calls))
    assert all(0 <= spent <= plan.reviews for spent in np.diff(reviews))


@pytest.mark.parametrize(("kind", "plan"), LOOPS)
@pytest.mark.parametrize(
    "budget",
    [
        pytest.param({}, id="as planned"),
        pytest.param({"judge_calls": 1000, "reviews": 1000}, id="more than there is to ask"),
        pytest.param({"judge_calls": 0, "reviews": 0, "audits": 0}, id="nothing"),
    ],
)
def test_no_round_spends_more_than_its_budget(kind, plan, budget):
    assert_budget_is_kept(kind, replace(plan, **budget))


@pytest.mark.parametrize("question", ["validate", "choose"])
@pytest.mark.parametrize(
    "budget",
    [
        pytest.param({"judge_calls": 13, "audits": 5}, id="shares that round up"),
        pytest.param({"judge_calls": 3, "audits": 5}, id="fewer calls than audits"),
        pytest.param({"reviews": 3, "audits": 5}, id="fewer reviews than audits"),
    ],
)
def test_no_round_spends_more_than_an_odd_budget(question, budget):
    assert_budget_is_kept(Loop, replace(PLAN, question=question, **budget))


@pytest.mark.parametrize(("kind", "plan"), LOOPS)
def test_no_question_is_put_twice_and_no_document_is_asked_about_too_often(kind, plan):
    data = some_data(scale=0.5)
    judge = judge_of(data, 0.6, 0.6)
    gone_round(kind, replace(plan, rounds=6, judge_calls=80), data, judge)
    assert max(Counter(judge.asked).values()) == 1
    times = Counter(document for document, _ in judge.asked)
    assert max(times.values()) == (MAX_QUESTIONS if kind is Loop and plan.question == "validate" else 1)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_goes_round(strategy):
    data = some_data()
    loop = gone_round(Loop, replace(PLAN, rounds=1, strategy=strategy), data)
    assert loop.results[0].judge_calls > 0


@pytest.mark.parametrize(("kind", "plan"), LOOPS)
def test_results_say_what_the_loop_decided(kind, plan):
    data = some_data()
    loop = gone_round(kind, plan, data)
    result = loop.results[-1]
    accepted = (loop.accepted != UNKNOWN) & (loop.human == UNKNOWN)
    assert np.array_equal(loop.human[loop.human != UNKNOWN], data.y_pool[loop.human != UNKNOWN])
    assert result.reviews == (loop.human != UNKNOWN).sum()
    assert result.accepted == accepted.sum()
    assert result.accepted_right == pytest.approx(
        (loop.accepted[accepted] == data.y_pool[accepted]).mean(), nan_ok=True
    )
    assert result.pool_labelled == pytest.approx(1 - result.uncertain / len(data.y_pool))
    assert all(0 <= share <= 1 for share in (result.heldout_accuracy, result.pool_labelled, result.pool_right))
    assert all(name in {f.name for f in fields(result)} for name in ("round", "judge_calls", "expected_gain"))


@pytest.mark.parametrize(("kind", "plan"), LOOPS)
def test_the_loop_says_when_and_why_it_ended(kind, plan):
    round_, reason = gone_round(kind, replace(plan, rounds=1), some_data()).stopped
    assert (round_, reason) == (1, "The planned rounds are over.")
    loop = gone_round(kind, replace(plan, rounds=20, judge_calls=500, reviews=500), some_data(scale=0.15))
    assert loop.stopped[0] == len(loop.results) < 20
    assert loop.stopped[1].endswith(".")
    assert loop.stopped[1] != "The planned rounds are over."


@pytest.mark.parametrize("question", ["validate", "choose"])
def test_a_perfect_judge_ends_with_everything_right(question):
    data = some_data(scale=0.15)
    plan = Plan(rounds=8, judge_calls=100, reviews=20, audits=5, question=question, threshold=0.97)
    result = gone_round(Loop, plan, data, judge_of(data, 1.0, 1.0)).results[-1]
    assert (result.pool_labelled, result.pool_right) == (1.0, 1.0)
    assert result.heldout_accuracy == 1.0


@pytest.mark.parametrize("random_state", range(3))
@pytest.mark.parametrize("question", ["validate", "choose"])
def test_a_judge_that_accepts_nearly_everything_is_found_out_or_does_no_harm(question, random_state):
    data = some_data(scale=0.45)
    plan = Plan(rounds=4, judge_calls=60, reviews=20, audits=10, question=question, random_state=random_state)
    for result in gone_round(Loop, plan, data, judge_of(data, 0.98, 0.3, random_state)).results:
        assert not result.certificate.holds or result.accepted_right >= 0.95


def test_audits_learn_what_the_judge_is_worth():
    data = some_data(scale=0.45)
    plan = Plan(rounds=4, judge_calls=60, reviews=30, audits=25)
    good, bad = (gone_round(Loop, plan, data, judge_of(data, 0.98, rate)).answers for rate in (0.98, 0.3))
    assert isinstance(good, Validating)
    assert isinstance(bad, Validating)
    assert bad.rates.specificity.mean < 0.75 < good.rates.specificity.mean
    assert not good.rates.sensitivity.is_prior


def test_the_last_fit_learns_what_the_loop_has_settled_without_asking():
    data = some_data(scale=0.45, n_pool=60)
    loop = gone_round(Loop, replace(PLAN, rounds=2), data, judge_of(data, 0.95, 0.95))
    assert isinstance(loop.fitted, RedClassifier)
    label, posterior = loop._best()
    assert 0 < loop.fitted.n_taught_ <= ((loop.known == UNKNOWN) & (posterior >= GRADUATED) & (label != NOISE)).sum()
    assert loop.results[-1].heldout_accuracy == loop._heldout_accuracy()
    articles = gone_round(ArticleLoop, replace(PLAN, strategy="entropy"), data).fitted
    assert isinstance(articles, RedClassifier)
    assert articles.n_taught_ == 0


def test_what_has_changed_is_refitted_until_the_examples_have_grown_by_so_much(monkeypatch):
    monkeypatch.setattr("classifiers.simulation.FULL_FIT_GROWTH", 1.5)
    data = some_data(n_pool=60)
    fits: list[str] = []

    class Watched(RedClassifier):
        def fit(self, *args, **kwargs):
            fits.append("fit")
            return super().fit(*args, **kwargs)

        def refit(self, *args, **kwargs):
            fits.append("refit")
            return super().refit(*args, **kwargs)

    plan = replace(PLAN, rounds=4, judge_calls=6, reviews=2, audits=2)
    loop = Loop(data, judge_of(data), lambda: Watched(subset_size=3, n_deals=1, noise_ratio=2.0), plan)
    list(loop.run())
    expected_fits, at = [], 0
    for n in loop.n_examples:
        full = n >= 1.5 * at
        expected_fits.append("fit" if full else "refit")
        at = n if full else at
    assert fits == expected_fits
    assert set(fits) == {"fit", "refit"}
