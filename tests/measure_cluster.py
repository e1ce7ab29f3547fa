"""What further workers of a Dask cluster bring: seconds for encoding and predicting with 1, 2 and 4 of them.

python -m tests.measure_cluster banking77

Each worker is a process of one thread, all on this machine: with two cores four are no faster than two.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests import real_data
from tests.site import Site

LOOK = "from tests import measure_cluster; measure_cluster.look({name!r})"
WORKERS = (1, 2, 4)
REPEATS = 3
N_SEEDS = 30
N_ENCODED, N_PREDICTED = 8_192, 131_072
# As far down as a round looks.
N_CANDIDATES = 10


def main(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(Site(Path(folder)).manage("shell", "-v0", "-c", LOOK.format(name=name)))


def look(name: str) -> None:
    """Print how long each number of workers takes, and how many times as fast as one they are."""
    import numpy as np
    from distributed import LocalCluster
    from django.conf import settings

    from classifiers.embeddings import encode_block
    from classifiers.red_classifier import RedClassifier, candidates_of_block
    from labelling.jobs import cluster, vectors
    from labelling.jobs.rounds import learning

    seeds = real_data.with_seeds(real_data.read(real_data.FOLDER / name / "train.csv"), N_SEEDS)
    texts = [text for text, _label in seeds][:N_ENCODED]
    encoder = vectors.load_encoder(settings.ENCODER)
    X = encoder.encode([text for text, label in seeds if label])
    model = RedClassifier(random_state=0).fit(X, [label for _text, label in seeds if label])
    pool = np.resize(X, (N_PREDICTED, X.shape[1]))
    chunks = _parted(texts, vectors.CHUNK_TEXTS)
    blocks = [(block, N_CANDIDATES, None) for block in _parted(pool, learning.CHUNK_TEXTS)]
    seconds: dict[int, list[tuple[float, float]]] = {n: [] for n in WORKERS}
    # In turn, so that a machine that slows down slows down all.
    for n in WORKERS * REPEATS:
        with LocalCluster(n_workers=n, threads_per_worker=1, processes=True, dashboard_address=None) as workers:
            settings.DASK_SCHEDULER = workers.scheduler_address
            with cluster.where_settings_say():
                # What a worker loads once doesn't count.
                _timed(encode_block, encoder, chunks[: 4 * n])
                encoding = _timed(encode_block, encoder, chunks)
                seconds[n].append((encoding, _timed(candidates_of_block, model, blocks)))
    one = np.median(seconds[1], axis=0)
    for n in WORKERS:
        taken = np.median(seconds[n], axis=0)
        encoded, predicted = (f"in {s:.1f} s ({times:.2f} x)" for s, times in zip(taken, one / taken, strict=True))
        sys.stdout.write(
            f"{n} of one thread: {len(texts):,} encoded {encoded}, {N_PREDICTED:,} predicted {predicted}\n"
        )


def _timed(function: Callable[[Any, Any], Any], shared: Any, parts: Sequence[Any]) -> float:
    from classifiers import spreading

    started = time.perf_counter()
    for _ in spreading.each(function, shared, parts):
        pass
    return time.perf_counter() - started


def _parted(rows: Any, size: int) -> list[Any]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


if __name__ == "__main__":
    main(sys.argv[1])
