"""How often the judge is right, and what its word adds to the model's own belief: learnt from what people decide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import betaincinv, expit, log_expit, logit

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
# A judge reads the same text as the model: on what the model gets wrong it errs more often than elsewhere. So its word
# counts a little less than if the two were independent, until answers whose truth is known tell how much it really
# adds; it never counts for more. The deviation is so large that a judge that adds nothing is no surprise, and shows
# after some 30 answers.
EXPECTED_WEIGHT = 0.85
MAX_WEIGHT = 1.0
WEIGHT_DEVIATION = 0.5
# Nats: two verdicts that tell so nearly the same tell nothing.
NOTHING = 1e-6
# No belief counts as more certain than this when it is held against what people say.
CERTAIN = 1e-3
# Candidates that the judge chooses among, besides "none of these".
N_OFFERED = 5


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


class Rates(NamedTuple):
    """What the loop reckons with; both numbers are the accuracy where the judge chooses.

    Attributes:
        sensitivity: P(``valid`` | the label is right).
        specificity: P(``invalid`` | the label is wrong).
    """

    sensitivity: float
    specificity: float


@dataclass(frozen=True)
class Reliability:
    """The judge's two rates for the binary question, and what its word is worth beside the model's.

    Attributes:
        sensitivity: P(``valid`` | the label is right).
        specificity: P(``invalid`` | the label is wrong).
        weight: what its log-likelihood ratios are multiplied with; 1 where it errs independently of the model, 0 where
            it only repeats what the model knows.
        n_weighed: people's decisions behind the weight.
    """

    sensitivity: Rate
    specificity: Rate
    weight: float = EXPECTED_WEIGHT
    n_weighed: int = 0

    @property
    def validating(self) -> Rates:
        """Rates of a judge whose verdicts tell as much as this one's add; a coin's at weight 0."""
        valid = self.weight * np.log(self.sensitivity.mean / (1 - self.specificity.mean))
        invalid = self.weight * np.log((1 - self.sensitivity.mean) / self.specificity.mean)
        if abs(valid - invalid) < NOTHING:
            return Rates(0.5, 0.5)
        specificity = np.expm1(valid) / (np.exp(valid) - np.exp(invalid))
        return Rates(float(np.exp(valid) * (1 - specificity)), float(specificity))

    @property
    def choosing(self) -> Rates:
        """Accuracy, twice, of a judge whose choice among N_OFFERED and "none of these" tells as much."""
        accuracy = expit(self.weight * (logit(self.sensitivity.mean) + np.log(N_OFFERED)) - np.log(N_OFFERED))
        return Rates(float(accuracy), float(accuracy))

    def of(self, question: str) -> Rates:
        """The rates to reckon with for "validate" or "choose"."""
        return self.choosing if question == "choose" else self.validating


@dataclass(frozen=True)
class Said:
    """What one judge said in one form of question, an entry an answer, each of shape (n_answers,).

    Attributes:
        believed: probability, before the answer, that what it is about is right: the label asked about, or the option
            that was chosen.
        valid: whether the judge called it right; always for a choice.
        right: 1.0 or 0.0 where a person has decided, else NaN.
        spot_check: whether that person was asked whatever the judge had said, and didn't see it. Audits of settled
            labels are none: nearly all of those the judge has called valid.
    """

    believed: np.ndarray
    valid: np.ndarray
    right: np.ndarray
    spot_check: np.ndarray

    def plus(self, others: Said) -> Said:
        """These answers and then the others."""
        pairs = zip(vars(self).values(), vars(others).values(), strict=True)
        return Said(*(np.concatenate(pair) for pair in pairs))


def measure(said: Said, question: str = "validate") -> Reliability:
    """Learn a judge's rates and the weight of its word from what it said and what people decided.

    Spot checks are counted. Of "validate" all other answers say what to expect (see ``expected``).
    """
    known = ~np.isnan(said.right)
    counted = known & said.spot_check
    right, valid = said.right[counted] == 1, said.valid[counted]
    if question == "choose":
        rate = choice_accuracy(int(right.sum()), int((~right).sum()))
        found = Reliability(rate, rate)
    else:
        rest = np.where(known, said.right, said.believed)[~counted]
        found = reliability(
            int((right & valid).sum()),
            int((right & ~valid).sum()),
            int((~right & ~valid).sum()),
            int((~right & valid).sum()),
            expected(rest, said.valid[~counted]),
        )
    return replace(found, weight=_weight(found, said, known, question), n_weighed=int(known.sum()))


def _weight(found: Reliability, said: Said, known: np.ndarray, question: str) -> float:
    """The weight under which the beliefs after the answers fit best what people decided.

    A logistic regression with one coefficient: log-odds before the answer as the offset, its log-likelihood ratio as
    the only variable, a normal prior around EXPECTED_WEIGHT. Which documents people got depends on beliefs and answers
    alone, so it doesn't bias the coefficient.
    """
    if not known.any():
        return EXPECTED_WEIGHT
    sensitivity, specificity = found.sensitivity.mean, found.specificity.mean
    if_valid, if_invalid = np.log(sensitivity / (1 - specificity)), np.log((1 - sensitivity) / specificity)
    if question == "choose":
        if_valid = logit(sensitivity) + np.log(N_OFFERED)
    told: np.ndarray = np.asarray([if_invalid, if_valid])[said.valid.astype(int)]
    before = logit(np.clip(said.believed[known], CERTAIN, 1 - CERTAIN))
    sign = np.where(said.right[known] == 1, 1.0, -1.0)

    def misfit(weight: float) -> float:
        prior = (weight - EXPECTED_WEIGHT) ** 2 / (2 * WEIGHT_DEVIATION**2)
        return float(prior - log_expit(sign * (before + weight * told[known])).sum())

    return float(minimize_scalar(misfit, bounds=(0.0, MAX_WEIGHT), method="bounded").x)


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
