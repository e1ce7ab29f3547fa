"""How often a certificate holds while too many labels are wrong: simulated projects, looked at after every audit.

The bound of Clopper and Pearson (1934), made for one look, is applied to the same audits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc

from classifiers.certificate import LEVEL, LIMIT, log_enough, log_wealth
from classifiers.ledger import NOT_DRAWN, State, cohort_keys, covered, first_ring, look, next_audits, next_ring

N_PROJECTS = 400
AUDITS_A_ROUND = 40
# Labels settled in a project where all are settled at once, and what is believed of the least sure of them.
N_SETTLED = 7000
MOST_RISK = 0.15
# A set so large that audits don't change it, looked at very often, in so many more projects as that takes little time.
LONG_FACTOR = 50
LONG_AUDITS = 1000
LONG_WRONG = 0.0501


@dataclass(frozen=True)
class Figures:
    """What came of the projects of one kind; shares of projects in [0, 1].

    Attributes:
        kind: of project, in words.
        projects: how many.
        audits: in each, the most.
        false: certified at some time while more than the limit was wrong.
        false_clopper_pearson: the same by that bound.
        right: certified at some time while no more than the limit was wrong.
        entered: mean share of the settled labels that had entered the ledger at the end; 1 without rings.
    """

    kind: str
    projects: int
    audits: int
    false: float
    false_clopper_pearson: float
    right: float
    entered: float


class Ledger:
    """A project's label versions, and what only the simulation knows of them: which are wrong still."""

    def __init__(self, seed: list[int]) -> None:
        self.seed = seed
        self.key = np.empty(0)
        self.cohort = np.empty(0, dtype=int)
        self.left = np.empty(0, dtype=bool)
        self.drawn = np.empty(0, dtype=int)
        self.state = np.empty(0, dtype=int)
        self.wrong = np.empty(0, dtype=bool)
        # Whether it held at some time in the round before, and which share of the settled labels is in it.
        self.held = False
        self.entered = 1.0

    def enter(self, wrong: np.ndarray) -> None:
        """Let a cohort enter."""
        number, size = len(np.unique(self.cohort)), len(wrong)
        self.key = np.append(self.key, cohort_keys(size, [*self.seed, number]))
        self.cohort = np.append(self.cohort, np.full(size, number))
        self.left = np.append(self.left, np.zeros(size, dtype=bool))
        self.drawn = np.append(self.drawn, np.full(size, NOT_DRAWN))
        self.state = np.append(self.state, np.full(size, State.OPEN))
        self.wrong = np.append(self.wrong, wrong)

    def is_open(self) -> np.ndarray:
        return ~self.left & (self.drawn == NOT_DRAWN)

    def draw(self, size: int) -> np.ndarray:
        """Draw the next audits; their positions."""
        positions = next_audits(self.key, self.is_open(), size)
        self.drawn[positions] = self.drawn.max() + 1 + np.arange(len(positions))
        return positions

    def decide(self, position: int, reviewer_errors: float, rng: np.random.Generator) -> None:
        """Have one or two people label a version; what both call wrong counts as wrong, and gets another label."""
        is_wrong = bool(self.wrong[position])
        both_object = bool(((rng.random(2) < reviewer_errors) != is_wrong).all())
        self.state[position] = State.WRONG if both_object else State.RIGHT
        # Two that object to a right label put a wrong one in its place.
        self.wrong[position] = is_wrong != both_object

    def wrong_share(self) -> float:
        """Share still wrong of what the certificate speaks of."""
        return float(self.wrong[covered(self.left, self.drawn)].mean())


