"""The real worker, killed with SIGKILL again and again at moments nobody chose."""

from __future__ import annotations

import json
import random
import time

import psutil
import pytest

from tests.site import Site, running_site, wait_for

pytestmark = pytest.mark.slow

SLUG = "eastmere-contact-centre"
FACTS = f"""
import json
from collections import Counter
from labelling.models import *
round_ = Round.objects.get(project__slug="{SLUG}")
documents = Document.objects.filter(project__slug="{SLUG}")
print(json.dumps({{
    "state": round_.state,
    "error": round_.error,
    "step": round_.step,
    "documents": documents.count(),
    "embedded": Embedding.objects.count(),
    "predictions": Prediction.objects.count(),
    "queries": round_.queries.count(),
    "verdicts": Verdict.objects.count(),
    "queue": QueueEntry.objects.count(),
    "learnt": TrainingExample.objects.filter(learned_in=round_).count(),
    "uncertain": round_.uncertain,
    "holdout_accuracy": round_.holdout_accuracy,
}}))
"""


def facts(site: Site) -> dict:
    return json.loads(site.manage("shell", "--no-imports", "-c", FACTS))


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict:
    """What the demo's first round comes to when nobody kills anything."""
    with running_site(tmp_path_factory.mktemp("undisturbed")) as site:
        wait_for(lambda: facts(site)["state"] == "done", "the round", seconds=300)
        return facts(site)


@pytest.mark.parametrize("victims", ["all", "main", "one"])
def test_a_worker_killed_at_random_ends_the_round_all_the_same(tmp_path, undisturbed, victims):
    """The Procfile starts a dead worker anew; its jobs go on where they were."""
    rng = random.Random(victims)
    with running_site(tmp_path) as site:
        for _ in range(4):
            time.sleep(rng.uniform(2, 12))
            processes = site.worker_processes()
            kill({"all": processes, "main": processes[:1], "one": rng.sample(processes, 1)}[victims])
        wait_for(lambda: facts(site)["state"] in ("done", "failed"), "the round", seconds=400)
        assert facts(site) == undisturbed
        wait_for(lambda: len(site.worker_processes()) == 10, "the worker's ten processes and no orphan")


def test_killed_with_everything_the_next_start_goes_on(tmp_path, undisturbed):
    with running_site(tmp_path) as site:
        time.sleep(6)
        kill([*site.worker_processes(), *site.web_processes()])
        site.stop()
        site.start()
        wait_for(lambda: facts(site)["state"] in ("done", "failed"), "the round", seconds=300)
        assert facts(site) == undisturbed
