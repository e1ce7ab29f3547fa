"""Hold the encoder and the projects' models, and answer the web process."""

from __future__ import annotations

import signal
import sys

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from labelling.jobs.serving import AlreadyServed, ModelServer


class Command(BaseCommand):
    help = "Holds the encoder and the projects' models, and answers suggest requests of the web server."

    def handle(self, *args, **options) -> None:
        try:
            server = ModelServer(settings.MODEL_SOCKET)
        except (AlreadyServed, OSError) as error:
            raise CommandError(str(error)) from error
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            self.stdout.write(f"Answering at {settings.MODEL_SOCKET}")
            server.run()
        except KeyboardInterrupt:
            pass
        finally:
            server.close()
