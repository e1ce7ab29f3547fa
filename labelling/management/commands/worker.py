"""Run the background worker: django-q2's cluster, with a heartbeat, that stops at once and leaves nothing behind."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from multiprocessing.connection import wait
from typing import NoReturn

from django.core.management.base import BaseCommand, CommandError
from django_q.brokers import get_broker
from django_q.cluster import Cluster
from django_q.conf import Conf
from django_q.signals import post_spawn, pre_execute

from labelling.jobs.worker import Heart
from labelling.services import Refused, upgrading
from labelling.services.queueing import QUICK_LANE

PR_SET_PDEATHSIG = 1
# By queue: how many jobs at the same time.
LANES: dict[str, int] = {Conf.CLUSTER_NAME: Conf.WORKERS, QUICK_LANE: 1}


class Command(BaseCommand):
    help = "Runs the background worker (django-q2) until it is stopped. A job it was at is gone on with later."

    def handle(self, *args, **options) -> None:
        try:
            upgrading.check()
        except Refused as refusal:
            raise CommandError(str(refusal)) from refusal
        heart = Heart(main_pid=os.getpid(), lane="")

        def spawned(**kwargs) -> None:
            signal.signal(signal.SIGTERM, _exit)
            heart.start()

        def working(**kwargs) -> None:
            heart.busy = True

        post_spawn.connect(spawned)
        pre_execute.connect(working)
        if sys.platform == "linux":
            os.register_at_fork(after_in_child=_stop_with_parent)
        clusters: list[Cluster] = []

        def stop(*args) -> NoReturn:
            for cluster in clusters:
                if cluster.sentinel:
                    cluster.sentinel.terminate()
            _exit()

        # Cluster's own handlers wait until the running job has ended, and hang when the whole
        # process group is signalled. Our jobs can be gone on with, so nothing needs to wait.
        for heart.lane, n_workers in LANES.items():
            clusters.append(Cluster(get_broker(heart.lane)))
            signal.signal(signal.SIGTERM, stop)
            signal.signal(signal.SIGINT, stop)
            # Read by the process that is forked here, which keeps the lane too.
            Conf.WORKERS = n_workers
            clusters[-1].start()
        wait([cluster.sentinel.sentinel for cluster in clusters])
        for cluster in clusters:
            cluster.sentinel.terminate()
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
