"""What is believed about a document's label: the prior, changed by each answer, and what one more would teach.

A *belief* is an array (n_documents, k + 1): the probability of each of k candidates and, in the
last column, of "none of these". Rows sum to 1. Answers to one document count as independent
given its label, so their order doesn't matter.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import entr

# "None of these" never starts lower: Bayes' rule can't raise a zero, whatever the evidence.
MIN_NONE = 1e-3
# What the classifiers say of the share of texts that belong nowhere counts as much as so many audits.
SHARE_STRENGTH = 10.0
# Examples that a label without any counts for, where the shares of the examples are asked for.
NO_EXAMPLE = 0.5
# Texts a label that are dealt out by the examples' shares, when the pool's are estimated.
STRENGTH = 3.0
MAX_STEPS = 100
# Factors on the odds of "none of these" that are looked at.
ODDS_FACTORS = (1e-3, 1e4)

Rates = float | np.ndarray


def prior(probabilities: np.ndarray, none_factor: float = 1.0, factors: Rates = 1.0) -> np.ndarray:
    """Return the belief before any answer.

    Args:
        probabilities: of each candidate, >= 0, shape (n_documents, k). Rows that leave MIN_NONE
            or more keep their values, "none of these" gets the rest. Other rows, also those
            that add up to more than 1 as the article's combination does, are scaled down to
            1 - MIN_NONE.
        none_factor: what the odds of "none of these" are multiplied with, > 0; see none_factor.
        factors: what those of the candidates are multiplied with, >= 0, one number or shape (n_documents, k); see
            label_factors, whose factors are looked up by the candidates' labels.

    Returns:
        Belief, shape (n_documents, k + 1), float64.

    Raises:
        ValueError: for a probability that is negative or no finite number.
    """
    candidates = np.asarray(probabilities, dtype=float)
    if not (np.isfinite(candidates) & (candidates >= 0)).all():
        raise ValueError("Probabilities must be finite and not negative.")
    total = candidates.sum(axis=1, keepdims=True)
    candidates = candidates * np.where(total > 1 - MIN_NONE, (1 - MIN_NONE) / np.maximum(total, 1 - MIN_NONE), 1.0)
    none = np.maximum(1 - candidates.sum(axis=1, keepdims=True), MIN_NONE)
    belief = np.hstack([candidates * factors, none * none_factor])
    return belief / belief.sum(axis=1, keepdims=True)


def none_factor(probabilities: np.ndarray, n_none: int, n_audits: int) -> float:
    """Return what makes "none of these" as common as random audits found it.

    The classifiers learn from examples of labels alone, so they know what a text of no label looks like but not how
    many there are. A change of a class's share multiplies its odds (Saerens, Latinne and Decaestecker 2002).

    Args:
        probabilities: of each candidate, for all documents of the pool, as for prior.
        n_none: random audits of the pool that found none of the labels right.
        n_audits: all of them.

    Returns:
        The factor, within ODDS_FACTORS.
    """
    if not len(probabilities):
        return 1.0
    none = prior(probabilities)[:, -1]
    share = (n_none + SHARE_STRENGTH * none.mean()) / (n_audits + SHARE_STRENGTH)

    def surplus(log_factor: float) -> float:
        odds = np.exp(log_factor) * none
        return float((odds / (odds + 1 - none)).mean() - share)

    low, high = np.log(ODDS_FACTORS)
    if surplus(low) > 0 or surplus(high) < 0:
        return ODDS_FACTORS[0] if surplus(low) > 0 else ODDS_FACTORS[1]
    return float(np.exp(brentq(surplus, low, high)))


def shares(
    probabilities: np.ndarray,
    labels: np.ndarray,
    n_examples: np.ndarray,
    n_certain: np.ndarray | float = 0.0,
    strength: float = STRENGTH,
) -> np.ndarray:
    """Return the share of each label among the texts of the pool that belong to one.

    Examples are chosen, often the same number for each label; pools have few common labels and many rare ones.
    Expectation maximisation of Saerens, Latinne and Decaestecker (2002), with a Dirichlet prior around the shares of
    the examples. Right as far as the probabilities are calibrated for texts drawn like the examples.

    Args:
        probabilities: of each candidate, for all texts of the pool without a certain label, as for prior.
        labels: the candidates' label codes, shape (n_documents, k).
        n_examples: how many examples of each label the classifiers have learnt, >= 0, shape (n_labels,).
        n_certain: how many texts of the pool are known to be of each label, shape (n_labels,) or 0.
        strength: texts a label that the prior is worth, > 0.

    Returns:
        Shape (n_labels,), sums to 1.
    """
    learnt = _example_shares(n_examples)
    belief = prior(probabilities)
    fixed = strength * len(learnt) * learnt + n_certain
    found = learnt
    for _ in range(MAX_STEPS):
        weights = belief[:, :-1] * (found / learnt)[labels]
        weights /= weights.sum(axis=1, keepdims=True) + belief[:, -1:]
        counted = fixed + np.bincount(labels.ravel(), weights=weights.ravel(), minlength=len(learnt))
        last, found = found, counted / counted.sum()
        if np.abs(found - last).max() < 1e-6:
            break
    return found


def label_factors(
    probabilities: np.ndarray,
    labels: np.ndarray,
    n_examples: np.ndarray,
    n_certain: np.ndarray | float = 0.0,
    strength: float = STRENGTH,
) -> np.ndarray:
    """Return what makes each label as common as it is in the pool: its share there over that among the examples.

    Only for texts drawn like the pool; a holdout that was drawn like the examples has their shares.

    Args:
        probabilities, labels, n_examples, n_certain, strength: as for shares.

    Returns:
        Factors > 0 on the labels' odds, shape (n_labels,), for prior.
    """
    return shares(probabilities, labels, n_examples, n_certain, strength) / _example_shares(n_examples)


def after_verdict(
    belief: np.ndarray, candidate: np.ndarray, valid: np.ndarray, sensitivity: Rates, specificity: Rates
) -> np.ndarray:
    """Return the belief after one verdict on one candidate of each document.

    An ``unsure`` verdict and a failed call are no evidence: leave those documents out.

    Args:
        belief: shape (n_documents, k + 1).
        candidate: column of the candidate that was asked about, 0 .. k - 1, shape (n_documents,).
        valid: True where the verdict is ``valid``, False where ``invalid``, shape (n_documents,).
        sensitivity: P(``valid`` | the candidate is right), in [0, 1]; one number or (n_documents,).
        specificity: P(``invalid`` | it is wrong), likewise.

    Returns:
        Belief of the same shape. A row that says the verdict can't happen (a judge without
        error contradicts itself) stays as it was.

    Raises:
        ValueError: for a column that is no candidate.
    """
    columns = np.asarray(candidate, dtype=int)
    if ((columns < 0) | (columns >= belief.shape[1] - 1)).any():
        raise ValueError("A verdict is about one of the candidates 0 .. k - 1.")
    if_right = np.where(valid, sensitivity, 1 - np.asarray(sensitivity))
    if_wrong = np.where(valid, 1 - np.asarray(specificity), specificity)
    asked = np.arange(belief.shape[1]) == columns[:, None]
    return _updated(belief, np.where(asked, if_right[:, None], if_wrong[:, None]))


def after_choice(belief: np.ndarray, chosen: np.ndarray, offered: np.ndarray, accuracy: Rates) -> np.ndarray:
    """Return the belief after the judge chose among offered candidates and "none of these".

    The judge chooses the true option with probability ``accuracy`` and each other option with
    equal chance. A true label that wasn't offered makes "none of these" the true option.

    Args:
        belief: shape (n_documents, k + 1).
        chosen: column of the choice, k for "none of these", shape (n_documents,).
        offered: which candidates could be chosen, boolean, shape (n_documents, k).
        accuracy: in [0, 1]; one number or shape (n_documents,).

    Returns:
        Belief of the same shape. Where nothing was offered, and where the belief says the choice
        can't happen, it stays as it was.

    Raises:
        ValueError: for a choice that wasn't offered.
    """
    options = _with_none(offered)
    columns = np.asarray(chosen, dtype=int)
    in_range = (columns >= 0) & (columns < options.shape[1])
    if not in_range.all() or not options[np.arange(len(columns)), columns].all():
        raise ValueError("A choice must be one of the offered candidates or none of these (k).")
    right, wrong = _choice_rates(options, accuracy)
    none = options.shape[1] - 1
    true_option = np.where(options, np.arange(none + 1), none)
    return _updated(belief, np.where(true_option == columns[:, None], right, wrong))


def expected_information_gain(q: Rates, sensitivity: Rates, specificity: Rates) -> np.ndarray:
    """Return what one verdict is expected to teach: the mutual information of truth and verdict.

    ``h(q se + (1 - q)(1 - sp)) - q h(se) - (1 - q) h(sp)`` with h the binary entropy. Nothing
    where the truth is known (q is 0 or 1) or the judge tosses a coin (se = 1 - sp). Sources:
    Lindley, On a measure of the information provided by an experiment (1956); Houlsby et al.,
    Bayesian active learning for classification and preference learning (BALD, 2011).

    Args:
        q: probability that the candidate is right, in [0, 1], any shape.
        sensitivity: P(``valid`` | right), in [0, 1], broadcast against q.
        specificity: P(``invalid`` | wrong), likewise.

    Returns:
        Nats, in [0, log 2], shape of the broadcast.
    """
    right = np.asarray(q, dtype=float)
    false_valid = 1 - np.asarray(specificity, dtype=float)
    said_valid = right * sensitivity + (1 - right) * false_valid
    known = right * _binary_entropy(sensitivity) + (1 - right) * _binary_entropy(false_valid)
    # Never negative in theory; rounding may leave -1e-17.
    return np.maximum(_binary_entropy(said_valid) - known, 0.0)


def expected_choice_gain(belief: np.ndarray, offered: np.ndarray, accuracy: Rates) -> np.ndarray:
    """Return what one choice is expected to teach: the mutual information of truth and choice.

    The same measure as expected_information_gain, for the judge that after_choice describes.

    Args:
        belief: shape (n_documents, k + 1).
        offered: which candidates can be chosen, boolean, shape (n_documents, k).
        accuracy: in [0, 1]; one number or shape (n_documents,).

    Returns:
        Nats, in [0, log(number of options)], shape (n_documents,); 0 where nothing is offered.
    """
    options = _with_none(offered)
    right, wrong = _choice_rates(options, accuracy)
    true_option = np.where(options, belief, 0.0)
    true_option[:, -1] += np.where(options, 0.0, belief).sum(axis=1)
    choice = np.where(options, wrong + true_option * (right - wrong), 0.0)
    # Whatever the truth, one option is right and the others share the errors evenly.
    known = entr(right) + (options.sum(axis=1, keepdims=True) - 1) * entr(wrong)
    return np.maximum(entropy(choice) - known[:, 0], 0.0)


def entropy(belief: np.ndarray) -> np.ndarray:
    """Return the Shannon entropy of each row in nats, in [0, log(k + 1)], shape (n_documents,)."""
    return entr(belief).sum(axis=1)


def _example_shares(n_examples: np.ndarray) -> np.ndarray:
    counted = np.maximum(n_examples, NO_EXAMPLE)
    return counted / counted.sum()


def _updated(belief: np.ndarray, likelihood: np.ndarray) -> np.ndarray:
    joint = belief * likelihood
    total = joint.sum(axis=1, keepdims=True)
    return np.divide(joint, total, out=np.array(belief, dtype=float), where=total > 0)


def _with_none(offered: np.ndarray) -> np.ndarray:
    """Add the option that is always there: shape (n, k) -> (n, k + 1)."""
    candidates = np.asarray(offered, dtype=bool)
    return np.hstack([candidates, np.ones((len(candidates), 1), dtype=bool)])


def _choice_rates(options: np.ndarray, accuracy: Rates) -> tuple[np.ndarray, np.ndarray]:
    """Return the chances to choose the true option and each wrong one, both (n, 1)."""
    n_wrong = options.sum(axis=1, keepdims=True) - 1
    # With nothing to choose but "none of these", even a bad judge chooses it.
    right = np.where(n_wrong > 0, np.reshape(accuracy, (-1, 1)), 1.0)
    return right, (1 - right) / np.maximum(n_wrong, 1)


def _binary_entropy(p: Rates) -> np.ndarray:
    # entr is -inf below 0, where rounding may lead.
    inside = np.clip(p, 0.0, 1.0)
    return entr(inside) + entr(1 - inside)