def growing(ledger: Ledger, rng: np.random.Generator) -> Iterator[None]:
    """Settle 3,000 labels and then 600 a round, 5.5 % of them wrong; a hundredth leaves each round, right ones only."""
    ledger.enter(rng.random(3000) < 0.055)
    while True:
        yield
        free = np.flatnonzero(ledger.is_open() & ~ledger.wrong)
        ledger.left[rng.choice(free, len(ledger.key) // 100, replace=False)] = True
        ledger.enter(rng.random(600) < 0.055)


def late_and_bad(ledger: Ledger, rng: np.random.Generator) -> Iterator[None]:
    """Settle 3,000 labels, 1 % of them wrong, and in round 6 another 3,000, 12 % of them wrong."""
    ledger.enter(rng.random(3000) < 0.01)
    for _ in range(5):
        yield
    ledger.enter(rng.random(3000) < 0.12)
    while True:
        yield


def credulous(ledger: Ledger, rng: np.random.Generator) -> Iterator[None]:
    """Settle 3,000 labels, 3 % of them wrong, and each round another 400 on the judge's word, 12 % of them wrong."""
    ledger.enter(rng.random(3000) < 0.03)
    while True:
        ledger.enter(rng.random(400) < 0.12)
        yield


def all_at_once(ledger: Ledger, rng: np.random.Generator) -> Iterator[None]:
    """Settle all labels, 5.5 % of them wrong."""
    ledger.enter(rng.random(N_SETTLED) < 0.055)
    while True:
        yield


def small(ledger: Ledger, rng: np.random.Generator) -> Iterator[None]:
    """Settle 500 labels, 30 of them wrong: so few that the certificate counts what is left."""
    ledger.enter(rng.permutation(500) < 30)
    while True:
        yield


def overconfident(factor: float) -> Callable[[Ledger, np.random.Generator], Iterator[None]]:
    """Settle all labels, of which so many times more are wrong than was believed, and let them enter ring by ring."""

    def rings(ledger: Ledger, rng: np.random.Generator) -> Iterator[None]:
        risk = MOST_RISK * rng.random(N_SETTLED) ** 3
        wrong = rng.random(N_SETTLED) < factor * risk
        entered = ring = first_ring(risk)
        while True:
            ledger.enter(wrong[ring])
            entered = entered | ring
            ledger.entered = float(entered.mean())
            yield
            while entered.all() or not ledger.held:
                yield
            ring = next_ring(risk, entered)

    return rings


@dataclass(frozen=True)
class Kind:
    """A kind of project.

    Attributes:
        name: in words.
        rounds: lets labels enter and leave a ledger, one round each time it is resumed.
        n_rounds: so many are simulated.
        reviewer_errors: probability that a reviewer errs about a label.
    """

    name: str
    rounds: Callable[[Ledger, np.random.Generator], Iterator[None]]
    n_rounds: int = 8
    reviewer_errors: float = 0.0


KINDS = (
    Kind("growing cohorts, right labels leave", growing),
    Kind("one late bad cohort", late_and_bad),
    Kind("a credulous judge", credulous),
    Kind("reviewers wrong 2 % of the time, second look", all_at_once, reviewer_errors=0.02),
    Kind("posteriors over-confident by a factor of 2, rings", overconfident(2), n_rounds=16),
    Kind("posteriors over-confident by a factor of 4, rings", overconfident(4), n_rounds=16),
    Kind("a fixed set of 500", small),
)


def as_markdown(figures: Sequence[Figures]) -> str:
    """Return a table for people: shares of projects in percent."""
    head = "| projects | number | audits | falsely certified | … by Clopper and Pearson | rightly certified | entered |"
    rows = [
        f"| {one.kind} | {one.projects:,} | {one.audits:,} | {100 * one.false:.1f} % "
        f"| {100 * one.false_clopper_pearson:.1f} % | {100 * one.right:.1f} % | {100 * one.entered:.0f} % |"
        for one in figures
    ]
    return "\n".join([head, "|---" + "|---:" * 6 + "|", *rows])


def measure(kind: Kind, n_projects: int, random_state: int) -> Figures:
    """Simulate projects of one kind."""
    found = np.array([_project(kind, [random_state, number]) for number in range(n_projects)])
    false, false_exact, right, entered = found.mean(axis=0).tolist()
    return Figures(kind.name, n_projects, kind.n_rounds * AUDITS_A_ROUND, false, false_exact, right, entered)


def measure_long(n_projects: int, random_state: int) -> Figures:
    """Look at sets of which always a little too much is wrong, after every one of many audits."""
    rng = np.random.default_rng(random_state)
    n = np.arange(1, LONG_AUDITS + 1)
    k = (rng.random((n_projects, LONG_AUDITS)) < LONG_WRONG).cumsum(axis=1)
    errors = np.arange(k.max() + 1)[:, None]
    holds = log_wealth(n, errors, LIMIT) >= log_enough(LEVEL)
    exact = clopper_pearson_holds(n, errors)
    false, false_exact = (float(table[k, n - 1].any(axis=1).mean()) for table in (holds, exact))
    name = f"{100 * LONG_WRONG:.2f} % wrong, always"
    return Figures(name, n_projects, LONG_AUDITS, false, false_exact, right=0.0, entered=1.0)


def clopper_pearson_holds(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Whether the upper bound of Clopper and Pearson is within the limit, for n audits with k errors; broadcast."""
    return (n > k) & (betainc(k + 1, np.maximum(n - k, 1), LIMIT) >= LEVEL)


def _project(kind: Kind, seed: list[int]) -> tuple[bool, bool, bool, float]:
    """Simulate one: was it falsely certified, by Clopper and Pearson too, was it rightly, which share had entered."""
    rng = np.random.default_rng(seed)
    ledger = Ledger(seed)
    rounds = kind.rounds(ledger, rng)
    false = false_exact = right = False
    for _ in range(kind.n_rounds):
        next(rounds)
        ledger.held = False
        # In the order of the draws, so that each decision counts at once and every look is another chance to be wrong.
        for position in ledger.draw(AUDITS_A_ROUND):
            ledger.decide(position, kind.reviewer_errors, rng)
            too_many = ledger.wrong_share() > LIMIT
            holds = look(ledger.key, ledger.cohort, ledger.left, ledger.drawn, ledger.state).holds
            ledger.held |= holds
            false |= holds and too_many
            right |= holds and not too_many
            counts = np.bincount(ledger.state, minlength=len(State))
            n, k = counts[State.RIGHT] + counts[State.WRONG], counts[State.WRONG]
            false_exact |= too_many and bool(clopper_pearson_holds(n, k))
    return false, false_exact, right, ledger.entered
