"""Query strategies: which documents are worth a question. A higher score is asked first.

To add one, write a function of the same shape and name it in STRATEGIES.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from classifiers.red_classifier import Candidates

Strategy = Callable[[Candidates, np.random.Generator], np.ndarray]


def entropy(candidates: Candidates, rng: np.random.Generator) -> np.ndarray:
    """Ask where the proposing classifier spreads its probability widest (the article's choice)."""
    return candidates.entropy


def margin(candidates: Candidates, rng: np.random.Generator) -> np.ndarray:
    """Ask where the best two labels are closest; scores lie in [-1, 0]."""
    best = candidates.probabilities[:, 0]
    second = candidates.probabilities[:, 1] if candidates.probabilities.shape[1] > 1 else 0.0
    return second - best


def random(candidates: Candidates, rng: np.random.Generator) -> np.ndarray:
    """Ask anywhere, with equal chance: the control that every strategy must beat."""
    return rng.random(len(candidates))


STRATEGIES: dict[str, Strategy] = {"entropy": entropy, "margin": margin, "random": random}


def choose(candidates: Candidates, strategy: str, batch_size: int, random_state: int = 0) -> np.ndarray:
    """Return the positions of the documents to ask about, highest score first.

    Args:
        candidates: of the documents that may be asked about.
        strategy: a name in STRATEGIES.
        batch_size: how many documents to choose at most.
        random_state: seed, for strategies that draw.

    Returns:
        Positions in ``candidates``, shape (min(batch_size, n_documents),). Equal scores keep
        the documents' order.

    Raises:
        ValueError: for an unknown strategy.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"Unknown query strategy {strategy!r}; choose from {', '.join(STRATEGIES)}.")
    scores = STRATEGIES[strategy](candidates, np.random.default_rng(random_state))
    return np.argsort(-scores, kind="stable")[:batch_size]
