"""What the benchmark found: figures over the random states, as JSON, tables and learning curves."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from labelling.benchmark.measuring import ARMS, MODELS, Figures, Measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Summary = dict[str, float | None]
CURVES = {
    "heldout_accuracy": "Held-out accuracy",
    "pool_labelled": "Share of the pool labelled",
    "pool_right": "Share of those right",
    "certified": "Share of the pool certified",
}
NOT_MEASURED = dict.fromkeys(
    ("accuracy", "pool_accuracy", "macro_f1", "coverage_at_95", "ece", "recall_at_10", "pool_recall_at_10"), math.nan
)
COLOURS = dict(zip(ARMS, ("tab:gray", "tab:orange", "tab:blue", "tab:green", "tab:purple"), strict=True))

# What is measured by the number of examples: model and figure.
FEW = {
    "R.E.D.": ("red", "accuracy"),
    "its ECE": ("red", "ece"),
    "with the encoder adapted": ("adapted", "accuracy"),
    "ECE then": ("adapted", "ece"),
    "flat": ("flat", "accuracy"),
    "centroid with name": ("centroid", "accuracy"),
}
FEW_COLOURS = {"red": "tab:blue", "flat": "tab:gray", "centroid": "tab:orange"}


@dataclass(frozen=True)
class Run:
    """How the figures came about.

    Attributes:
        command: the command line.
        arguments: all of them, those left to their defaults too.
        embed_seconds: for all texts of the run, encoded or read.
        n_encoded: texts that were encoded, not read from the cache.
        cross_validated: whether C of the flat classifier was.
        peak_rss_mb: of the whole run.
    """

    command: str
    arguments: dict[str, object]
    embed_seconds: float
    n_encoded: int
    cross_validated: bool
    peak_rss_mb: float


def summary(rows: Sequence[Figures]) -> Summary:
    """Return each figure's mean and, as ``<key>_sd``, its standard deviation over the random states.

    Values that are no number (the share that is right of nothing) don't count; None where none is left, and for the
    deviation of a single value.
    """
    figures: Summary = {}
    for key in rows[0]:
        values = [row[key] for row in rows if math.isfinite(row[key])]
        # Equal counts stay whole numbers.
        figures[key] = None if not values else fmean(values) if len(set(values)) > 1 else values[0]
        figures[f"{key}_sd"] = stdev(values) if len(values) > 1 else None
    return figures


def curve(states: Sequence[Sequence[Figures]]) -> list[Summary]:
    """Return one summary a round; a loop that has stopped keeps its last round's figures."""
    rounds = []
    for index in range(max(len(state) for state in states)):
        figures = summary([state[min(index, len(state) - 1)] for state in states])
        figures.pop("round_sd")
        rounds.append(figures | {"round": index + 1})
    return rounds


def as_dict(measured: Sequence[Measured], run: Run) -> dict:
    """Return all figures under the keys of the JSON file; they are the same for every run, unknown values are None."""
    stops = [one.stopped for one in measured if one.stopped]
    return {
        "dataset": summary([one.dataset for one in measured]),
        "no_judge": {name: summary([one.no_judge.get(name, NOT_MEASURED) for one in measured]) for name in MODELS},
        "loop": {arm: curve([one.loop[arm] for one in measured]) for arm in measured[0].loop},
        "stopped": summary([{"round": number} for number, _ in stops] or [{"round": math.nan}])
        | {"reason": [reason for _, reason in stops]},
        "oos": summary([{"auroc": math.nan if one.auroc is None else one.auroc} for one in measured]),
        "seconds": summary([one.seconds for one in measured]) | summary([{"embed": run.embed_seconds}]),
        "peak_rss_mb": measured[0].peak_rss_mb,
        "run": {
            "command": run.command,
            "arguments": run.arguments,
            "texts_encoded": run.n_encoded,
            "flat_c": [one.flat_c if math.isfinite(one.flat_c) else None for one in measured],
            "flat_c_cross_validated": run.cross_validated,
            "peak_rss_mb": run.peak_rss_mb,
        },
    }


