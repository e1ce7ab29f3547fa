"""Release a project's data set from the command line, in the same way as in the browser."""

from __future__ import annotations

import shutil
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError, CommandParser

from labelling import jobs
from labelling.models import Project, Release
from labelling.services import Refused, releases


class Command(BaseCommand):
    help = "Writes a project's next release, and prints where its files are, with their SHA-256."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("project", help="the project's slug, as in its address")
        parser.add_argument("--note", default="", help="what it is for, or what is new")
        parser.add_argument("--to", type=Path, metavar="DIR", help="copy the files into this folder, too")

    def handle(self, *args, **options) -> None:
        project = Project.objects.filter(slug=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['project']!r}.")
        try:
            release = releases.start_here(project, options["note"])
            jobs.run_release(release.pk)
            release.refresh_from_db()
            self._show(release, options["to"])
        except (Refused, OSError) as error:
            raise CommandError(str(error)) from error

    def _show(self, release: Release, to: Path | None) -> None:
        if to:
            to.mkdir(parents=True, exist_ok=True)
        for name, file in release.files.items():
            path = release.folder / name
            if to:
                path = Path(shutil.copy(path, to / f"{release.project.slug}-release-{release.number}-{name}"))
            self.stdout.write(f"{file['sha256']}  {path}")
        self.stderr.write(release.certificate["claim"])
