"""Measure how often the certificate holds while too many labels are wrong."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError, CommandParser

from labelling.benchmark.certificates import KINDS, LONG_FACTOR, N_PROJECTS, as_markdown, measure, measure_long


class Command(BaseCommand):
    help = (
        "Simulates projects in which too many labels are or become wrong, looks at the certificate after every audit, "
        "and prints the share of projects in which it ever held although more than 5 % were wrong, with the bound of "
        "Clopper and Pearson beside it."
    )
    requires_system_checks: list = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--projects", type=int, default=N_PROJECTS, help=f"of each kind (default {N_PROJECTS})")
        parser.add_argument("--random-state", type=int, default=0)
        parser.add_argument("--json", metavar="OUT.json", type=Path, help="write all figures there")

    def handle(self, *args, **options) -> None:
        n_projects, seed, path = options["projects"], options["random_state"], options["json"]
        if n_projects < 1 or seed < 0:
            raise CommandError("It takes one project at least, and a random state of 0 or more.")
        if path and not path.resolve().parent.is_dir():
            raise CommandError(f"--json {path} can't be written: its folder is missing.")
        figures = [measure_long(LONG_FACTOR * n_projects, seed)]
        for kind in KINDS:
            self.stderr.write(f"{kind.name} …", str)  # in no colour: it is no error
            figures.append(measure(kind, n_projects, seed))
        if path:
            path.write_text(json.dumps([asdict(one) for one in figures], indent=1), encoding="utf-8")
        self.stdout.write(as_markdown(figures))
