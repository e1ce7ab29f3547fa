"""The simulated loop: who sees the truth, what answers weigh, budgets kept, and a bad judge found out."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import astuple, dataclass, field, replace
from functools import cache
from typing import Self

import numpy as np
import pytest

from classifiers.ledger import Source
from classifiers.loop.asking import MAX_IN_A_ROW
from classifiers.query import STRATEGIES
from classifiers.red_classifier import GRADUATED, RedClassifier
from classifiers.reliability import N_OFFERED
from classifiers.simulation import CLAIMED_FROM, N_COPIED, UNKNOWN, ArticleLoop, CopyingJudge, Data, Judge, Loop, Plan
from classifiers.subset_classifier import NOISE
from tests.classifiers.clusters import N_DIMS, clusters, some_units

N_LABELS = 6
PLAN = Plan(rounds=3, judge_calls=30, reviews=10)
LOOPS = [
    pytest.param(Loop, PLAN, id="validate"),
    pytest.param(Loop, replace(PLAN, question="choose"), id="choose"),
    pytest.param(Loop, replace(PLAN, judge_calls=0), id="people"),
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
    on_trial: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)

    def on_seeds(self, data: Data) -> Self:
        return replace(super().on_seeds(data), asked=self.on_trial, on_trial=[])

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


@cache
def usual(kind: type[Loop], plan: Plan) -> Loop:
    """The loop on some data with the usual judge, gone round once for all tests that only look at it."""
    return gone_round(kind, plan, some_data())


def decisions(loop: Loop) -> list[object]:
    answers, book = (list(map(np.ndarray.tolist, vars(columns).values())) for columns in (loop.answers, loop.book))
    return [loop.human.tolist(), loop.accepted.tolist(), answers, repr(book)]


# Who sees the truth.


class Truth:
    """The true labels, and the functions that looked at them."""

    def __init__(self, labels: np.ndarray):
        self.labels = labels
        self.seen_by: set[str] = set()

    def __len__(self):
        return len(self.labels)

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
    data, loop = some_data(), usual(kind, plan)
    untouched = ~loop.judged & (loop.human == UNKNOWN)
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


# The rounds.


@pytest.mark.parametrize(("kind", "plan"), LOOPS)
def test_the_same_seed_goes_the_same_way(kind, plan):
    first, again = usual(kind, plan), gone_round(kind, plan, some_data())
    assert decisions(first) == decisions(again)
    assert [repr(result) for result in first.results] == [repr(result) for result in again.results]
    assert first.stopped == again.stopped


def assert_budget_is_kept(kind: type[Loop], plan: Plan) -> None:
    loop = usual(kind, plan)
    judge, results = loop.judge, loop.results
    calls, reviews = ([0, *(getattr(result, name) for result in results)] for name in ("judge_calls", "reviews"))
    assert calls[-1] == len(judge.asked) + len(judge.on_trial)
    # A refused label leads to the next, so that a round's calls are kept to on the average only.
    in_a_row = MAX_IN_A_ROW if kind is Loop and plan.question == "validate" else 1
    assert all(0 <= spent <= in_a_row * plan.judge_calls for spent in np.diff(calls))
    # A last audit may need a second look; the next round has one decision less for it.
    assert all(spent <= number * plan.reviews + 1 for number, spent in enumerate(reviews))
    assert (np.diff(reviews) >= 0).all()


@pytest.mark.parametrize(("kind", "plan"), LOOPS)
@pytest.mark.parametrize(
    "budget",
    [
        pytest.param({}, id="as planned"),
        pytest.param({"judge_calls": 1000, "reviews": 1000}, id="more than there is to ask"),
        pytest.param({"judge_calls": 0, "reviews": 0}, id="nothing"),
        pytest.param({"judge_calls": 1, "reviews": 1}, id="one"),
        pytest.param({"judge_calls": 13, "reviews": 3}, id="odd", marks=pytest.mark.slow),
        pytest.param({"judge_calls": 60, "reviews": 0}, id="nobody"),
    ],
)
def test_no_round_spends_more_than_its_budget(kind, plan, budget):
    assert_budget_is_kept(kind, replace(plan, **budget))


@pytest.mark.parametrize(("sensitivity", "specificity"), [(0.95, 0.95), (0.85, 0.85)])
def test_rounds_ask_about_as_many_questions_as_planned(sensitivity, specificity):
    data = some_data(scale=0.45, n_pool=60)
    plan = replace(PLAN, judge_calls=60)
    results = gone_round(Loop, plan, data, judge_of(data, sensitivity, specificity)).results
    assert results[-1].judge_calls == pytest.approx(plan.judge_calls * len(results), rel=0.3)


def test_without_questions_and_people_only_the_model_settles():
    loop = gone_round(Loop, replace(PLAN, judge_calls=0, reviews=0), some_data())
    assert (loop.results[-1].judge_calls, loop.results[-1].reviews, loop.results[-1].accepted) == (0, 0, 0)
    assert 0 < loop.results[-1].pool_labelled < 1
    assert loop.results[-1].certified == 0
    assert set(loop.book.source.tolist()) == {Source.MODEL}


@pytest.mark.parametrize(("kind", "plan"), LOOPS)
def test_no_question_is_put_twice_and_no_document_is_asked_about_too_often(kind, plan):
    data = some_data(scale=0.5)
    judge = judge_of(data, 0.6, 0.6)
    results = gone_round(kind, replace(plan, rounds=6, judge_calls=2 * plan.judge_calls), data, judge).results
    assert max(Counter(judge.asked).values(), default=1) == 1
    times = Counter(document for document, _ in judge.asked)
    often = MAX_IN_A_ROW * len(results) if kind is Loop and plan.question == "validate" else 1
    assert max(times.values(), default=1) <= often


def test_nobody_is_asked_about_what_a_person_has_decided():
    data = some_data(scale=0.5)
    decided: list[int] = []

    class Watched(Loop):
        def _put(self, documents, columns):
            assert not (self.human[documents] != UNKNOWN).any()
            return super()._put(documents, columns)

        def _person_says(self, documents, spot_check=False):
            decided.extend(documents.tolist())
            super()._person_says(documents, spot_check)

    loop = gone_round(Watched, replace(PLAN, rounds=5), data)
    assert max(Counter(decided).values()) == 1
    assert sorted(decided) == np.flatnonzero(loop.human != UNKNOWN).tolist()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_goes_round(strategy):
    data = some_data()
    loop = gone_round(Loop, replace(PLAN, rounds=1, strategy=strategy), data)
    assert loop.results[0].judge_calls > 0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_for_people_goes_round(strategy):
    data = some_data()
    loop = gone_round(Loop, replace(PLAN, rounds=1, judge_calls=0, people=strategy), data)
    assert loop.results[0].reviews == PLAN.reviews


@pytest.mark.parametrize(("kind", "plan"), LOOPS)
def test_results_say_what_the_loop_decided(kind, plan):
    data, loop = some_data(), usual(kind, plan)
    result, truth, book = loop.results[-1], data.y_pool, loop.book
    by_people = loop.human != UNKNOWN
    accepted = (loop.accepted != UNKNOWN) & ~by_people
    assert np.array_equal(loop.human[by_people], truth[by_people])
    assert result.reviews == by_people.sum() + result.audit_errors
    assert result.accepted == accepted.sum()
    right = (loop.accepted[accepted] == truth[accepted]).sum()
    assert right == (result.accepted and pytest.approx(result.accepted * result.accepted_right))
    assert result.pool_labelled == pytest.approx(1 - result.uncertain / len(truth))
    now = np.where(by_people, truth, loop.accepted)
    in_force = book.present & ~by_people[book.document]
    now[book.document[in_force]] = book.label[in_force]
    assert result.pool_labelled == pytest.approx((now != UNKNOWN).mean())
    assert result.pool_right == pytest.approx((now == truth)[now != UNKNOWN].mean())
    assert result.audits == book.audited.sum()
    assert result.certified == pytest.approx(len(set(book.document[book.covered].tolist())) / len(truth))
    shares = [value for value in astuple(result) if isinstance(value, float) and value != result.expected_gain]
    assert all(0 <= value <= 1 or np.isnan(value) for value in shares)


@pytest.mark.parametrize(("kind", "plan"), LOOPS)
def test_labels_teach_from_people_and_on_the_judges_word_alone(kind, plan):
    loop = usual(kind, plan)
    on_its_word = loop.accepted != UNKNOWN
    assert loop.judged[on_its_word].all()
    expected = np.where(loop.human != UNKNOWN, loop.human, loop.accepted)
    assert np.array_equal(loop.known, expected)


@pytest.mark.parametrize(("kind", "plan"), LOOPS)
def test_the_loop_says_when_and_why_it_ended(kind, plan):
    round_, reason = gone_round(kind, replace(plan, rounds=1), some_data()).stopped
    assert (round_, reason) == (1, "The planned rounds are over.")
    long = replace(plan, rounds=20, judge_calls=20 * plan.judge_calls, reviews=500)
    loop = gone_round(kind, long, some_data(scale=0.15))
    assert loop.stopped[0] == len(loop.results) < 20
    assert loop.stopped[1].endswith(".")
    assert loop.stopped[1] != "The planned rounds are over."


def test_a_loop_goes_on_until_everything_settled_is_certified():
    data = some_data(scale=0.15, n_pool=40)
    loop = gone_round(Loop, Plan(rounds=30, judge_calls=60, reviews=20), data, judge_of(data, 1.0, 1.0))
    last = loop.results[-1]
    assert loop.stopped[0] < 30
    assert last.certified_wrong == 0
    assert not (loop.book.present & ~loop.book.certified).any()
    assert last.certified == pytest.approx(last.pool_labelled, abs=0.2)


@pytest.mark.parametrize("question", ["validate", "choose"])
def test_a_perfect_judge_ends_with_everything_right(question):
    data = some_data(scale=0.15)
    plan = Plan(rounds=8, judge_calls=100, reviews=20, question=question, threshold=0.97)
    result = gone_round(Loop, plan, data, judge_of(data, 1.0, 1.0)).results[-1]
    assert (result.pool_right, result.heldout_accuracy) == (1.0, 1.0)
    assert not result.accepted or result.accepted_right == 1.0
    # What is left when the loop is over, people decide in less than a round.
    assert result.pool_labelled > 0.9


@pytest.mark.parametrize("random_state", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
@pytest.mark.parametrize("question", ["validate", "choose"])
def test_a_judge_that_accepts_nearly_everything_does_no_harm(question, random_state):
    data = some_data(scale=0.45)
    plan = Plan(rounds=4, judge_calls=60, reviews=20, question=question, random_state=random_state)
    for result in gone_round(Loop, plan, data, judge_of(data, 0.98, 0.3, random_state)).results:
        assert not result.certified or result.certified_wrong <= plan.limit


def test_decisions_tell_what_the_judge_is_worth():
    data = some_data(scale=0.45, n_pool=60)
    plan = Plan(rounds=4, judge_calls=60, reviews=40)
    good, bad = (gone_round(Loop, plan, data, judge_of(data, 0.98, rate)).reliability for rate in (0.98, 0.3))
    assert bad.specificity.mean < 0.75 < good.specificity.mean
    assert bad.n_weighed > 0 < good.n_weighed


# A judge that copies.


def test_a_copying_judge_says_what_most_of_the_nearest_seeds_are():
    data = some_data(scale=0.6)
    judge = CopyingJudge.of(data)
    assert judge.truth is data.y_pool
    for document in range(0, len(data.X_pool), 7):
        order = np.argsort(-(data.X @ data.X_pool[document]), kind="stable")[:N_COPIED]
        votes = Counter(data.y[order].tolist())
        most = max(votes.values())
        label = next(label for label in data.y[order].tolist() if votes[label] == most)
        assert [judge.is_valid(document, other) for other in range(N_LABELS)] == [
            other == label for other in range(N_LABELS)
        ]
        assert judge.choice(document, np.array([9, label, 8])) == 1
        assert judge.choice(document, np.array([9, 8])) == 2


def test_a_copying_judge_answers_like_one_that_is_always_right_about_what_it_copies():
    data = some_data()
    judge = CopyingJudge.of(data)
    same = Judge(judge.copied, 1.0, 1.0)
    for document in range(len(data.X_pool)):
        for label in range(N_LABELS):
            assert judge.is_valid(document, label) == same.is_valid(document, label)
        for offered in (np.arange(N_OFFERED), np.array([2]), np.array([5, 0])):
            assert judge.choice(document, offered) == same.choice(document, offered)


# What is claimed after the answers.


@pytest.mark.parametrize("question", ["validate", "choose"])
def test_claims_are_those_of_the_moment_of_the_answers(question):
    data = some_data(scale=0.5, n_pool=60)
    seen = []

    class Watched(Loop):
        def _ask(self):
            label, _ = self._best()
            batch = super()._ask()
            label_after, posterior = self._best()
            seen.append((batch, label[batch], label_after[batch], posterior[batch]))
            return batch

    loop = gone_round(Watched, replace(PLAN, question=question), data)
    document, before, after, posterior = map(np.concatenate, zip(*seen, strict=True))
    truth, result, sure = data.y_pool[document], loop.results[-1], posterior >= CLAIMED_FROM
    assert result.best_before == pytest.approx((before == truth).mean())
    assert result.best_after == pytest.approx((after == truth).mean())
    assert result.claimed == pytest.approx(posterior[sure].mean())
    assert result.claimed_right == pytest.approx((after == truth)[sure].mean())


def test_nothing_is_claimed_where_nobody_is_asked():
    result = gone_round(Loop, replace(PLAN, judge_calls=0), some_data()).results[-1]
    assert np.isnan([result.claimed, result.claimed_right, result.best_before, result.best_after]).all()


# Fits.


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

    plan = replace(PLAN, rounds=4, judge_calls=6, reviews=2)
    loop = Loop(data, judge_of(data), lambda: Watched(subset_size=3, n_deals=1, noise_ratio=2.0), plan)
    list(loop.run())
    expected_fits, at = [], 0
    for n in loop.n_examples:
        full = n >= 1.5 * at
        expected_fits.append("fit" if full else "refit")
        at = n if full else at
    assert fits == expected_fits
    assert set(fits) == {"fit", "refit"}
