"""The judge against people, on documents they decided on without seeing its verdict; two judges side by side; and
people among themselves.

These are plain counts with their intervals, for people to read. What the loop itself believes of a judge, priors
included, is in reliability.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

# Below this nothing is claimed: the exact interval of a share is wider than 0.4 there.
MIN_MEASURED = 20
LEVEL = 0.95
N_DRAWS = 2_000
# Jeffreys' prior on the cells of a table.
HALF_A_COUNT = 0.5


@dataclass(frozen=True)
class Estimate:
    """A figure from n observations.

    Attributes:
        value: None where nothing is claimed: too few observations, or a kappa of answers that never vary.
        low, high: bounds of the 95 % interval; None with the value.
        n: observations.
        still_needed: how many more before anything is claimed; 0 when there are enough.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    still_needed: int


@dataclass(frozen=True)
class Agreement:
    """What audits say of a judge.

    Attributes:
        sensitivity: P(``valid`` | people say that the label is right).
        specificity: P(``invalid`` | people say that it is wrong).
        agreement: share of the verdicts that say what people say.
        kappa: Cohen's, of the judge and people over "the label is right": 1 agrees always, 0 as often as chance would.
    """

    sensitivity: Estimate
    specificity: Estimate
    agreement: Estimate
    kappa: Estimate


@dataclass(frozen=True)
class Paired:
    """Two judges' answers to the same questions.

    Attributes:
        n: questions that both answered.
        both, only_first, only_second, neither: how many of them were answered rightly by whom.
        first, second: the share that each answered rightly.
        p_value: of McNemar's exact test; None where nothing is claimed.
    """

    n: int
    both: int
    only_first: int
    only_second: int
    neither: int
    first: Estimate
    second: Estimate
    p_value: float | None


def agreement(
    true_valid: int, false_invalid: int, true_invalid: int, false_valid: int, random_state: int = 0
) -> Agreement:
    """Return how a judge's verdicts agree with what people say; counts of audits as in reliability.reliability.

    Raises:
        ValueError: for a negative count.
    """
    n = true_valid + false_invalid + true_invalid + false_valid
    return Agreement(
        sensitivity=share(true_valid, true_valid + false_invalid),
        specificity=share(true_invalid, true_invalid + false_valid),
        agreement=share(true_valid + true_invalid, n),
        kappa=kappa(true_valid, false_invalid, true_invalid, false_valid, random_state),
    )


def share(part: int, n: int) -> Estimate:
    """Return a share with Wilson's interval, which Brown, Cai and DasGupta (2001) recommend for few observations.

    Raises:
        ValueError: unless 0 <= part <= n.
    """
    if not 0 <= part <= n:
        raise ValueError(f"{part} of {n} is no share.")
    if n < MIN_MEASURED:
        return _nothing(n)
    interval = binomtest(part, n).proportion_ci(LEVEL, method="wilson")
    return Estimate(part / n, float(interval.low), float(interval.high), n, still_needed=0)


def kappa(true_valid: int, false_invalid: int, true_invalid: int, false_valid: int, random_state: int = 0) -> Estimate:
    """Return Cohen's kappa (1960) with an interval from the Bayesian bootstrap (Rubin 1981).

    The four cells' shares are drawn from a Dirichlet distribution with half a count added to each (Basu, Banerjee and
    Sen, Bayesian inference for kappa from single and multiple studies, 2000). The ordinary bootstrap and the analytic
    variance both call a judge who has made no error yet certain to be perfect.

    Raises:
        ValueError: for a negative count.
    """
    cells = np.array([true_valid, false_invalid, false_valid, true_invalid])
    if (cells < 0).any():
        raise ValueError("Counts of audits can't be negative.")
    n = int(cells.sum())
    people = np.repeat([True, True, False, False], cells)
    judge = np.repeat([True, False, True, False], cells)
    # All in one cell: both say always the same, and chance agrees as often.
    if n < MIN_MEASURED or cells.max() == n:
        return _nothing(n)
    value = float(cohen_kappa_score(people, judge))
    drawn = np.random.default_rng(random_state).dirichlet(cells + HALF_A_COUNT, size=N_DRAWS)
    return _estimate(value, _kappas(drawn), n)


def compare(first: Sequence[bool], second: Sequence[bool]) -> Paired:
    """Compare two judges on the same questions.

    McNemar's test (1947) in its exact form: of the questions that only one of them answered rightly, each has it with
    chance one half if they are equally good.

    Args:
        first, second: whether each answered question i rightly.

    Raises:
        ValueError: when the two are of different length.
    """
    if len(first) != len(second):
        raise ValueError("Both judges must have answered the same questions.")
    pairs = list(zip(first, second, strict=True))
    only_first, only_second = pairs.count((True, False)), pairs.count((False, True))
    discordant = only_first + only_second
    p_value = float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
    return Paired(
        n=len(pairs),
        both=pairs.count((True, True)),
        only_first=only_first,
        only_second=only_second,
        neither=pairs.count((False, False)),
        first=share(sum(first), len(first)),
        second=share(sum(second), len(second)),
        p_value=p_value if len(pairs) >= MIN_MEASURED else None,
    )


