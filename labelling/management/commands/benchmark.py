"""Measure R.E.D. against the article's version and a flat classifier, on data whose labels are known."""

from __future__ import annotations

import shlex
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from labelling.benchmark import report
from labelling.benchmark.data import BadData, Vectors, read_corpus
from labelling.benchmark.embedding import Embedder
from labelling.benchmark.few_examples import Encode, by_examples
from labelling.benchmark.label_list import BadLabels, Listed, parents_by_column, parents_by_prefix, read_labels
from labelling.benchmark.measuring import (
    ARMS,
    MODELS,
    STRATEGIES,
    Settings,
    is_cross_validated,
    measure,
    peak_rss_mb,
)

DEFAULTS = Settings()
# Of Zipf's law: with more hardly any label but the first has texts.
MAX_EXPONENT = 3


class Command(BaseCommand):
    help = (
        "Compares R.E.D., the article's literal version and a flat logistic regression, without a judge and in loops "
        "under the same simulated judge. CSV files need the columns text and label; several, separated by commas, "
        "make a mixture."
    )
    requires_system_checks: list = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("train", metavar="TRAIN.csv", type=_paths, help="seeds and pool are drawn from it")
        parser.add_argument("test", metavar="TEST.csv", type=_paths, help="held-out texts")
        parser.add_argument("--oos", metavar="OOS.csv", type=Path, help="texts of no label, mixed into the loops' pool")
        parser.add_argument(
            "--labels-file", metavar="LABELS.csv", type=Path, help="columns label and code, parent, definition"
        )
        parser.add_argument(
            "--parents",
            nargs="+",
            type=_parents,
            metavar="parent | N",
            help="measure by level: parents from the column parent, or the first N letters and digits of the code",
        )
        for name, least, meaning in (
            ("seeds_per_label", 1, "one text of a label stays in the pool if it has two or more"),
            ("rounds", 1, "of each loop"),
            ("judge_calls_per_round", 0, "about so many; 0: no judge"),
            ("reviews_per_round", 0, "the most, audits included"),
        ):
            _add(parser, name, _at_least(least), meaning)
        _add(parser, "judge_sensitivity", _share, "P(valid | the label is right); in choose form P(right choice)")
        _add(parser, "judge_specificity", _share, "P(invalid | the label is wrong)")
        parser.add_argument(
            "--copying-judge", action="store_true", help="a judge that knows no more than the nearest seeds, instead"
        )
        _add(parser, "threshold", _share, "posterior from which a label counts as settled")
        _add(parser, "limit", _share, "the largest share of wrong labels that is certified")
        parser.add_argument(
            "--review-strategy", choices=STRATEGIES, default=DEFAULTS.review_strategy, help="for people's questions"
        )
        parser.add_argument("--question", choices=["validate", "choose"], default=DEFAULTS.question)
        parser.add_argument("--random-state", type=_at_least(0), nargs="+", default=list(DEFAULTS.random_states))
        parser.add_argument("--labels", type=_at_least(2), help="the most labels, drawn at random (default: all)")
        parser.add_argument("--pool", type=_at_least(1), help="the most texts in the pool (default: all)")
        parser.add_argument(
            "--zipf",
            type=_exponent,
            default=DEFAULTS.zipf,
            metavar="S",
            help="skew the pool: the label of rank r, by lot, has r ** -S times as many texts as the first (try 1.0)",
        )
        parser.add_argument(
            "--arms", nargs="+", choices=ARMS, default=list(ARMS), help="what to compare (default: all; red always)"
        )
        parser.add_argument(
            "--examples-per-label",
            type=_at_least(0),
            nargs="+",
            metavar="K",
            help="instead: accuracy by the number of examples; names and, of --labels-file, definitions count too",
        )
        parser.add_argument(
            "--adapt", action="store_true", help="with --examples-per-label: once more by an encoder that learns them"
        )
        parser.add_argument("--no-loop", action="store_true", help="measure without judge calls only")
        parser.add_argument("--encoder", default=settings.ENCODER, help="a sentence-transformers name")
        parser.add_argument("--cache", type=Path, default=Path(settings.BASE_DIR) / "var" / "embeddings")
        parser.add_argument("--json", metavar="OUT.json", type=Path, help="write all figures there")
        parser.add_argument("--plot", metavar="OUT.png", type=Path, help="draw the learning curves there")

    def handle(self, *args, **options) -> None:
        _check_outputs(options)
        chosen = _settings(options)
        if options["parents"] and not options["labels_file"]:
            raise CommandError("--parents needs --labels-file, which has the codes or parents.")
        try:
            figures = self._measure(chosen, options)
            if options["json"]:
                options["json"].write_text(report.as_json(figures), encoding="utf-8")
            few = bool(options["examples_per_label"])
            if options["plot"]:
                (report.plot_few if few else report.plot)(figures, options["plot"])
        except (BadData, BadLabels, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(report.few_as_markdown(figures) if few else report.as_markdown(figures))

    def _measure(self, chosen: Settings, options: dict) -> dict:
        corpus = read_corpus(options["train"], options["test"], options["oos"])
        if options["labels_file"]:
            listed = read_labels(options["labels_file"])
            corpus = replace(corpus, listed=listed, parents=_parents_of(listed, options["parents"] or []))
        embedder = Embedder(options["encoder"], options["cache"], self._say)
        started = time.perf_counter()
        vectors = embedder.corpus(corpus)
        embed_seconds = time.perf_counter() - started
        if options["examples_per_label"]:
            states = chosen.random_states
            numbers = list(dict.fromkeys(options["examples_per_label"]))

            def adapt(texts: Sequence[str], y: np.ndarray, random_state: int) -> tuple[Vectors, Encode]:
                other = embedder.adapted(texts, y, corpus.names, random_state)
                return other.corpus(corpus), other.vectors

            found = by_examples(
                corpus, vectors, embedder.vectors, numbers, states, self._say, adapt if options["adapt"] else None
            )
            return report.few_as_dict(found, shlex.join(["python", *sys.argv]), states)
        measured = measure(corpus, vectors, chosen, self._say)
        n_labels, n_seeds = (int(measured[0].dataset[name]) for name in ("labels", "seeds"))
        run = report.Run(
            command=shlex.join(["python", *sys.argv]),
            arguments=asdict(chosen) | {"encoder": embedder.encoder.name},
            embed_seconds=embed_seconds,
            n_encoded=embedder.n_encoded,
            cross_validated=is_cross_validated(n_labels, n_seeds, chosen.seeds_per_label),
            peak_rss_mb=peak_rss_mb(),
        )
        return report.as_dict(measured, run)

    def _say(self, step: str) -> None:
        self.stderr.write(step, str)  # in no colour: it is no error
        self.stderr.flush()


def _settings(options: dict) -> Settings:
    wanted = dict.fromkeys(options["arms"])
    values = {one.name: options[one.name] for one in fields(Settings) if one.name in options} | {
        "random_states": tuple(options["random_state"]),
        "baselines": tuple(name for name in MODELS if name in wanted and name != "red"),
        "arms": () if options["no_loop"] else tuple(arm for arm in ARMS if arm in wanted or arm == "red"),
    }
    if not 0 < values["limit"] < 1:
        raise CommandError("The limit must lie between 0 and 1.")
    return Settings(**values)


def _check_outputs(options: dict) -> None:
    """Find out before the work, not after it, that its result can't be written."""
    for name in ("json", "plot"):
        path = options[name]
        if path and (path.is_dir() or not path.resolve().parent.is_dir()):
            raise CommandError(f"--{name} {path} can't be written: it is a folder, or its folder is missing.")


def _add(parser: CommandParser, name: str, kind: Callable[[str], float], meaning: str) -> None:
    default = getattr(DEFAULTS, name)
    parser.add_argument(
        f"--{name.replace('_', '-')}", type=kind, default=default, help=f"{meaning} (default {default})"
    )


def _parents_of(listed: Mapping[str, Listed], how: Sequence[str | int]) -> dict[str, str]:
    lengths = [one for one in how if isinstance(one, int)]
    return parents_by_prefix(listed, lengths) if lengths else parents_by_column(listed) if how else {}


def _parents(value: str) -> str | int:
    return value if value == "parent" else _at_least(1)(value)


def _paths(names: str) -> list[Path]:
    return [Path(name) for name in names.split(",")]


def _at_least(least: int) -> Callable[[str], int]:
    def number(value: str) -> int:
        if not value.isdecimal() or int(value) < least:
            raise ArgumentTypeError(f"{value!r} should be a whole number of {least} or more")
        return int(value)

    return number


def _exponent(value: str) -> float:
    try:
        exponent = float(value)
    except ValueError:
        exponent = -1.0
    if not 0 <= exponent <= MAX_EXPONENT:
        raise ArgumentTypeError(f"{value!r} should be a number between 0 and {MAX_EXPONENT}")
    return exponent


def _share(value: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ArgumentTypeError(f"{value!r} should be a number between 0 and 1")
    return share
