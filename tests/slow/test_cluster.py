"""A round whose heavy work a Dask cluster does: the same to the last bit, also when a worker of it is killed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from distributed import Client, LocalCluster

from labelling import jobs
from labelling.jobs import vectors
from labelling.jobs.rounds import learning
from labelling.models import Embedding, Prediction
from labelling.services import rounds
from tests.factories import FRUIT, import_rows, make_project
from tests.fakes import SlowEncoder

pytestmark = [pytest.mark.slow, pytest.mark.django_db, pytest.mark.timeout(600)]

N_POOL = 400


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch) -> None:
    monkeypatch.setattr(vectors, "CHUNK_TEXTS", 16)
    monkeypatch.setattr(learning, "CHUNK_TEXTS", 16)
    monkeypatch.setattr(vectors, "load_encoder", lambda name: encoder)


encoder = SlowEncoder()


def learnt() -> dict[str, Any]:
    """All that a round of the same project finds."""
    Embedding.objects.all().delete()
    project = make_project()
    import_rows(
        project, [(f"{fruit} {fruit} {n % 7} {n}", fruit * (n < 6)) for fruit in FRUIT for n in range(N_POOL // 4)]
    )
    round_ = rounds.start_round(project)
    jobs.run_round(round_.pk)
    round_.refresh_from_db()
    assert round_.state == "done", round_.error
    names = dict(project.labels.values_list("pk", "name"))
    found = Prediction.objects.filter(round=round_).order_by("document__text")
    return {
        "vectors": {key: bytes(vector) for key, vector in Embedding.objects.values_list("text_hash", "vector")},
        "predictions": [
            ([(names[pk], p) for pk, p in one.candidates], one.belief, one.entropy, one.posterior) for one in found
        ],
    }


def test_a_round_finds_the_same_on_a_cluster_and_when_a_worker_is_killed(cluster, settings):
    here = learnt()
    assert len(here["predictions"]) == N_POOL - 24
    settings.DASK_SCHEDULER = cluster.scheduler_address
    assert learnt() == here
    with Client(cluster) as client:
        [pid, _other] = client.run(os.getpid).values()
        killer = threading.Timer(1.0, psutil.Process(pid).kill)
        killer.start()
        assert learnt() == here
        killer.join()
        assert pid not in client.run(os.getpid).values()


def test_a_cluster_that_is_not_there_fails_the_round_and_says_so(settings, monkeypatch):
    from labelling.jobs import cluster as where

    monkeypatch.setattr(where, "PATIENCE_SECONDS", 1.0)
    settings.DASK_SCHEDULER = "tcp://127.0.0.1:9"
    project = make_project()
    import_rows(project, [(f"{fruit} {n}", fruit * (n < 2)) for fruit in FRUIT for n in range(4)])
    round_ = rounds.start_round(project)
    with pytest.raises(where.JobFailed):
        jobs.run_round(round_.pk)
    round_.refresh_from_db()
    assert round_.state == "failed"
    assert "tcp://127.0.0.1:9" in str(round_.error)
