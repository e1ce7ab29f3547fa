"""The whole loop in memory, on data whose labels are known: what the benchmark runs.

Only the simulated judge and the simulated reviewer see the true labels; the loop sees their answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import numpy as np

from classifiers.candidates import Candidates
from classifiers.ensemble import N_CANDIDATES
from classifiers.posterior import (
    after_choice,
    after_verdict,
    expected_choice_gain,
    expected_information_gain,
    none_factor,
    prior,
)
from classifiers.query import MIN_GAIN, Asked, audit_slice, choose
from classifiers.red_classifier import FULL_FIT_GROWTH, GRADUATED
from classifiers.reliability import (
    Certificate,
    Reliability,
    accept_from,
    certificate,
    choice_accuracy,
    expected,
    reliability,
    spare,
)
from classifiers.stopping import stop_reason
from classifiers.subset_classifier import NOISE

UNKNOWN = -2
# A refused candidate is followed by the next one, at most so many questions about a document in all.
MAX_QUESTIONS = 3
# Candidates that the judge chooses among, besides "none of these".
N_OFFERED = 5
# The batch goes out in waves, so that what the judge refuses can be asked about again in the same round.
WAVES = (0.7, 0.2, 0.1)


class Model(Protocol):
    """What the loop needs of a classifier; labels are codes 0 .. n_labels - 1."""

    def fit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        elsewhere: np.ndarray | None,
        pool: np.ndarray | None,
        names: np.ndarray | None,
    ) -> object: ...

    def refit(self, X: np.ndarray, y: np.ndarray, elsewhere: np.ndarray | None, names: np.ndarray | None) -> object: ...

    def train_itself(self, pool: np.ndarray, labels: np.ndarray, certain: np.ndarray) -> object: ...

    def candidates(self, X: np.ndarray, k: int) -> Candidates: ...


@dataclass(frozen=True)
class Data:
    """Seeds, pool and held-out texts as unit vectors (n, n_dims) and label codes; NOISE for texts of no label.

    ``names``: unit vectors of the labels' names in the order of their codes, or None.
    """

    X: np.ndarray
    y: np.ndarray
    X_pool: np.ndarray
    y_pool: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    names: np.ndarray | None = None


@dataclass(frozen=True)
class Judge:
    """Answers like a judge of known reliability; the same question always gets the same answer.

    In the ``choose`` form it is right with probability ``sensitivity``, its errors spread evenly.
    """

    truth: np.ndarray
    sensitivity: float
    specificity: float
    random_state: int = 0

    def is_valid(self, document: int, label: int) -> bool:
        luck = np.random.default_rng([self.random_state, document, label]).random()
        return bool(luck < self.sensitivity if self.truth[document] == label else luck >= self.specificity)

    def choice(self, document: int, offered: np.ndarray) -> int:
        """Return the position of the label chosen among ``offered``, len(offered) for none of these."""
        rng = np.random.default_rng([self.random_state, document])
        right = np.append(np.flatnonzero(offered == self.truth[document]), len(offered))[0]
        if rng.random() < self.sensitivity:
            return int(right)
        return int(rng.choice(np.delete(np.arange(len(offered) + 1), right)))


@dataclass(frozen=True)
class Plan:
    """How a loop goes about it.

    Attributes:
        rounds, judge_calls, reviews: how many rounds, and the most calls and reviews in each.
        audits: how many of the reviews are random and blind: half drawn from the whole pool, half from the batch.
        question: "validate" or "choose".
        strategy: a query strategy.
        threshold: posterior from which a label counts as settled.
        random_state: seed of batches and audits.
    """

    rounds: int = 8
    judge_calls: int = 400
    reviews: int = 40
    audits: int = 10
    question: str = "validate"
    strategy: str = "settling"
    threshold: float = 0.85
    random_state: int = 0


@dataclass(frozen=True)
class RoundResult:
    """The state after a round's answers are learnt; shares in [0, 1], counts since the start.

    Attributes:
        heldout_accuracy: of the model that has learnt them; after the last round, of the model that has also learnt
            the labels it is certain of itself.
        pool_labelled: share of the pool that would be exported as settled.
        pool_right: share of those that is right; NaN while there are none.
        accepted: documents settled on the judge's word.
        accepted_right: share of those that is right; NaN while there are none.
        uncertain: documents not settled.
        expected_gain: mean gain expected of the best next batch, nats a question.
        certificate: what the audits say of labels accepted on the judge's word.
    """

    round: int
    judge_calls: int
    reviews: int
    heldout_accuracy: float
    pool_labelled: float
    pool_right: float
    accepted: int
    accepted_right: float
    uncertain: int
    expected_gain: float
    certificate: Certificate


class Validating:
    """Binary questions, the article's: is this label valid? Up to MAX_QUESTIONS about a document."""

    def __init__(self, n_documents: int):
        self.labels = np.full((n_documents, MAX_QUESTIONS), UNKNOWN)
        self.valid = np.zeros((n_documents, MAX_QUESTIONS), dtype=bool)
        self.q = np.zeros((n_documents, MAX_QUESTIONS))
        self.n_answers = np.zeros(n_documents, dtype=int)
        self.measure(np.full(n_documents, UNKNOWN), {})

    def measure(self, human: np.ndarray, audits: dict[int, int]) -> None:
        """Learn the judge's reliability from what people said, UNKNOWN for nothing, shape (n_documents,).

        ``audits`` are the documents, and their labels, that they labelled with the verdict unseen.
        """
        counts = {(right, valid): 0 for right in (True, False) for valid in (True, False)}
        for document, label in audits.items():
            for turn in range(self.n_answers[document]):
                counts[bool(self.labels[document, turn] == label), bool(self.valid[document, turn])] += 1
        answered = self.n_answers[:, None] > np.arange(MAX_QUESTIONS)
        answered[list(audits)] = False
        said = np.where((human == UNKNOWN)[:, None], self.q, self.labels == human[:, None])
        self.rates = reliability(
            counts[True, True],
            counts[True, False],
            counts[False, False],
            counts[False, True],
            expected(said[answered], self.valid[answered]),
        )

    def questions(self, belief: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the column of the next candidate to ask about and what its verdict is expected to teach, in nats.

        A label is asked about once a document; the gain is -inf where nothing is left to ask.
        """
        open_ = np.where(self._asked(labels), -1.0, belief[:, :-1])
        column = open_.argmax(axis=1)
        q = np.take_along_axis(open_, column[:, None], axis=1)[:, 0]
        gain = expected_information_gain(np.maximum(q, 0), self.rates.sensitivity.mean, self.rates.specificity.mean)
        return column, np.where((q < 0) | (self.n_answers >= MAX_QUESTIONS), -np.inf, gain)

    def open_belief(self, belief: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Move what was asked about into the last column: those labels are nothing to ask about any more."""
        candidates = np.where(self._asked(labels), 0.0, belief[:, :-1])
        return np.hstack([candidates, 1 - candidates.sum(axis=1, keepdims=True)])

    def ask(self, judge: Judge, document: int, labels: np.ndarray, column: int, q: float) -> None:
        turn = self.n_answers[document]
        self.labels[document, turn], self.q[document, turn] = labels[column], q
        self.valid[document, turn] = judge.is_valid(document, int(labels[column]))
        self.n_answers[document] += 1

    def weigh(self, belief: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the belief after all answers; verdicts on labels that are no candidates any more don't count."""
        belief = belief.copy()
        for turn in range(MAX_QUESTIONS):
            is_candidate = (labels == self.labels[:, turn][:, None]) & (self.n_answers > turn)[:, None]
            rows = np.flatnonzero(is_candidate.any(axis=1))
            belief[rows] = after_verdict(
                belief[rows],
                is_candidate[rows].argmax(axis=1),
                self.valid[rows, turn],
                self.rates.sensitivity.mean,
                self.rates.specificity.mean,
            )
        return belief

    def _asked(self, labels: np.ndarray) -> np.ndarray:
        return (labels[:, :, None] == self.labels[:, None, :]).any(axis=2)


class Choosing:
    """One question a document: which of the best candidates is it, or none of these?"""

    def __init__(self, n_documents: int):
        self.offered = np.full((n_documents, N_OFFERED), UNKNOWN)
        self.chosen = np.full(n_documents, UNKNOWN)
        self.n_answers = np.zeros(n_documents, dtype=int)
        self.measure(np.full(n_documents, UNKNOWN), {})

    def measure(self, human: np.ndarray, audits: dict[int, int]) -> None:
        right = sum(self._is_right(document, label) for document, label in audits.items())
        rate = choice_accuracy(right, len(audits) - right)
        self.rates = Reliability(rate, rate)

    def questions(self, belief: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        offered = np.broadcast_to(np.arange(labels.shape[1]) < N_OFFERED, labels.shape)
        gain = expected_choice_gain(belief, offered, self.rates.sensitivity.mean)
        return np.zeros(len(belief), dtype=int), np.where(self.n_answers > 0, -np.inf, gain)

    def open_belief(self, belief: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """All of it: what was asked about once is not asked about again."""
        return belief

    def ask(self, judge: Judge, document: int, labels: np.ndarray, column: int, q: float) -> None:
        offered = labels[:N_OFFERED]
        self.offered[document, : len(offered)] = offered
        choice = judge.choice(document, offered)
        self.chosen[document] = offered[choice] if choice < len(offered) else NOISE
        self.n_answers[document] = 1

    def weigh(self, belief: np.ndarray, labels: np.ndarray) -> np.ndarray:
        belief = belief.copy()
        rows = np.flatnonzero(self.n_answers)
        offered = (labels[rows][:, :, None] == self.offered[rows][:, None, :]).any(axis=2)
        chosen = labels[rows] == self.chosen[rows][:, None]
        column = np.where(chosen.any(axis=1), chosen.argmax(axis=1), labels.shape[1])
        belief[rows] = after_choice(belief[rows], column, offered, self.rates.sensitivity.mean)
        return belief

    def _is_right(self, document: int, label: int) -> bool:
        there = label in self.offered[document]
        return bool(self.chosen[document] == (label if there else NOISE))


class Loop:
    """One simulated project. ``run`` yields a result after each round; ``stopped`` says when and why it ended."""

    def __init__(self, data: Data, judge: Judge, model: Callable[[], Model], plan: Plan):
        n = len(data.X_pool)
        self.data, self.judge, self.model, self.plan = data, judge, model, plan
        self.rng = np.random.default_rng(plan.random_state)
        self.answers: Validating | Choosing = Choosing(n) if plan.question == "choose" else Validating(n)
        self.human = np.full(n, UNKNOWN)
        self.accepted = np.full(n, UNKNOWN)
        self.audits: dict[int, int] = {}
        self.from_pool: set[int] = set()
        self.would_accept: dict[int, bool] = {}
        self.accept_from = plan.threshold
        self.expected_wrong = 0.0
        self.results: list[RoundResult] = []
        self.n_examples: list[int] = []
        self.fitted: Model
        self.n_fitted = 0
        self.stopped = (0, "")

    def run(self) -> Iterator[RoundResult]:
        """Go round until the plan's rounds are over or nothing more is to be gained."""
        self._learn()
        for number in range(1, self.plan.rounds + 1):
            self._audit()
            self._ask()
            self._settle()
            self._review()
            self._learn()
            self.results.append(self._result(number))
            reason = self._stop_reason()
            if reason or number == self.plan.rounds:
                self.stopped = (number, reason or "The planned rounds are over.")
                self._graduate()
            yield self.results[-1]
            if reason:
                return

    @property
    def known(self) -> np.ndarray:
        """Labels that are learnt from: people's, then those settled on the judge's word; UNKNOWN for the rest."""
        return np.where(self.human != UNKNOWN, self.human, self.accepted)

    def _learn(self) -> None:
        known, data = self.known, self.data
        taught = np.flatnonzero(known >= 0)
        X = np.concatenate([data.X, data.X_pool[taught]])
        y = np.concatenate([data.y, known[taught]])
        elsewhere = data.X_pool[known == NOISE]
        self.n_examples.append(len(X) + len(elsewhere))
        if self.n_examples[-1] < FULL_FIT_GROWTH * self.n_fitted:
            self.fitted.refit(X, y, elsewhere=elsewhere, names=data.names)
        else:
            self.fitted, self.n_fitted = self.model(), self.n_examples[-1]
            self.fitted.fit(X, y, elsewhere=elsewhere, pool=data.X_pool[known == UNKNOWN], names=data.names)
        self.found = self.fitted.candidates(data.X_pool, N_CANDIDATES)
        self._believe()

    def _graduate(self) -> None:
        """Fit for the last time, on what the model itself has settled too; that is the model to keep."""
        label, posterior = self._best()
        free = self.known == UNKNOWN
        certain = (posterior >= GRADUATED) & (label != NOISE)
        self.fitted.train_itself(self.data.X_pool[free], label[free], certain[free])
        self.results[-1] = replace(self.results[-1], heldout_accuracy=self._heldout_accuracy())

    def _heldout_accuracy(self) -> float:
        labels = self.fitted.candidates(self.data.X_test, 1).labels[:, 0]
        return float((labels == self.data.y_test).mean())

    def _believe(self) -> None:
        """Bring the judge's reliability and the beliefs up to date: what the model says, then every answer."""
        self.answers.measure(self.human, self.audits)
        from_pool = [label for document, label in self.audits.items() if document in self.from_pool]
        factor = none_factor(self.found.probabilities, from_pool.count(NOISE), len(from_pool))
        self.belief = self.answers.weigh(prior(self.found.probabilities, factor), self.found.labels)

    def _best(self) -> tuple[np.ndarray, np.ndarray]:
        """Label and posterior of each document's best candidate; NOISE where none of these is most probable."""
        column = self.belief.argmax(axis=1)
        labels = np.hstack([self.found.labels, np.full((len(self.belief), 1), NOISE)])
        rows = np.arange(len(self.belief))
        return labels[rows, column], self.belief[rows, column]

    def _audit(self) -> None:
        """Draw a random slice of what no person has labelled, and ask about it; people will label it unseen."""
        free = np.flatnonzero(self.human == UNKNOWN)
        size = min(self.plan.audits, self.plan.judge_calls, self.plan.reviews)
        self.n_checks = size // 2
        self.sure_alone = self._best()[1] >= self.plan.threshold
        self.drawn = free[audit_slice(len(free), size - self.n_checks, int(self.rng.integers(2**31)))]
        self.from_pool.update(self.drawn.tolist())
        columns, _ = self.answers.questions(self.belief, self.found.labels)
        for document in self.drawn[self.answers.n_answers[self.drawn] == 0]:
            self._put(document, columns[document])
        self._believe()

    def _decide_audits(self) -> None:
        """Have people label the audits, and note whether those that the judge's word would settle are right."""
        label, posterior = self._best()
        label = np.where(self.accepted == UNKNOWN, label, self.accepted)
        on_its_word = (posterior >= self._accept_from(posterior)) & ~self.sure_alone
        on_its_word |= self.accepted != UNKNOWN
        for document in self.drawn:
            truth = self._person_says(document)
            self.audits[document] = truth
            if on_its_word[document]:
                self.would_accept[document] = bool(label[document] == truth)
        self._believe()

    def _put(self, document: int, column: int) -> None:
        """Put the question about one candidate to the judge."""
        q = float(self.belief[document, column])
        self.answers.ask(self.judge, document, self.found.labels[document], column, q)

    def _person_says(self, document: int) -> int:
        self.human[document] = self.judge.truth[document]
        return int(self.human[document])

    def _ask(self) -> None:
        budget = self.plan.judge_calls - len(self.drawn)
        ends = [round(share * budget) for share in np.cumsum((0, *WAVES))]
        for start, end in pairwise(ends):
            columns, gain = self.answers.questions(self.belief, self.found.labels)
            free = np.setdiff1d(np.flatnonzero((self.known == UNKNOWN) & (gain > -np.inf)), self.drawn)
            batch = self._choose(free, end - start)
            for document in batch:
                self._put(document, columns[document])
            if start == 0:
                checks = audit_slice(len(batch), self.n_checks, int(self.rng.integers(2**31)))
                self.drawn = np.append(self.drawn, batch[checks])
            self._believe()

    def _choose(self, free: np.ndarray, size: int) -> np.ndarray:
        rates = self.answers.rates
        threshold = self.plan.threshold
        _, posterior = self._best()
        asked = Asked(
            self.answers.open_belief(self.belief, self.found.labels)[free],
            self.found.entropy[free],
            rates.sensitivity.mean,
            rates.specificity.mean,
            posterior[free] >= threshold,
            threshold,
            self.plan.question,
        )
        seed = int(self.rng.integers(2**31))
        return free[choose(asked, self.plan.strategy, size, seed, X=self.data.X_pool[free])]

    def _settle(self) -> None:
        self._decide_audits()
        label, posterior = self._best()
        self.accept_from = self._accept_from(posterior)
        settled = (self.answers.n_answers > 0) & self._sure() & (self.known == UNKNOWN)
        self.expected_wrong += float((1 - posterior[settled]).sum())
        self.accepted = np.where(settled, label, self.accepted)

    def _accept_from(self, posterior: np.ndarray) -> float:
        judged = (self.answers.n_answers > 0) & (self.known == UNKNOWN)
        n_accepted = int((self.accepted != UNKNOWN).sum())
        return accept_from(posterior[judged], self.plan.threshold, spare(n_accepted, self.expected_wrong))

    def _sure(self) -> np.ndarray:
        """Which documents count as settled: the model's own word needs less than the judge's."""
        _, posterior = self._best()
        return posterior >= np.where(self.answers.n_answers > 0, self.accept_from, self.plan.threshold)

    def _review(self) -> None:
        """People label what was judged and is still unsure.

        All their time goes to what the judge can help no further with, if need be; what it may still settle, or has
        and waits to be accepted, gets two fifths of it at most: the next round may do without people.
        """
        room = self.plan.reviews - len(self.drawn)
        _, gain = self.answers.questions(self.belief, self.found.labels)
        _, posterior = self._best()
        open_ = self._judged_but_unsure()
        is_stuck = (gain[open_] < MIN_GAIN) & (posterior[open_] < self.plan.threshold)
        stuck = open_[is_stuck][:room]
        hopeful = open_[~is_stuck][: max(2 * room // 5 - len(stuck), 0)]
        for document in (*stuck, *hopeful):
            self._person_says(document)

    def _judged_but_unsure(self) -> np.ndarray:
        """What the judge's answers have not settled, the least certain first."""
        _, posterior = self._best()
        open_ = np.flatnonzero((self.answers.n_answers > 0) & (self.known == UNKNOWN) & ~self._sure())
        return open_[np.argsort(posterior[open_], kind="stable")]

    def _result(self, number: int) -> RoundResult:
        label, _ = self._best()
        known, truth = self.known, self.judge.truth
        settled = (known != UNKNOWN) | self._sure()
        label = np.where(known != UNKNOWN, known, label)
        accepted = (self.accepted != UNKNOWN) & (self.human == UNKNOWN)
        _, gain = self.answers.questions(self.belief, self.found.labels)
        next_batch = -np.sort(-gain[~settled])[: self.plan.judge_calls]
        errors = sum(not right for right in self.would_accept.values())
        return RoundResult(
            round=number,
            judge_calls=int(self.answers.n_answers.sum()),
            reviews=int((self.human != UNKNOWN).sum()),
            heldout_accuracy=self._heldout_accuracy(),
            pool_labelled=float(settled.mean()),
            pool_right=_share(label[settled] == truth[settled]),
            accepted=int(accepted.sum()),
            accepted_right=_share(self.accepted[accepted] == truth[accepted]),
            uncertain=int((~settled).sum()),
            expected_gain=float(np.maximum(next_batch, 0).mean()) if len(next_batch) else 0.0,
            certificate=certificate(len(self.would_accept), errors),
        )

    def _stop_reason(self) -> str | None:
        uncertain = [result.uncertain for result in self.results]
        # Where the judge has nothing more to tell, people may have.
        done = not self.plan.reviews or not len(self._judged_but_unsure())
        gains = [result.expected_gain for result in self.results] if done else None
        return stop_reason(uncertain, self.n_examples[1:], question=self.plan.question, gains=gains)


def _share(right: np.ndarray) -> float:
    return float(right.mean()) if len(right) else float("nan")


class ArticleLoop(Loop):
    """The article's loop: what is most uncertain is judged once, what is judged valid is settled, the rest reviewed.

    It knows binary questions only.
    """

    answers: Validating

    def _believe(self) -> None:
        self.belief = prior(self.found.probabilities)

    def _best(self) -> tuple[np.ndarray, np.ndarray]:
        return self.found.labels[:, 0], self.found.probabilities[:, 0]

    def _audit(self) -> None:
        """The article knows no audits."""
        self.drawn = np.empty(0, dtype=int)

    def _ask(self) -> None:
        free = np.flatnonzero((self.known == UNKNOWN) & (self.answers.n_answers == 0))
        self.batch = self._choose(free, self.plan.judge_calls)
        for document in self.batch:
            self._put(document, 0)

    def _settle(self) -> None:
        valid = self.batch[self.answers.valid[self.batch, 0]]
        self.accepted[valid] = self.answers.labels[valid, 0]

    def _review(self) -> None:
        refused = np.flatnonzero((self.answers.n_answers > 0) & (self.known == UNKNOWN))
        for document in refused[np.argsort(-self.found.entropy[refused], kind="stable")][: self.plan.reviews]:
            self._person_says(document)

    def _graduate(self) -> None:
        """The article knows no last fit."""