def kappa_of_two(first: Sequence[Hashable], second: Sequence[Hashable], random_state: int = 0) -> Estimate:
    """Return Cohen's kappa (1960) of two people who gave the same documents a label each, of any number of labels.

    The interval comes from the Bayesian bootstrap over the documents, with half a document on which they agree and half
    a one on which they don't: two who have always agreed are not certain to go on so.

    Raises:
        ValueError: when the two are of different length.
    """
    if len(first) != len(second):
        raise ValueError("Both people must have labelled the same documents.")
    n = len(first)
    if n < MIN_MEASURED or len({*first, *second}) == 1:
        return _nothing(n)
    pairs = Counter(sorted(zip(first, second, strict=True), key=str))
    codes = _codes([*first, *second])
    one, other = (np.eye(len(codes))[[codes[pair[side]] for pair in pairs]] for side in (0, 1))
    same = np.array([pair[0] == pair[1] for pair in pairs])

    def kappas(weights: np.ndarray) -> np.ndarray:
        agreeing = np.hstack([weights[:, :-2][:, same], weights[:, -2:-1]]).sum(axis=1) / weights.sum(axis=1)
        documents = weights[:, :-2] / weights[:, :-2].sum(axis=1, keepdims=True)
        by_chance = ((documents @ one) * (documents @ other)).sum(axis=1)
        return (agreeing - by_chance) / (1 - by_chance)

    return _estimate(float(kappas(_as_counted(pairs))[0]), kappas(_drawn(pairs, random_state)), n)


def alpha(units: Sequence[Sequence[Hashable]], random_state: int = 0) -> Estimate:
    """Return Krippendorff's alpha with an interval made as in ``kappa_of_two``; ``units`` as in krippendorff_alpha."""
    patterns = _patterns(units)
    n = patterns.total()
    value = krippendorff_alpha(units)
    if n < MIN_MEASURED or value is None:
        return _nothing(n)
    return _estimate(value, _alphas(patterns, _drawn(patterns, random_state)), n)


def krippendorff_alpha(units: Sequence[Sequence[Hashable]]) -> float | None:
    """Return Krippendorff's alpha for nominal labels: 1 where people always agree, 0 where as often as chance would.

    Any number of people, who need not all have seen every document. Source: Krippendorff, Computing Krippendorff's
    alpha-reliability, 2011.

    Args:
        units: by document, the labels that people gave it, in any order; with fewer than two it counts nothing.

    Returns:
        None where there is nothing to disagree on: no document with two labels, or one label alone.
    """
    patterns = _patterns(units)
    if len({label for unit in patterns for label, _ in unit}) < 2:
        return None
    return float(_alphas(patterns, _as_counted(patterns))[0])


Unit = tuple[tuple[Hashable, int], ...]


def _patterns(units: Sequence[Sequence[Hashable]]) -> Counter[Unit]:
    """How many documents got the same labels from as many people; in one order, whatever that of the documents."""
    counted = (Counter(unit) for unit in units if len(unit) > 1)
    return Counter(sorted((tuple(sorted(labels.items(), key=str)) for labels in counted), key=str))


def _alphas(patterns: Counter[Unit], weights: np.ndarray) -> np.ndarray:
    """Alpha for each row of weights, which _as_counted or _drawn made."""
    codes = _codes([label for unit in patterns for label, _ in unit])
    given = np.zeros((len(patterns), len(codes)))
    for row, unit in enumerate(patterns):
        for label, times in unit:
            given[row, codes[label]] = times
    people = given.sum(axis=1)
    differing = (people**2 - (given**2).sum(axis=1)) / (people - 1)
    # Each half of a document has two labels: once the same, once not.
    observed = (weights @ [*differing, 0, 2]) / (weights @ [*people, 2, 2])
    documents = weights[:, :-2]
    shares = (documents @ given) / (documents @ people)[:, None]
    n_given = _as_counted(patterns)[0, :-2] @ people
    expected = (1 - (shares**2).sum(axis=1)) * n_given / (n_given - 1)
    return 1 - observed / expected


def _as_counted(patterns: Counter) -> np.ndarray:
    """Each pattern as often as it was seen, and no half documents: shape (1, n + 2)."""
    return np.array([[*patterns.values(), 0, 0]], dtype=float)


def _drawn(patterns: Counter, random_state: int) -> np.ndarray:
    """Weights of the patterns, of half a document with agreement, and of half a one without: (N_DRAWS, n + 2)."""
    counts = [*patterns.values(), HALF_A_COUNT, HALF_A_COUNT]
    return np.random.default_rng(random_state).dirichlet(counts, size=N_DRAWS)


def _codes(labels: Sequence[Hashable]) -> dict[Hashable, int]:
    return {label: code for code, label in enumerate(dict.fromkeys(labels))}


def _estimate(value: float, drawn: np.ndarray, n: int) -> Estimate:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # No disagreement seen: the draws all lie below the estimate.
    return Estimate(value, min(float(low), value), max(float(high), value), n, still_needed=0)


def _nothing(n: int) -> Estimate:
    return Estimate(None, None, None, n, still_needed=max(MIN_MEASURED - n, 0))


def _kappas(cells: np.ndarray) -> np.ndarray:
    """Cohen's kappa of tables of shares, (n_tables, 4): both yes, yes and no, no and yes, both no."""
    yes_yes, yes_no, no_yes, no_no = cells.T
    by_chance = (yes_yes + yes_no) * (yes_yes + no_yes) + (no_yes + no_no) * (yes_no + no_no)
    return (yes_yes + no_no - by_chance) / (1 - by_chance)
