"""Runs what is compared, once for each random state: classifiers without a judge, then loops under the same judge."""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.metrics import roc_auc_score

from classifiers.baselines import N_FOLDS, FlatClassifier
from classifiers.ensemble import N_CANDIDATES, split_labels
from classifiers.evaluation import calibration_error, coverage_at_precision, score
from classifiers.query import STRATEGIES
from classifiers.red_classifier import RedClassifier
from classifiers.simulation import ArticleLoop, CopyingJudge, Data, Judge, Loop, Model, Plan, RoundResult
from classifiers.trees import right_by_level
from labelling.benchmark.data import Corpus, Vectors, draw, some_labels

MODELS = ("flat", "article", "red")
ARMS = (*MODELS, "random", "people")
__all__ = ["ARMS", "MODELS", "STRATEGIES", "Measured", "Settings", "is_cross_validated", "measure", "peak_rss_mb"]

PRECISION = 0.95
# Above this, labels x seeds, cross-validating C of the flat classifier takes hours.
MAX_CROSS_VALIDATED = 10_000_000
C_UNTUNED = 10.0

Say = Callable[[str], None]
Figures = dict[str, float]


@dataclass(frozen=True)
class Settings:
    """What is measured and how; see the command's arguments of the same names.

    Attributes:
        labels: the most labels, drawn at random; None: all.
        pool: the most texts of the pool; None: all.
        zipf: exponent of the frequencies of the pool's labels; 0: as they are in the file.
        baselines: what R.E.D. is compared with, of MODELS.
        arms: the loops to run, of ARMS; none: only what needs no judge. That of a baseline needs the baseline.
    """

    seeds_per_label: int = 30
    rounds: int = 8
    judge_calls_per_round: int = 400
    reviews_per_round: int = 40
    judge_sensitivity: float = 0.95
    judge_specificity: float = 0.95
    copying_judge: bool = False
    question: str = "validate"
    review_strategy: str = Plan().people
    threshold: float = Plan().threshold
    limit: float = Plan().limit
    random_states: tuple[int, ...] = (0, 1, 2)
    labels: int | None = None
    pool: int | None = None
    zipf: float = 0.0
    baselines: tuple[str, ...] = ("flat", "article")
    arms: tuple[str, ...] = ARMS

    def plan(self, random_state: int) -> Plan:
        return Plan(
            rounds=self.rounds,
            judge_calls=self.judge_calls_per_round,
            reviews=self.reviews_per_round,
            question=self.question,
            people=self.review_strategy,
            limit=self.limit,
            threshold=self.threshold,
            random_state=random_state,
        )


@dataclass(frozen=True)
class Measured:
    """The figures of one random state.

    Attributes:
        dataset: how many labels, seeds, texts in the pool and test texts.
        no_judge: by model, without the baselines that were left out.
        loop: by arm, one entry a round.
        stopped: round and reason of R.E.D.'s loop, None when it wasn't run.
        auroc: of texts in scope against those out of scope; None without the latter.
        seconds: of R.E.D. without a judge; imports and compilation are not counted.
        peak_rss_mb: of the process after R.E.D.'s first fit and prediction.
        flat_c: the flat classifier's C; NaN when it was left out.
    """

    dataset: Figures
    no_judge: dict[str, Figures]
    loop: dict[str, list[Figures]]
    stopped: tuple[int, str] | None
    auroc: float | None
    seconds: Figures
    peak_rss_mb: float
    flat_c: float


def measure(corpus: Corpus, vectors: Vectors, settings: Settings, say: Say) -> list[Measured]:
    """Measure every random state; ``say`` is told of each step."""
    return [_measure(corpus, vectors, settings, state, say) for state in settings.random_states]


def is_cross_validated(n_labels: int, n_seeds: int, seeds_per_label: int) -> bool:
    """Whether C of the flat classifier is chosen by cross-validation: not on large data, nor with too few examples."""
    return n_labels * n_seeds <= MAX_CROSS_VALIDATED and seeds_per_label >= N_FOLDS


