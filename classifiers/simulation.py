"""The whole loop in memory, on data whose labels are known: what the benchmark runs.

Only the simulated judge and the simulated reviewers see the true labels; the loop sees their answers. What it makes of
them is decided in classifiers.loop, as in the web app.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import numpy as np

from classifiers.candidates import Candidates
from classifiers.certificate import LEVEL, LIMIT, level_of
from classifiers.ensemble import N_CANDIDATES
from classifiers.ledger import Look, Source, State
from classifiers.loop import asking, reviewing, settling, trying
from classifiers.loop.believing import UNKNOWN, Answer, Answers, Factors, asked, best, next_question, weigh
from classifiers.loop.book import Book, Branches
from classifiers.loop.trying import Trial
from classifiers.neighbours import nearest
from classifiers.posterior import prior
from classifiers.query import Asked, audit_slice, choose
from classifiers.red_classifier import FULL_FIT_GROWTH, GRADUATED
from classifiers.reliability import N_OFFERED, Rates, Reliability, Said, measure
from classifiers.stopping import stop_reason
from classifiers.subset_classifier import NOISE
from classifiers.trees import Tree

NOTHING_SAID = Said(np.empty(0), np.empty(0, dtype=bool), np.empty(0), np.empty(0, dtype=bool))
# Seeds that a copying judge looks at.
N_COPIED = 5
# What is believed of a label from this probability on is compared with what is right.
CLAIMED_FROM = 0.85


class Model(Protocol):
    """What the loop needs of a classifier; labels are codes 0 .. n_labels - 1."""

    def fit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        elsewhere: np.ndarray | None,
        pool: np.ndarray | None,
        names: np.ndarray | None,
        texts: np.ndarray | None,
        elsewhere_texts: np.ndarray,
        pool_texts: np.ndarray | None,
        label_texts: list[str] | None,
    ) -> object: ...

    def refit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        elsewhere: np.ndarray | None,
        names: np.ndarray | None,
        texts: np.ndarray | None,
        elsewhere_texts: np.ndarray,
        label_texts: list[str] | None,
    ) -> object: ...

    def train_itself(
        self, pool: np.ndarray, labels: np.ndarray, certain: np.ndarray, texts: np.ndarray | None
    ) -> object: ...

    def candidates(self, X: np.ndarray, k: int, texts: np.ndarray | None) -> Candidates: ...

    def left_out(self, X: np.ndarray, y: np.ndarray, k: int) -> Candidates | None: ...


@dataclass(frozen=True)
class Data:
    """Seeds, pool and held-out texts as unit vectors (n, n_dims) and label codes; NOISE for texts of no label.

    Attributes:
        names: unit vectors of the labels' names in the order of their codes, or None.
        texts, texts_pool, texts_test: row by row the texts, arrays of objects; or None, all three.
        label_texts: what the labels are called, in the order of their codes, or None.
        tree: of the labels' codes and of their parents, whose codes come after; None where no label has a parent.
    """

    X: np.ndarray
    y: np.ndarray
    X_pool: np.ndarray
    y_pool: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    names: np.ndarray | None = None
    texts: np.ndarray | None = None
    texts_pool: np.ndarray | None = None
    texts_test: np.ndarray | None = None
    label_texts: list[str] | None = None
    tree: Tree | None = None


@dataclass(frozen=True)
class Judge:
    """Answers like a judge of known reliability; the same question always gets the same answer.

    In the ``choose`` form it is right with probability ``sensitivity``, its errors spread evenly.
    """

    truth: np.ndarray
    sensitivity: float
    specificity: float
    random_state: int = 0

    def on_seeds(self, data: Data) -> Self:
        """The same judge, asked about the seeds."""
        return replace(self, truth=data.y, random_state=self.random_state + 1)

    def is_valid(self, document: int, label: int) -> bool:
        luck = np.random.default_rng([self.random_state, document, label]).random()
        return bool(luck < self.sensitivity if self.truth[document] == label else luck >= self.specificity)

    def choice(self, document: int, offered: np.ndarray) -> int:
        """Return the position of the label chosen among ``offered``, len(offered) for none of these."""
        rng = np.random.default_rng([self.random_state, document])
        options = np.append(np.sort(offered), NOISE)
        right = self.truth[document] if self.truth[document] in offered else NOISE
        chosen = right if rng.random() < self.sensitivity else rng.choice(options[options != right])
        return int(np.append(np.flatnonzero(offered == chosen), len(offered))[0])


@dataclass(frozen=True)
class CopyingJudge:
    """Knows no more than the model: calls right what most of the nearest seeds are.

    Attributes:
        truth: what people say, as of Judge.
        copied: label code that it holds to be right, for each document of the pool, shape (n_pool,).
    """

    truth: np.ndarray
    copied: np.ndarray

    @classmethod
    def of(cls, data: Data) -> CopyingJudge:
        """Let the N_COPIED nearest seeds vote; among equals the nearest decides."""
        positions, _ = nearest(data.X_pool, data.X, N_COPIED)
        return cls(data.y_pool, _most_voted(data.y[positions]))

    def on_seeds(self, data: Data) -> CopyingJudge:
        """The same judge, asked about the seeds: each looks at the others."""
        positions, _ = nearest(data.X, data.X, N_COPIED + 1)
        itself = positions == np.arange(len(data.X))[:, None]
        # Of equal texts another may stand in its place.
        itself[~itself.any(axis=1), -1] = True
        return CopyingJudge(data.y, _most_voted(data.y[positions[~itself]].reshape(len(data.X), N_COPIED)))

    def is_valid(self, document: int, label: int) -> bool:
        return bool(self.copied[document] == label)

    def choice(self, document: int, offered: np.ndarray) -> int:
        """As of Judge."""
        return int(np.append(np.flatnonzero(offered == self.copied[document]), len(offered))[0])


def _most_voted(votes: np.ndarray) -> np.ndarray:
    """The commonest label of each row, of equals the first; shape (n, k) -> (n,)."""
    count = (votes[:, :, None] == votes[:, None, :]).sum(axis=2)
    return votes[np.arange(len(votes)), count.argmax(axis=1)]


@dataclass(frozen=True)
class Plan:
    """How a loop goes about it.

    Attributes:
        rounds, judge_calls, reviews: how many rounds, and about how many calls and at most how many reviews in each.
            Without calls there is no judge, and people alone decide.
        question: "validate" or "choose".
        strategy: query strategy for the judge's questions.
        people: query strategy for people's.
        threshold: posterior from which a label counts as settled on the judge's word.
        limit: the largest share wrong of what is settled.
        level: of the certificate.
        random_state: seed of batches, audits and spot checks.
    """

    rounds: int = 8
    judge_calls: int = 400
    reviews: int = 40
    question: str = "validate"
    strategy: str = "settling"
    people: str = "margin"
    threshold: float = 0.85
    limit: float = LIMIT
    level: float = LEVEL
    random_state: int = 0


@dataclass(frozen=True)
class LevelResult:
    """How far one level of the tree is; shares of the pool but for ``right`` and ``certified_wrong``.

    Attributes:
        coded: texts with a settled or decided label on the level or below it.
        right: share of those whose label on the level is right; NaN while there are none.
        certified: texts that the level's own certificate covers.
        certified_wrong: share of those with a wrong label on the level; NaN while there are none.
        bound: at most this share of what has entered the level's ledger is wrong.
    """

    coded: float
    right: float
    certified: float
    certified_wrong: float
    bound: float


@dataclass(frozen=True)
class RoundResult:
    """The state after a round's answers are learnt; shares in [0, 1], counts since the start.

    Attributes:
        heldout_accuracy: of the model that has learnt them; after the last round, of the model that has also learnt
            the labels it is certain of itself.
        pool_labelled: share of the pool that would be exported as settled or decided by people; in a tree at any level.
        pool_right: share of those that is right, as far down as it says; NaN while there are none.
        accepted: documents settled on the judge's word.
        accepted_right: share of those that is right; NaN while there are none.
        uncertain: documents neither settled nor decided.
        expected_gain: mean gain expected of the judge's best next batch, nats a question.
        certified: share of the pool that a certificate covers.
        certified_wrong: share of that which is wrong; NaN while there is none.
        audits, audit_errors: of the ledger, decided.
        bound: at most this share of what has entered the ledger is wrong.
        claimed, claimed_right: of the labels that were believed with CLAIMED_FROM or more after the answers about a
            document: mean of that belief, and share that is right; NaN while there are none. Beliefs are those of the
            moment, before anything was learnt from the answers.
        best_before, best_after: share of the documents asked about whose most probable label was right before a
            round's answers and after them; NaN while there are none.
        levels: in a tree, each level from the top.
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
    certified: float
    certified_wrong: float
    audits: int
    audit_errors: int
    bound: float
    claimed: float
    claimed_right: float
    best_before: float
    best_after: float
    levels: list[LevelResult] = field(default_factory=list)


