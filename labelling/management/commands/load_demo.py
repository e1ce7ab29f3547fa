"""Make the demo project: once, and never over somebody's work."""

from __future__ import annotations

import csv
import io
import secrets
import sys
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.core.files import File
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from django.utils.text import slugify

from labelling import jobs
from labelling.models import Membership, Price, Project
from labelling.services import imports, labels, projects, rounds

DEMO = Path(__file__).resolve().parents[2] / "demo"
NAME = "Eastmere contact centre"
TASK = (
    "Messages from residents to the contact centre of Eastmere, a fictional town. "
    "The label says which team has to act on what the person wants done."
)
# What the stand-in's model is called where a simulation judges the demo (SIMULATED_JUDGE): it costs nothing.
SIMULATION = "simulation"
FREE = dict.fromkeys(("input", "output", "cache_write", "cache_read", "cache_min_tokens"), 0)


class Command(BaseCommand):
    help = "Creates the demo project with two accounts, unless it exists already."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="do nothing where there are users already")

    def handle(self, *args, **options) -> None:
        demo = Project.objects.filter(slug=slugify(NAME)).first()
        if demo and not demo.rounds.exists():
            demo.delete()  # an earlier start was interrupted while it loaded the project
        elif options["once"] and not demo and User.objects.exists():
            self.stdout.write("This installation is in use: the demo project is not loaded again.")
            return
        elif demo:
            self.stdout.write("The demo project is there already.")
            self.stdout.write(f"A new password: {sys.executable} manage.py changepassword admin")
            return
        with transaction.atomic():
            admin, expert = self._account("admin", is_staff=True, is_superuser=True), self._account("expert")
            judged = self._simulation() if settings.SIMULATED_JUDGE else {}
            project = projects.create_project(
                NAME, admin, task=TASK, batch_size=30, retrain_after=25, limit="0.10", **judged
            )
            projects.set_member(project, expert, Membership.Role.REVIEWER)
        self._load(project, admin)
        rounds.start_round(project, admin)

    @staticmethod
    def _simulation() -> dict[str, object]:
        """A project's settings under the simulated judge, whose price the ledger knows."""
        Price.objects.get_or_create(model=SIMULATION, defaults={**FREE, "source": "A simulation: nothing is paid."})
        return {"judge": Project.JudgeName.ANTHROPIC, "judge_model": SIMULATION, "confirm_spending": False}

    def _account(self, username: str, **flags: bool) -> User:
        user, created = User.objects.get_or_create(username=username, defaults=flags)
        if created:
            password = secrets.token_urlsafe(9)
            user.set_password(password)
            user.save()
            self.stdout.write(f"Log in as {username:<7} with the password {password}")
        return user

    def _load(self, project: Project, admin: User) -> None:
        with (DEMO / "labels.csv").open(encoding="utf-8") as file:
            definitions = {row["name"]: row["definition"] for row in csv.DictReader(file)}
        for name, label in labels.create_labels(project, definitions).items():
            labels.define(label, definitions[name], admin)
        with (DEMO / "texts.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        visible = [row if row["role"] == "seed" else row | {"label": ""} for row in rows if row["role"] != "holdout"]
        self._import(project, admin, "demo.csv", visible)
        self._import(project, admin, "demo-holdout.csv", [row for row in rows if row["role"] == "holdout"], holdout=100)

    @staticmethod
    def _import(project: Project, admin: User, name: str, rows: Iterable[dict[str, str]], holdout: int = 0) -> None:
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, ["id", "text", "label"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
        csv_import = imports.upload(project, File(io.BytesIO(out.getvalue().encode()), name=name), admin)
        csv_import.holdout_percent = holdout
        imports.start_here(csv_import)
        jobs.run_import(csv_import.pk)