def peak_rss_mb() -> float:
    """The most memory that this process has had so far."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _measure(corpus: Corpus, vectors: Vectors, settings: Settings, random_state: int, say: Say) -> Measured:
    def state_says(step: str) -> None:
        say(f"state {random_state}: {step}")

    if settings.labels:
        corpus, vectors = some_labels(corpus, vectors, settings.labels, random_state)
    data, mixed = draw(corpus, vectors, settings.seeds_per_label, settings.pool, random_state, settings.zipf)
    # R.E.D. comes first: what the others need doesn't count as its memory.
    red, seconds = _red(data, random_state, state_says)
    peak = peak_rss_mb()
    fitted: dict[str, Model] = {}
    flat_c = math.nan
    if "flat" in settings.baselines:
        fitted["flat"] = flat = _flat(data, settings.seeds_per_label, random_state, state_says)
        flat_c = float(flat.regression_.C)
    if "article" in settings.baselines:
        state_says("article without a judge …")
        fitted["article"] = _article(random_state)
        _fit(fitted["article"], data)
    fitted["red"] = red
    loops = {arm: _loop(arm, mixed, settings, random_state, flat_c) for arm in settings.arms}
    return Measured(
        dataset={
            "labels": len(corpus.labels),
            "seeds": len(data.X),
            "pool": len(mixed.X_pool),
            "test": len(data.X_test),
            "oos": len(vectors.oos),
        },
        no_judge={name: _quality(model, data) for name, model in fitted.items()},
        auroc=_auroc(red, data, corpus.oos, vectors.oos) if len(vectors.oos) else None,
        loop={arm: _run(arm, loop, settings.rounds, state_says) for arm, loop in loops.items()},
        stopped=loops["red"].stopped if "red" in loops else None,
        seconds=seconds,
        peak_rss_mb=peak,
        flat_c=flat_c,
    )


def _red(data: Data, random_state: int, say: Say) -> tuple[RedClassifier, Figures]:
    """Fit R.E.D. and predict pool and test texts, with the seconds that each part took."""
    model: RedClassifier = RedClassifier(random_state=random_state)
    say("red without a judge …")
    _partition(model, data)  # loads and compiles UMAP
    seconds = {"partition": _seconds(lambda: _partition(model, data))}
    seconds["fit"] = max(_seconds(lambda: _fit(model, data)) - seconds["partition"], 0.0)
    parts = (data.X_pool, data.texts_pool), (data.X_test, data.texts_test)
    seconds["predict"] = _seconds(lambda: [model.candidates(X, N_CANDIDATES, texts) for X, texts in parts])
    return model, seconds


def _partition(model: RedClassifier, data: Data) -> None:
    """Split the labels as the model's fit does."""
    split_labels(model.choices, data.X, data.y, int(data.y.max()) + 1)


def _flat(data: Data, seeds_per_label: int, random_state: int, say: Say) -> FlatClassifier:
    tuned = is_cross_validated(int(data.y.max()) + 1, len(data.y), seeds_per_label)
    how = "C by cross-validation" if tuned else f"C = {C_UNTUNED:g}, not cross-validated on data of this size"
    say(f"flat without a judge, {how} …")
    model = FlatClassifier(C=None if tuned else C_UNTUNED, random_state=random_state)
    _fit(model, data)
    return model


def _article(random_state: int) -> RedClassifier:
    return RedClassifier(combination="highest", noise_ratio=2.0, random_state=random_state)


def _fit(model: Model, data: Data) -> None:
    model.fit(
        data.X,
        data.y,
        elsewhere=None,
        pool=data.X_pool,
        names=data.names,
        texts=data.texts,
        elsewhere_texts=np.empty(0, dtype=object),
        pool_texts=data.texts_pool,
        label_texts=data.label_texts,
    )


