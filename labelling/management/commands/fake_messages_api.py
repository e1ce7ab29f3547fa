"""Serve a stand-in for the Messages API on this machine."""

from __future__ import annotations

import signal
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from labelling.csv_io.columns import Columns
from labelling.csv_io.formats import NotCsv, detect
from labelling.csv_io.rows import Problem, Row, read_rows
from labelling.fake_messages_api import FAILURES, FakeModel, MessagesApi, Truth


class Command(BaseCommand):
    help = (
        "Serve a stand-in for the Messages API at a port of 127.0.0.1: for trying the judge without a key. "
        "It compares words, or is right as often as you say where it is given the true labels, and costs nothing; "
        "GET /fake/books tells what a real one would have charged."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8090)
        parser.add_argument("--latency", type=float, default=0.3, help="seconds until an answer")
        parser.add_argument("--cache-min-tokens", type=int, default=1024, help="shortest system prompt that is cached")
        parser.add_argument("--seed", type=int, default=0, help="of the failures, and of what it is wrong about")
        parser.add_argument(
            "--truth",
            type=Path,
            metavar="FILE.csv",
            help="true labels to answer from, in columns text and label; other texts belong to no label",
        )
        parser.add_argument(
            "--sensitivity",
            type=_rate,
            default=0.95,
            help="with --truth: P(valid | the label is right), and of a choice P(the right option)",
        )
        parser.add_argument(
            "--specificity", type=_rate, default=0.95, help="with --truth: P(invalid | the label is wrong)"
        )
        parser.add_argument(
            "--fail",
            action="append",
            default=[],
            metavar="NAME=SHARE",
            help=f"let this share of the calls fail: all={{share}} for every way, or one of {', '.join(FAILURES)}",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        model = FakeModel(
            latency=options["latency"],
            failures=_shares(options["fail"]),
            cache_min_tokens=options["cache_min_tokens"],
            seed=options["seed"],
            truth=_truth(options) if options["truth"] else None,
        )
        with MessagesApi(model, port=options["port"]) as api:
            self.stdout.write(
                f"A stand-in for the Messages API answers at {api.url} (Ctrl-C stops it).\n"
                f"Start the product with JUDGE_BASE_URL={api.url} ANTHROPIC_API_KEY=any, "
                "and choose the judge “anthropic” in a project's settings.\n"
                f"What it was asked, and what that would have cost: {api.url}/fake/books"
            )
            self.stdout.flush()
            # Asked for by name: a shell starts what runs in its background with Ctrl-C ignored.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: api.closing.set())
            api.closing.wait()


def _truth(options: dict[str, Any]) -> Truth:
    return Truth(labels_in(options["truth"]), options["sensitivity"], options["specificity"], options["seed"])


def labels_in(path: Path) -> dict[str, str]:
    """The label by text of a CSV file, read as an import reads it; of equal texts the first one counts.

    Raises:
        CommandError: when the file can't be read, or a row of it.
    """
    labels: dict[str, str] = {}
    try:
        with path.open("rb") as file:
            for row in read_rows(file, detect(file), Columns("text", "label"), settings.MAX_TEXT_CHARS):
                if isinstance(row, Problem):
                    raise CommandError(f"--truth {path}, line {row.line}: {row.reason}")
                if isinstance(row, Row):
                    labels.setdefault(row.text, row.label)
    except (NotCsv, OSError) as error:
        raise CommandError(f"--truth {path} can't be read: {error}") from error
    return labels


def _rate(value: str) -> float:
    try:
        rate = float(value)
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        raise ArgumentTypeError(f"{value!r} should be a number between 0 and 1")
    return rate


def _shares(arguments: list[str]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for argument in arguments:
        name, _, share = argument.partition("=")
        try:
            value = float(share)
        except ValueError as error:
            raise CommandError(f"--fail {argument}: give a share, as in --fail overloaded=0.1") from error
        if name == "all":
            shares |= dict.fromkeys(FAILURES, value / len(FAILURES))
        elif name in FAILURES:
            shares[name] = value
        else:
            raise CommandError(f"--fail {argument}: choose all or one of {', '.join(FAILURES)}.")
    return shares