@dataclass(frozen=True)
class Claims:
    """What was believed of the documents asked about, an entry for each of a round's batch; shapes (n,).

    Attributes:
        document: positions.
        before, after: most probable label before the round's answers and after them.
        posterior: of the latter.
    """

    document: np.ndarray
    before: np.ndarray
    after: np.ndarray
    posterior: np.ndarray

    def plus(self, others: Claims) -> Claims:
        pairs = zip(vars(self).values(), vars(others).values(), strict=True)
        return Claims(*(np.concatenate(pair) for pair in pairs))


class Loop:
    """One simulated project. ``run`` yields a result after each round; ``stopped`` says when and why it ended."""

    def __init__(self, data: Data, judge: Judge | CopyingJudge, model: Callable[[], Model], plan: Plan):
        n = len(data.X_pool)
        self.data, self.judge, self.model, self.plan = data, judge, model, plan
        self.number = 0
        self.checks = np.empty(0, dtype=int)
        self.answers = Answers.of([])
        self.believed = np.empty(0)
        self.tried = NOTHING_SAID
        self.claims = Claims(np.empty(0, dtype=int), np.empty(0, dtype=int), np.empty(0, dtype=int), np.empty(0))
        self.human = np.full(n, UNKNOWN)
        self.spot_checked = np.zeros(n, dtype=bool)
        self.from_pool = np.zeros(n, dtype=bool)
        self.off_list = np.zeros(n, dtype=bool)
        self.accepted = np.full(n, UNKNOWN)
        self.book = Book()
        self.look = self.book.look(plan.limit, level_of(0, plan.level))
        self.looks: list[Look] = []
        self.has_held = False
        self.n_reviews = 0
        self.results: list[RoundResult] = []
        self.n_examples: list[int] = []
        self.uncertain: list[int] = []
        self.over: str | None = None
        self.fitted: Model
        self.n_fitted = 0
        self.stopped = (0, "")

    def run(self) -> Iterator[RoundResult]:
        """Go round until the plan's rounds are over or nothing more is to be gained."""
        self._learn()
        for number in range(1, self.plan.rounds + 1):
            self.number = number
            batch = self._ask() if self.plan.judge_calls and not self.over else np.empty(0, dtype=int)
            self._settle()
            self._enter()
            self._review(batch)
            self._learn()
            self._look()
            self.results.append(self._result(number))
            if (done := self._done()) or number == self.plan.rounds:
                self.stopped = (number, (done and self.over) or "The planned rounds are over.")
                self._graduate()
            yield self.results[-1]
            if done:
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
        learning = {
            "elsewhere": data.X_pool[known == NOISE],
            "names": data.names,
            "label_texts": data.label_texts,
            "texts": None,
            "elsewhere_texts": np.empty(0, dtype=object),
        }
        if data.texts is not None and data.texts_pool is not None:
            learning["texts"] = np.concatenate([data.texts, data.texts_pool[taught]])
            learning["elsewhere_texts"] = data.texts_pool[known == NOISE]
        self.n_examples.append(len(X) + int((known == NOISE).sum()))
        if self.n_examples[-1] < FULL_FIT_GROWTH * self.n_fitted:
            self.fitted.refit(X, y, **learning)
        else:
            self.fitted, self.n_fitted = self.model(), self.n_examples[-1]
            free = known == UNKNOWN
            self.fitted.fit(X, y, pool=data.X_pool[free], pool_texts=_some(data.texts_pool, free), **learning)
        self.found = self.fitted.candidates(data.X_pool, N_CANDIDATES, data.texts_pool)
        self.reliability = self._reliability()
        self._believe()

    def _graduate(self) -> None:
        """Fit for the last time, on what the model itself has settled too; that is the model to keep."""
        label, posterior = self._best()
        free = self.known == UNKNOWN
        certain = (posterior >= GRADUATED) & (label != NOISE)
        texts = _some(self.data.texts_pool, free)
        self.fitted.train_itself(self.data.X_pool[free], label[free], certain[free], texts=texts)
        self.results[-1] = replace(self.results[-1], heldout_accuracy=self._heldout_accuracy())

    def _heldout_accuracy(self) -> float:
        labels = self.fitted.candidates(self.data.X_test, 1, self.data.texts_test).labels[:, 0]
        return float((labels == self.data.y_test).mean())

    def _reliability(self) -> Reliability:
        """The judge's, from what it said and what people decided."""
        answers, human = self.answers, self.human[self.answers.document]
        right = np.where(human == UNKNOWN, np.nan, _right(answers, human))
        said = Said(self.believed, answers.valid, right, self.spot_checked[answers.document])
        return measure(self.tried.plus(said), self.plan.question)

    @property
    def rates(self) -> Rates:
        return self.reliability.of(self.plan.question)

    def _believe(self) -> None:
        """Bring the beliefs up to date: what the model says, then every answer."""
        known, found = self.known, self.found
        n_labels = int(self.data.y.max()) + 1
        n_known = np.bincount(known[known >= 0], minlength=n_labels)
        free = found[known == UNKNOWN]
        factors = Factors.of(
            free.probabilities,
            free.labels,
            np.bincount(self.data.y, minlength=n_labels) + n_known,
            n_known,
            (int(self.off_list[self.from_pool].sum()), int(self.from_pool.sum())),
        )
        before = factors.prior(found.probabilities, found.labels)
        self.belief = weigh(before, self.found.labels, self.answers, [self.rates])
        self.asked = asked(self.found.labels, self.answers)

    def _best(self) -> tuple[np.ndarray, np.ndarray]:
        """Label and posterior of each document's best candidate; NOISE where none of these is most probable."""
        return best(self.belief, self.found.labels, NOISE)

    @property
    def judged(self) -> np.ndarray:
        """Documents that the judge was asked about."""
        return np.isin(np.arange(len(self.human)), self.answers.document)

    @property
    def settled(self) -> np.ndarray:
        """Documents whose label the machine has settled, no parent of it alone, and no person has decided on."""
        final = self.book.document[self.book.present & ~self.book.is_parent]
        return np.isin(np.arange(len(self.human)), final) & (self.human == UNKNOWN)

    def _ask(self) -> np.ndarray:
        """Ask the judge about a batch, and at once about the next label where it refuses one; return the batch."""
        if not asking.tells_something(self.rates, self.plan.question):
            return np.empty(0, dtype=int)
        trial = self._trial()
        free = np.flatnonzero((self.known == UNKNOWN) & ~self.asked.all(axis=1))
        chosen = asking.batch(
            self.belief[free],
            self.asked[free],
            self.found.entropy[free],
            self.settled[free],
            self.rates,
            strategy=self.plan.strategy,
            question=self.plan.question,
            threshold=self.plan.threshold,
            calls=self.plan.judge_calls - len(trial or ()),
            random_state=self._seed(),
            X=self.data.X_pool,
            rows=free,
        )
        if trial:
            self._try(trial)
            if not asking.tells_something(self.rates, self.plan.question):
                return np.empty(0, dtype=int)
        batch = ask = free[chosen]
        self.checks = batch[audit_slice(len(batch), reviewing.spot_checks(self.plan.reviews), self._seed())]
        before, _ = self._best()
        in_a_row = 0
        while len(ask):
            column, _ = next_question(self.belief, self.asked, self.rates, self.plan.question)
            refused = ask[~self._put(ask, column[ask])]
            in_a_row += 1
            self._believe()
            _, gain = next_question(self.belief, self.asked, self.rates, self.plan.question)
            ask = refused[asking.delegates(gain[refused], in_a_row)]
        after, posterior = self._best()
        self.claims = self.claims.plus(Claims(batch, before[batch], after[batch], posterior[batch]))
        return batch

    def _trial(self) -> Trial | None:
        """What to try the judge on, before it is asked for the first time."""
        if len(self.answers) or len(self.tried.valid):
            return None
        y = self.data.y
        rows = trying.looked_at(y, self.plan.random_state)
        found = self.fitted.left_out(self.data.X[rows], y[rows], N_CANDIDATES) if len(rows) else None
        return trying.trial(rows, y[rows], found, self.plan.judge_calls) if found else None

    def _try(self, trial: Trial) -> None:
        """Ask about examples, and measure the judge by their labels."""
        judge, asks = self.judge.on_seeds(self.data), self._form
        rows = zip(trial.rows.tolist(), trial.labels, trial.belief, strict=True)
        said = [asks(judge, row, labels, belief, 0) for row, labels, belief in rows]
        answers = Answers.of([answer for answer, _ in said])
        right = _right(answers, self.data.y[answers.document])
        believed = np.array([belief for _, belief in said])
        self.tried = Said(believed, answers.valid, right.astype(float), np.ones(len(said), dtype=bool))
        self.reliability = self._reliability()

    def _put(self, documents: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Put a question about each document to the judge; return which labels it calls valid."""
        asks, found, belief = self._form, self.found.labels, self.belief
        rows = zip(documents.tolist(), columns.tolist(), strict=True)
        said = [asks(self.judge, document, found[document], belief[document], column) for document, column in rows]
        new = Answers.of([answer for answer, _ in said])
        self.answers = self.answers.plus(new)
        self.believed = np.append(self.believed, [believed for _, believed in said])
        return new.valid

    @property
    def _form(self) -> Callable[[Judge | CopyingJudge, int, np.ndarray, np.ndarray, int], tuple[Answer, float]]:
        return _choice if self.plan.question == "choose" else _verdict

    def _settle(self) -> None:
        plan, book = self.plan, self.book
        # What people decide on unseen waits for them.
        waiting = np.append(book.document[book.waiting], self.checks)
        rows = np.setdiff1d(np.flatnonzero(self.known == UNKNOWN), waiting)
        label, posterior = (column[rows] for column in self._best())
        branches = self._branches(rows, label)
        judged = self.judged[rows] & settling.confirms(self.rates, plan.question)
        new = book.settle(rows, label, posterior, judged, plan.threshold, plan.limit, branches)
        on_its_word = new[(book.source[new] == Source.JUDGE) & ~book.is_parent[new]]
        self.accepted[book.document[on_its_word]] = book.label[on_its_word]

    def _branches(self, rows: np.ndarray, label: np.ndarray) -> Branches | None:
        if (tree := self.data.tree) is None:
            return None
        return Branches.of(tree, label, *tree.paths(self.found.labels[rows], self.belief[rows, :-1]))

    def _enter(self) -> None:
        """See whether there is still something to learn, and let labels enter the ledger."""
        self.uncertain.append(int(((self.known == UNKNOWN) & ~self.settled).sum()))
        self.over = self.over or stop_reason(self.uncertain, self.n_examples, question=self.plan.question)
        waits = not self.over and len(self.uncertain) <= reviewing.PATIENCE
        self.book.enter(self.plan.limit, self.look.holds, waits, [self.plan.random_state, 0])
        self._look()

    def _look(self) -> None:
        self.look = self.book.look(self.plan.limit, level_of(0, self.plan.level))
        self.has_held |= self.look.holds
        self.looks = [
            self._look_on(depth) for depth in range(1, 1 + (self.data.tree.n_levels if self.data.tree else 0))
        ]

    def _look_on(self, depth: int) -> Look:
        """Look at one level of the tree."""
        book, state = self.book, self.book.state.copy()
        audited = np.flatnonzero(book.audited)
        right = self._is_right(book.label[audited], self.human[book.document[audited]], depth)
        state[audited] = np.where(right, State.RIGHT, State.WRONG)
        return book.look_on(depth, state, self.plan.limit, level_of(0, self.plan.level))

    def _is_right(self, label: np.ndarray, truth: np.ndarray, depth: int | None = None) -> np.ndarray:
        """Which labels are right as far down as they say, or on one level of the tree."""
        if (tree := self.data.tree) is None:
            return label == truth
        level = np.maximum(tree.depth(label), 1) if depth is None else depth
        return tree.lifted(label, level) == tree.lifted(truth, level)

    def _review(self, batch: np.ndarray) -> None:
        """Have people decide: audits, spot checks, then what teaches most."""
        plan, book = self.plan, self.book
        shares = reviewing.share_out(
            plan.reviews,
            self.look if book.entered.any() else None,
            has_held=self.has_held,
            n_outside=int((book.present & ~book.entered).sum()),
            asks=len(batch) > 0,
            learns=not self.over,
        )
        audits = book.draw(shares.audits)
        undecided = np.setdiff1d(np.flatnonzero(self.human == UNKNOWN), book.document[audits])
        drawn = undecided[audit_slice(len(undecided), shares.from_pool, self._seed())]
        open_ = np.flatnonzero((self.known == UNKNOWN) & ~self.settled)
        open_ = np.setdiff1d(open_, np.concatenate([book.document[audits], drawn, self.checks]))
        chosen = reviewing.questions(
            self.belief[open_],
            self.found.entropy[open_],
            shares.questions_beside(len(audits)),
            plan.people,
            self._seed(),
            self.data.X_pool[open_],
        )
        self._decide_audits(audits)
        self._decide(drawn, spot_check=True)
        self.from_pool[drawn] = True
        self._decide(self.checks[self.human[self.checks] == UNKNOWN], spot_check=True)
        self.checks = self.checks[:0]
        self._decide(open_[chosen])

    def _decide_audits(self, drawn: np.ndarray) -> None:
        """Have people decide on audits; a second person looks at each error."""
        book = self.book
        self._person_says(book.document[drawn])
        right = self._is_right(book.label[drawn], self.human[book.document[drawn]])
        book.state[drawn] = np.where(right, State.RIGHT, State.WRONG)
        self.n_reviews += int((~right).sum())

    def _decide(self, documents: np.ndarray, spot_check: bool = False) -> None:
        """Have people decide on documents outside the ledger."""
        self._person_says(documents, spot_check)
        self.book.leave(documents)

    def _person_says(self, documents: np.ndarray, spot_check: bool = False) -> None:
        truth = self.judge.truth[documents]
        self.human[documents] = truth
        # An audit may be of a label whose text was drawn for a spot check, too.
        self.spot_checked[documents] = spot_check | np.isin(documents, self.checks)
        self.off_list[documents] = (self.found.labels[documents] != truth[:, None]).all(axis=1)
        self.n_reviews += len(documents)

    def _result(self, number: int) -> RoundResult:
        known, truth, book = self.known, self.judge.truth, self.book
        now = known.copy()
        now[book.document[book.present]] = book.label[book.present]
        now = np.where(self.human != UNKNOWN, self.human, now)
        labelled, accepted = now != UNKNOWN, (self.accepted != UNKNOWN) & (self.human == UNKNOWN)
        certified = book.document[book.covered]
        claims, true_label = self.claims, truth[self.claims.document]
        is_claim = claims.posterior >= CLAIMED_FROM
        return RoundResult(
            round=number,
            judge_calls=len(self.tried.valid) + len(self.answers),
            reviews=self.n_reviews,
            heldout_accuracy=self._heldout_accuracy(),
            pool_labelled=float(labelled.mean()),
            pool_right=_share(self._is_right(now[labelled], truth[labelled])),
            accepted=int(accepted.sum()),
            accepted_right=_share(self.accepted[accepted] == truth[accepted]),
            uncertain=int((~labelled).sum()),
            expected_gain=self._expected_gain(),
            certified=len(certified) / len(truth),
            certified_wrong=_share(~self._is_right(now[certified], truth[certified])),
            audits=self.look.n,
            audit_errors=self.look.k,
            bound=self.look.bound,
            claimed=_share(claims.posterior[is_claim]),
            claimed_right=_share((claims.after == true_label)[is_claim]),
            best_before=_share(claims.before == true_label),
            best_after=_share(claims.after == true_label),
            levels=[self._level(depth, look, now) for depth, look in enumerate(self.looks, start=1)],
        )

    def _level(self, depth: int, look: Look, now: np.ndarray) -> LevelResult:
        """How far a level is; ``now``: the label of each document, UNKNOWN for none."""
        book, truth, tree = self.book, self.judge.truth, self.data.tree
        coded = np.flatnonzero((now == NOISE) | ((tree.depth(now) if tree else 0) >= depth))
        certified = book.document[(book.certified_to >= depth) & ~book.left]
        return LevelResult(
            coded=len(coded) / len(truth),
            right=_share(self._is_right(now[coded], truth[coded], depth)),
            certified=len(certified) / len(truth),
            certified_wrong=_share(~self._is_right(now[certified], truth[certified], depth)),
            bound=look.bound,
        )

    def _expected_gain(self) -> float:
        """Mean gain of the best questions that the judge could be asked next, nats."""
        if not self.plan.judge_calls:
            return 0.0
        _, gain = next_question(self.belief, self.asked, self.rates, self.plan.question)
        best_next = -np.sort(-gain[(self.known == UNKNOWN) & ~self.settled])[: self.plan.judge_calls]
        return float(np.maximum(best_next, 0).mean()) if len(best_next) else 0.0

    def _done(self) -> bool:
        """Nothing is left to learn, and everything that is settled is certified, as far as anybody audits."""
        return bool(self.over) and not (self.plan.reviews and (self.book.present & ~self.book.certified).any())

    def _seed(self) -> int:
        return self.plan.random_state + self.number


def _verdict(
    judge: Judge | CopyingJudge, document: int, labels: np.ndarray, belief: np.ndarray, column: int
) -> tuple[Answer, float]:
    """A judge's answer about one candidate of a document, and what was believed of it."""
    label = int(labels[column])
    return (document, label, judge.is_valid(document, label), (), 0), float(belief[column])


def _choice(
    judge: Judge | CopyingJudge, document: int, labels: np.ndarray, belief: np.ndarray, _: int
) -> tuple[Answer, float]:
    """A judge's choice among the best candidates of a document, and what was believed of what it chose."""
    best_first = np.argsort(-belief[:-1], kind="stable")[:N_OFFERED]
    offered, believed = labels[best_first], belief[best_first]
    choice = judge.choice(document, offered)
    of = (int(offered[choice]), believed[choice]) if choice < len(offered) else (NOISE, 1 - believed.sum())
    return (document, of[0], True, tuple(offered.tolist()), 0), float(of[1])


def _right(answers: Answers, truth: np.ndarray) -> np.ndarray:
    """Which answers are about the right label, or choose "none of these" where it was not offered."""
    offered = (answers.offered == truth[:, None]).any(axis=1)
    return answers.label == np.where(answers.is_choice & ~offered, NOISE, truth)


def _share(right: np.ndarray) -> float:
    return float(right.mean()) if len(right) else float("nan")


class ArticleLoop(Loop):
    """The article's loop: what is most uncertain is judged once, what is judged valid is settled, the rest reviewed.

    It knows binary questions only, and neither audits nor labels that the model gives alone.
    """

    batch_valid = np.empty(0, dtype=int)

    def _believe(self) -> None:
        super()._believe()
        self.belief = prior(self.found.probabilities)

    def _best(self) -> tuple[np.ndarray, np.ndarray]:
        return self.found.labels[:, 0], self.found.probabilities[:, 0]

    def _ask(self) -> np.ndarray:
        free = np.flatnonzero((self.known == UNKNOWN) & ~self.judged)
        offered = Asked(
            self.belief[free],
            self.found.entropy[free],
            *self.rates,
            settled=np.zeros(len(free), dtype=bool),
        )
        calls, X = self.plan.judge_calls, self.data.X_pool
        batch = free[choose(offered, self.plan.strategy, calls, self._seed(), X=X, rows=free)]
        self.batch_valid = batch[self._put(batch, np.zeros(len(batch), dtype=int))]
        return batch

    def _settle(self) -> None:
        self.accepted[self.batch_valid] = self.found.labels[self.batch_valid, 0]

    def _review(self, batch: np.ndarray) -> None:
        refused = np.flatnonzero(self.judged & (self.known == UNKNOWN))
        self._decide(refused[np.argsort(-self.found.entropy[refused], kind="stable")][: self.plan.reviews])

    def _graduate(self) -> None:
        """The article knows no last fit."""


def _some(texts: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if texts is None else texts[rows]
