"""How often the judge is right, learnt from audits, and when that is enough to trust it alone."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaincinv

# Before any audit a judge counts as right nine times in ten, believed as firmly as ten audits
# would make one believe it: a dozen real audits outweigh it.
PRIOR_MEAN = 0.9
PRIOR_STRENGTH = 10.0
# With fewer audits than the prior weighs, a rate says more about the prior than about the judge.
MIN_AUDITS = 10
EM_STEPS = 30
# So many audits what verdicts lead one to expect weighs at most: it rests on the classifiers' calibration.
EXPECTED_STRENGTH = 20.0
# Mass of the interval around a rate.
CREDIBLE = 0.95
# The largest share of wrong labels that is good enough among those accepted on the judge's word.
MAX_WRONG = 0.05
# What sums of thousands of probabilities may be off by.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Prior:
    """A Beta distribution, written as audits that never took place.

    Attributes:
        right: audits with a right answer, > 0.
        wrong: audits with a wrong answer, > 0.
    """

    right: float
    wrong: float

    @property
    def mean(self) -> float:
        return self.right / (self.right + self.wrong)


PRIOR = Prior(right=PRIOR_MEAN * PRIOR_STRENGTH, wrong=(1 - PRIOR_MEAN) * PRIOR_STRENGTH)


@dataclass(frozen=True)
class Rate:
    """How often the judge gives the right answer.

    Attributes:
        mean: of the posterior, in (0, 1).
        low, high: bounds of the central 95 % credible interval.
        n: audits behind it, the prior not counted.
        is_prior: fewer than MIN_AUDITS: mostly assumed, hardly measured.
    """

    mean: float
    low: float
    high: float
    n: float
    is_prior: bool


@dataclass(frozen=True)
class Reliability:
    """The judge's two rates for the binary question.

    Attributes:
        sensitivity: P(``valid`` | the label is right).
        specificity: P(``invalid`` | the label is wrong).
    """

    sensitivity: Rate
    specificity: Rate


def expected(q: np.ndarray, valid: np.ndarray) -> tuple[Prior, Prior]:
    """Return what the verdicts themselves lead one to expect of the judge, before any audit.

    A judge who calls 95 of 100 labels valid of which the model expects 75 to be right accepts too much, whoever is
    right about which. Expectation maximisation (Dawid and Skene 1979) with the model's probabilities as given and
    PRIOR on both rates. Where a person has labelled the document, what they said stands in place of the probability;
    it doesn't matter that people were given the hard ones, as they were chosen by nothing but the model and the
    verdicts. The result weighs EXPECTED_STRENGTH audits at most: it rests on the model's calibration, and audits soon
    overrule it.

    Args:
        q: the model's probability that the label asked about is right, when it was asked, shape (n_verdicts,);
            0 or 1 where a person has said so.
        valid: True where the judge said ``valid``, shape (n_verdicts,).

    Returns:
        Priors of sensitivity and specificity.
    """
    sensitivity = specificity = PRIOR.mean
    for _ in range(EM_STEPS):
        if_right = q * np.where(valid, sensitivity, 1 - sensitivity)
        if_wrong = (1 - q) * np.where(valid, 1 - specificity, specificity)
        right = if_right / (if_right + if_wrong)
        sensitivity = (PRIOR.right + right[valid].sum()) / (PRIOR_STRENGTH + right.sum())
        specificity = (PRIOR.right + (1 - right)[~valid].sum()) / (PRIOR_STRENGTH + (1 - right).sum())
    means = (float(sensitivity), float(specificity))
    strength = min(PRIOR_STRENGTH + len(q), EXPECTED_STRENGTH)
    first, second = (Prior(mean * strength, (1 - mean) * strength) for mean in means)
    return first, second


def reliability(
    true_valid: float,
    false_invalid: float,
    true_invalid: float,
    false_valid: float,
    priors: tuple[Prior, Prior] = (PRIOR, PRIOR),
) -> Reliability:
    """Return the judge's sensitivity and specificity after these audits.

    Args:
        true_valid: the label was right, the judge said ``valid``.
        false_invalid: it was right, the judge said ``invalid``.
        true_invalid: it was wrong, the judge said ``invalid``.
        false_valid: it was wrong, the judge said ``valid``.
        priors: of sensitivity and specificity.

    Counts are >= 0 and may be weighted, so no whole numbers.

    Raises:
        ValueError: for a negative count.
    """
    return Reliability(
        sensitivity=_rate(true_valid, false_invalid, priors[0]), specificity=_rate(true_invalid, false_valid, priors[1])
    )


def choice_accuracy(right: float, wrong: float, prior: Prior = PRIOR) -> Rate:
    """Return how often the judge chooses the right option; counts of audits as in reliability.

    Raises:
        ValueError: for a negative count.
    """
    return _rate(right, wrong, prior)


def _rate(right: float, wrong: float, prior: Prior) -> Rate:
    if not (right >= 0 and wrong >= 0):
        raise ValueError("Counts of audits can't be negative.")
    a, b = prior.right + right, prior.wrong + wrong
    tail = (1 - CREDIBLE) / 2
    return Rate(
        mean=a / (a + b),
        low=float(betaincinv(a, b, tail)),
        high=float(betaincinv(a, b, 1 - tail)),
        n=right + wrong,
        is_prior=right + wrong < MIN_AUDITS,
    )


def accept_from(posterior: np.ndarray, certainty: float, spare: float = 0.0) -> float:
    """Return the posterior from which labels are accepted on the judge's word.

    A judge that is often wrong leaves many labels just above ``certainty``: each passes, together too many are wrong.
    So many are accepted, the most probable first, that no more than MAX_WRONG of them are expected to be wrong,
    counted together with what was accepted before.

    Args:
        posterior: of the labels that may be accepted, in [0, 1], shape (n_labels,); those below certainty don't count.
        certainty: the least that is asked of each, in [0, 1].
        spare: how many more of those accepted before might have been wrong, >= 0; see spare.

    Returns:
        At least certainty; 1 where even the surest are too doubtful.
    """
    rising = np.sort(posterior[posterior >= certainty])
    over_from_here = (1 - rising - MAX_WRONG)[::-1].cumsum()[::-1]
    # Equal ones pass together.
    passes = over_from_here[np.searchsorted(rising, rising)] <= spare + ROUNDING
    return certainty if passes.all() else float(rising[passes].min(initial=1.0))


def spare(n_accepted: int, expected_wrong: float) -> float:
    """Return how many more labels than expected might have been wrong among so many, for MAX_WRONG to be kept; >= 0."""
    return max(MAX_WRONG * n_accepted - expected_wrong, 0.0)


@dataclass(frozen=True)
class Certificate:
    """Whether random audits show that few enough of the accepted labels are wrong.

    Attributes:
        n: random audits, all of one model, prompt and threshold.
        errors: of them, where the accepted label was wrong.
        bound: with probability ``level``, at most this share is wrong; in (0, 1].
        holds: the bound is within the limit.
        still_needed: further audits, all without error, that would make it hold; 0 when it does.
        level: of the bound.
    """

    n: int
    errors: int
    bound: float
    holds: bool
    still_needed: int
    level: float = 0.95

    @property
    def sentence(self) -> str:
        """The certificate in words, for people."""
        if self.holds:
            # Rounded up: "at most" must stay true.
            percent = math.ceil(round(1000 * self.bound, 6)) / 10
            audits, errors = _count(self.n, "random audit"), _count(self.errors, "error")
            return f"{audits}, {errors}: at most {percent:.1f} % wrong ({100 * self.level:g} % sure)."
        if self.n == 0:
            return f"Not certified: no random audit yet; {self.still_needed} without an error would do."
        return (
            f"Not certified: {_count(self.n, 'random audit')} with {_count(self.errors, 'error')}; "
            f"{self.still_needed} more without an error would do."
        )


def certificate(n: int, errors: int, limit: float = MAX_WRONG, level: float = 0.95) -> Certificate:
    """Bound the share of wrong labels, from audits of uniformly random documents.

    The bound is exact for the binomial: Clopper and Pearson, The use of confidence or fiducial
    limits illustrated in the case of the binomial (1934), upper side alone. With the defaults it
    takes 59 audits without error, 93 with one, 124 with two.

    Args:
        n: audits.
        errors: audits where the label was wrong, 0 .. n.
        limit: the largest share of wrong labels that is good enough, in (0, 1).
        level: confidence of the bound, in (0, 1).

    Raises:
        ValueError: for numbers outside these ranges.
    """
    if not 0 <= errors <= n:
        raise ValueError("Errors must be between 0 and the number of audits.")
    if not (0 < limit < 1 and 0 < level < 1):
        raise ValueError("Limit and level must lie between 0 and 1.")
    bound = 1.0 if errors == n else float(betaincinv(errors + 1, n - errors, level))
    still_needed = _audits_needed(errors, limit, level, at_least=n) - n
    return Certificate(n, errors, bound, holds=still_needed == 0, still_needed=still_needed, level=level)


def _audits_needed(errors: int, limit: float, level: float, at_least: int) -> int:
    """Return the fewest audits, no fewer than at_least, that hold with so many errors."""

    def holds(n: int) -> bool:
        # bound <= limit, without inverting: rounds the same way for every n.
        return n > errors and bool(betainc(errors + 1, n - errors, limit) >= level)

    most = max(at_least, 1)
    while not holds(most):
        most *= 2
    return at_least + bisect_left(range(at_least, most), True, key=holds)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