def as_json(figures: dict) -> str:
    return json.dumps(figures, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def as_markdown(figures: dict) -> str:
    """Return the tables for people, with the command line that made them."""
    parts = [_dataset(figures), _no_judge(figures), _loops(figures), _costs(figures)]
    return "\n\n".join([*filter(None, parts), f"`{figures['run']['command']}`"]) + "\n"


def plot(figures: dict, path: Path) -> None:
    """Draw the learning curves of all loops as a PNG file, one standard deviation shaded."""
    drawing, all_axes = _drawing(len(CURVES), (15, 4))
    for axes, (key, title) in zip(all_axes, CURVES.items(), strict=True):
        for arm, rounds in figures["loop"].items():
            points = [(one["round"], one[key], one[f"{key}_sd"] or 0.0) for one in rounds if one[key] is not None]
            _line(axes, points, COLOURS[arm], arm)
        axes.set(title=title, xlabel="Round")
        axes.set_xticks(range(1, 1 + max(map(len, figures["loop"].values()), default=0)))
        if figures["loop"]:
            axes.legend()
    drawing.savefig(path, format="png", dpi=120)


def few_as_dict(found: Mapping[str, Mapping[str, Sequence[Figures]]], command: str, states: Sequence[int]) -> dict:
    """Return the figures by the number of examples and model under the keys of the JSON file."""
    by_number = {number: {name: summary(rows) for name, rows in models.items()} for number, models in found.items()}
    return {"examples_per_label": by_number, "run": {"command": command, "random_states": list(states)}}


def few_as_markdown(figures: dict) -> str:
    """Return accuracy and calibration error by the number of examples, with the command line that made them."""
    by_number = figures["examples_per_label"]
    measured = {name for models in by_number.values() for name in models}
    columns = {head: column for head, column in FEW.items() if column[0] in measured}
    cells = [
        [number, *(_number(models[name], key, 3) if name in models else "–" for name, key in columns.values())]
        for number, models in by_number.items()
    ]
    return f"{_table(['examples of each label', *columns], cells)}\n\n`{figures['run']['command']}`\n"


def plot_few(figures: dict, path: Path) -> None:
    """Draw accuracy against examples as a PNG file, one standard deviation shaded."""
    drawing, axes = _drawing(1, (6, 4))
    by_number = figures["examples_per_label"]
    for name in ("red", "flat", "centroid"):
        known = [
            (int(number), models[name]) for number, models in by_number.items() if models[name]["accuracy"] is not None
        ]
        points = [
            (number, row["accuracy"], row["accuracy_sd"] or 0.0) for number, row in sorted(known, key=itemgetter(0))
        ]
        _line(axes[0], points, FEW_COLOURS[name], name)
    axes[0].set(title="Accuracy on test texts", xlabel="Examples of each label")
    axes[0].set_xscale("symlog", linthresh=1)
    axes[0].set_xticks([int(number) for number in by_number], labels=list(by_number))
    axes[0].legend()
    drawing.savefig(path, format="png", dpi=120)


def _drawing(n: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(drawing)
    axes = drawing.subplots(1, n, squeeze=False)[0].tolist()
    for one in axes:
        one.grid(alpha=0.3)
    return drawing, axes


def _line(axes: Axes, points: Sequence[tuple[float, float, float]], colour: str, label: str) -> None:
    """Draw (x, mean, standard deviation)."""
    numbers, means = [point[0] for point in points], [point[1] for point in points]
    axes.plot(numbers, means, marker="o", markersize=3, color=colour, label=label)
    low, high = ([mean + sign * sd for _, mean, sd in points] for sign in (-1, 1))
    axes.fill_between(numbers, low, high, color=colour, alpha=0.15, linewidth=0)


def _dataset(figures: dict) -> str:
    dataset, arguments = figures["dataset"], figures["run"]["arguments"]
    states = " ".join(str(state) for state in arguments["random_states"])
    rates = f"{arguments['judge_sensitivity']:g}/{arguments['judge_specificity']:g}"
    judge = "that copies the nearest seeds" if arguments["copying_judge"] else rates
    outside = f" ({dataset['oos']:,.0f} of them out of scope)" if dataset["oos"] else ""
    return (
        f"{dataset['labels']:,.0f} labels, {dataset['seeds']:,.0f} seeds, {dataset['pool']:,.0f} pool texts{outside}, "
        f"{dataset['test']:,.0f} test texts; random states {states}; judge {judge}, "
        f"question {arguments['question']}; encoder {arguments['encoder']}."
    )


def _no_judge(figures: dict) -> str:
    heads = ["no judge", "accuracy", "on the pool", "macro-F1", "coverage at 95 %", "ECE", "in ten", "in ten, pool"]
    cells = [
        [
            name,
            _number(row, "accuracy", 4),
            _number(row, "pool_accuracy", 4),
            _number(row, "macro_f1", 4),
            _percent(row, "coverage_at_95"),
            _number(row, "ece", 4),
            _number(row, "recall_at_10", 4),
            _number(row, "pool_recall_at_10", 4),
        ]
        for name, row in figures["no_judge"].items()
        if row["accuracy"] is not None
    ]
    table = _table(heads, cells)
    lines = []
    if chosen := ", ".join(f"{c:g}" for c in figures["run"]["flat_c"] if c is not None):
        tuned = figures["run"]["flat_c_cross_validated"]
        how = "by cross-validation" if tuned else "not cross-validated on data this size"
        lines.append(f"C of the flat classifier, {how}: {chosen}.")
    if figures["oos"]["auroc"] is not None:
        lines.append(f"AUROC in-scope against out-of-scope (red): {_number(figures['oos'], 'auroc', 4)}.")
    return "\n\n".join([table, *filter(None, [" ".join(lines)])])


def _loops(figures: dict) -> str:
    if not figures["loop"]:
        return ""
    cells = []
    for arm, rounds in figures["loop"].items():
        last = rounds[-1]
        cells.append(
            [
                f"{arm}, round {last['round']}",
                _number(last, "judge_calls", 3),
                _percent(last, "reviews"),
                _percent(last, "pool_labelled"),
                _percent(last, "pool_right"),
                _number(last, "heldout_accuracy", 4),
                _percent(last, "certified"),
                _percent(last, "certified_wrong"),
                _number(last, "audits", 0),
            ]
        )
    heads = ["loop", "calls per pool text", "reviewed", "pool labelled", "right", "held-out accuracy"]
    heads += ["certified", "wrong", "audits"]
    stopped = figures["stopped"]
    if stopped["round"] is None:
        return _table(heads, cells)
    reasons = "\n".join(f"- {reason}" for reason in dict.fromkeys(stopped["reason"]))
    return f"{_table(heads, cells)}\n\nThe loop of red ended after round {stopped['round']:.3g}:\n\n{reasons}"


def _costs(figures: dict) -> str:
    seconds, steps = figures["seconds"], ("embed", "partition", "fit", "predict")
    encoded = figures["run"]["texts_encoded"]
    source = f"{encoded:,} texts encoded" if encoded else "read from the cache"
    heads = [f"embed ({source})", *steps[1:], "peak memory"]
    cells = [*(f"{_number(seconds, step, 1)} s" for step in steps), f"{figures['peak_rss_mb']:.0f} MB"]
    return _table(["red, no judge", *heads], [["", *cells]])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(row: Summary, key: str, digits: int, factor: float = 1.0) -> str:
    mean, sd = row[key], row[f"{key}_sd"]
    if mean is None:
        return "–"
    return f"{factor * mean:.{digits}f}" + ("" if sd is None else f" ± {factor * sd:.{digits}f}")


def _percent(row: Summary, key: str) -> str:
    return "–" if row[key] is None else f"{_number(row, key, 1, 100.0)} %"
