"""How long the server works on the documents desk of a large project: each filter, sort and search, in milliseconds.

python -m tests.measure_desk arxiv
"""

from __future__ import annotations

import csv
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

from tests import real_data
from tests.site import Site, collect_static

N_DOCUMENTS, N_SEEDS, N_TRIES = 100_000, 30, 7
# Of a column with few values, and one text that has to be read by the encoder.
COLOURS = ("red", "green", "blue", "yellow", "dark grey")
UNKNOWN = "How large language models learn to answer questions about graphs from a handful of examples."
MAKE = (
    "from django.contrib.auth.models import User; from labelling.services import projects;"
    "projects.create_project('desk', User.objects.create_user('ann'))"
)


def main(name: str) -> None:
    rows = real_data.with_seeds(real_data.read(real_data.FOLDER / name / "train.csv"), N_SEEDS)
    more = [(f"{text} ({n})", "") for n, (text, _label) in enumerate(rows[: N_DOCUMENTS - len(rows)])]
    collect_static()
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        site.manage("shell", "--no-imports", "--command", MAKE)
        with (file := site.folder / "texts.csv").open("w", encoding="utf-8", newline="") as out:
            told = ((*row, COLOURS[n % len(COLOURS)], f"page {n}") for n, row in enumerate([*rows, *more]))
            csv.writer(out).writerows([("text", "label", "colour", "page"), *told])
        site.manage("import_csv", "desk", str(file), "--yes")
        call = "from tests import measure_desk; measure_desk.look()"
        sys.stdout.write(site.manage("shell", "--no-imports", "--command", call))


def look() -> None:
    """Print the milliseconds of processor that each page takes, in a process like the web server's."""
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.urls import reverse
    from threadpoolctl import threadpool_limits

    from labelling.jobs import statistics
    from labelling.models import Project

    project, ann = Project.objects.get(), User.objects.get()
    predict(project, ann)
    statistics.gather()
    connection.close()
    serve(project)
    # As in the process that serves models. Libraries that come later would not know of it: numpy came with the models.
    threadpool_limits(limits=1)
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(ann)
    address = reverse("documents", args=[project.slug])
    label = project.labels.order_by("name")[3].pk
    for asked in [
        {},
        *({"sort": sort} for sort in ("newest", "doubtful", "sure")),
        *({"q": words} for words in ("quantum", "neural network", "the", "qu", "zzzz")),
        *({"show": kind} for kind in kinds()),
        {"label": label},
        {"predicted": label},
        {"predicted": label, "sort": "doubtful"},
        {"least": 0.4, "most": 0.5},
        {"least": 0.99, "sort": "sure"},
        {"certified": "yes"},
        {"verdict": "invalid"},
        {"reviewer": ann.pk},
        {"since": "2026-01-01"},
        {"round": project.rounds.get().pk},
        {"source": project.imports.get().pk},
        {"own_id": "77"},
        {"q": "quantum", "predicted": label, "sort": "sure"},
        {"q": "the", "sort": "sure"},
        {"q": "the", "predicted": label},
        {"column": "colour", "value": "red"},
        {"column": "colour", "value": "dark grey", "sort": "doubtful"},
        {"column": "page", "value": "page 77"},
        {"column": "page", "value": "no such page"},
        {"like_document": project.documents.order_by("pk")[77].pk},
        {"like": UNKNOWN},
        {"like": UNKNOWN, "predicted": label},
    ]:
        milliseconds = []
        for _ in range(N_TRIES):
            started = time.process_time()
            assert client.get(address, asked).status_code == 200
            milliseconds.append(1_000 * (time.process_time() - started))
        sys.stdout.write(f"{urlencode(asked) or 'nothing asked':44}{median(milliseconds):6.0f} ms\n")


def serve(project) -> None:
    """Keep vectors, drawn at random, and answer what is asked of them in this process, so that its time counts, too."""
    import numpy as np
    from django.conf import settings

    from labelling.jobs import vectors
    from labelling.jobs.serving import answer
    from labelling.jobs.suggesting import Models
    from labelling.models import Embedding
    from labelling.services import suggesting

    encoder = vectors.load_encoder(settings.ENCODER)
    hashes = list(project.documents.values_list("text_hash", flat=True))
    drawn = np.random.default_rng(0).normal(size=(len(hashes), 384)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    kept = [
        Embedding(text_hash=key, encoder=encoder.name, vector=vector.tobytes())
        for key, vector in zip(hashes, drawn, strict=True)
    ]
    Embedding.objects.bulk_create(kept, batch_size=5_000)
    models = Models()

    @contextmanager
    def asked(message: dict[str, Any]) -> Iterator[Callable[[], dict[str, Any]]]:
        yield partial(answer, models, message)

    suggesting._asked = asked


def kinds() -> list[str]:
    from labelling.services.finding import KINDS

    return [kind for kind in KINDS if kind]


def predict(project, ann) -> None:
    """Write what a round leaves: predictions as unsure as they come, each tenth document decided on and judged."""
    from labelling.models import Decision, Prediction, Query, Round, Verdict

    drawn, labels = random.Random(0), list(project.labels.values_list("pk", flat=True))
    round_ = Round.objects.create(project=project, number=1, state="done")
    predictions = []
    for pk in project.documents.pool().values_list("pk", flat=True):
        best = drawn.sample(labels, 10)
        believed = {"label_id": best[0], "posterior_label_id": best[0], "probability": 0.5, "posterior": drawn.random()}
        found = {"candidates": [[label, 0.1] for label in best], "belief": [0.1] + 10 * [0.09], "entropy": 1.0}
        predictions.append(Prediction(document_id=pk, round=round_, gain=0.3, **believed, **found))
    Prediction.objects.bulk_create(predictions)
    asked = {"round": round_, "rank": 0, "probability": 0.5, "posterior": 0.5, "entropy": 1.0, "candidates": []}
    queries = Query.objects.bulk_create(
        Query(document_id=one.document_id, label_id=one.label_id, examples=[], neighbours=[], **asked)
        for one in predictions[::10]
    )
    Verdict.objects.bulk_create(Verdict(query=query, verdict="invalid", reason="So.", judge="j") for query in queries)
    Decision.objects.bulk_create(
        Decision(document_id=one.document_id, query=one, reviewer=ann, action="accept", label_id=one.label_id)
        for one in queries
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "arxiv")
