"""Delete vectors of texts that are no more."""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandError

from labelling.services import Refused
from labelling.services.adapting import sweep
from labelling.services.removals import sweep_vectors


class Command(BaseCommand):
    help = (
        "Deletes vectors that no document needs: of labels that were renamed, and of encoders that are used no more; "
        "and the weights of adapted encoders that no project has."
    )

    def handle(self, *args, **options) -> None:
        try:
            n = sweep_vectors()
        except Refused as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"{n:,} vectors were deleted.")
        if n_orphans := sweep():
            self.stdout.write(f"Adapted encoders of no project: {n_orphans} were deleted.")
