"""Run the background worker: django-q2's cluster, with a heartbeat, that stops at once and leaves nothing behind."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import NoReturn

from django.core.management.base import BaseCommand
from django_q.cluster import Cluster
from django_q.signals import post_spawn, pre_execute

from labelling.jobs.worker import Heart

PR_SET_PDEATHSIG = 1


class Command(BaseCommand):
    help = "Runs the background worker (django-q2) until it is stopped. A job it was at is gone on with later."

    def handle(self, *args, **options) -> None:
        heart = Heart(main_pid=os.getpid())

        def spawned(**kwargs) -> None:
            signal.signal(signal.SIGTERM, _exit)
            heart.start()

        def working(**kwargs) -> None:
            heart.busy = True

        post_spawn.connect(spawned)
        pre_execute.connect(working)
        if sys.platform == "linux":
            os.register_at_fork(after_in_child=_stop_with_parent)
        cluster = Cluster()

        def stop(number, frame) -> NoReturn:
            if cluster.sentinel:
                cluster.sentinel.terminate()
            _exit()

        # Cluster's own handlers wait until the running job has ended, and hang when the whole
        # process group is signalled. Our jobs can be gone on with, so nothing needs to wait.
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        cluster.start()
        cluster.sentinel.join()
        sys.exit("The cluster has died.")


def _exit(*args) -> NoReturn:
    """Leave in order: a job that is held gives back its lease on the way out."""
    sys.exit(0)


def _stop_with_parent() -> None:
    """Have the kernel stop this process when its parent dies.

    django-q2's processes outlive a killed parent: its orphaned pusher would go on taking messages
    that nobody works on.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