def _quality(model: Model, data: Data) -> Figures:
    found = model.candidates(data.X_test, N_CANDIDATES, data.texts_test)
    in_pool = model.candidates(data.X_pool, N_CANDIDATES, data.texts_pool)
    best, probability = found.labels[:, 0], found.probabilities[:, 0]
    right = best == data.y_test
    agreement = score(data.y_test, best)
    return {
        "accuracy": agreement.accuracy if agreement else float("nan"),
        "pool_accuracy": float((in_pool.labels[:, 0] == data.y_pool).mean()),
        "macro_f1": agreement.macro_f1 if agreement else float("nan"),
        "coverage_at_95": coverage_at_precision(probability, right, PRECISION),
        "ece": calibration_error(probability, right),
        "recall_at_10": float((found.labels == data.y_test[:, None]).any(axis=1).mean()),
        "pool_recall_at_10": float((in_pool.labels == data.y_pool[:, None]).any(axis=1).mean()),
        **_by_level(data, best),
    }


def _by_level(data: Data, predicted: np.ndarray) -> Figures:
    """The share of test texts whose label is right on each level of the tree."""
    counted = right_by_level(data.tree, data.y_test, predicted) if data.tree else []
    return {f"level_{level}_accuracy": right / n for level, (right, n) in enumerate(counted, start=1) if n}


def _auroc(model: Model, data: Data, texts: Sequence[str], outside: np.ndarray) -> float:
    """How well the probability that any candidate is right tells texts of a label from those of none."""
    found = (
        model.candidates(data.X_test, N_CANDIDATES, data.texts_test),
        model.candidates(outside, N_CANDIDATES, np.array(texts, dtype=object)),
    )
    some = [candidates.probabilities.sum(axis=1) for candidates in found]
    belongs = np.repeat([1, 0], [len(data.X_test), len(outside)])
    return float(roc_auc_score(belongs, np.concatenate(some)))


def _loop(arm: str, data: Data, settings: Settings, random_state: int, flat_c: float) -> Loop:
    """All arms have the same budget and judge, which answers the same question the same way; people have no judge."""
    plan = settings.plan(random_state)
    judge: Judge | CopyingJudge = Judge(
        data.y_pool, settings.judge_sensitivity, settings.judge_specificity, random_state
    )
    if settings.copying_judge:
        judge = CopyingJudge.of(data)
    if arm == "article":
        # The article knows no other question.
        plan = replace(plan, strategy="entropy", question="validate")
        return ArticleLoop(data, judge, lambda: _article(random_state), plan)
    if arm == "flat":
        return Loop(data, judge, lambda: FlatClassifier(C=flat_c, random_state=random_state), plan)
    if arm == "random":
        plan = replace(plan, strategy="random")
    if arm == "people":
        plan = replace(plan, judge_calls=0)
    return Loop(data, judge, lambda: RedClassifier(random_state=random_state), plan)


def _run(arm: str, loop: Loop, rounds: int, say: Say) -> list[Figures]:
    figures = []
    say(f"{arm} loop, first fit …")
    for result in loop.run():
        figures.append(_round(result, len(loop.data.X_pool)))
        say(
            f"{arm} loop, round {result.round} of {rounds}: {result.pool_labelled:.1%} of the pool labelled, "
            f"{result.pool_right:.1%} of that right, {result.certified:.1%} certified, "
            f"held-out accuracy {result.heldout_accuracy:.3f}"
        )
    say(f"{arm} loop ended after round {loop.stopped[0]}. {loop.stopped[1]}")
    return figures


def _round(result: RoundResult, n_pool: int) -> Figures:
    return {
        "round": result.round,
        "judge_calls": result.judge_calls / n_pool,
        "reviews": result.reviews / n_pool,
        "heldout_accuracy": result.heldout_accuracy,
        "pool_labelled": result.pool_labelled,
        "pool_right": result.pool_right,
        "uncertain": result.uncertain,
        "expected_gain": result.expected_gain,
        "accepted": result.accepted,
        "accepted_right": result.accepted_right,
        "certified": result.certified,
        "certified_wrong": result.certified_wrong,
        "audits": result.audits,
        "audit_errors": result.audit_errors,
        "bound": result.bound,
        "claimed": result.claimed,
        "claimed_right": result.claimed_right,
        "best_before": result.best_before,
        "best_after": result.best_after,
        **{
            f"level_{level}_{name}": figure
            for level, levels in enumerate(result.levels, start=1)
            for name, figure in vars(levels).items()
        },
    }


def _seconds(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started
