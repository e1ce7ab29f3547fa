"""What rounds on many texts cost whose vectors are at hand: seconds, memory at its peak, bytes a document.

python -m tests.measure_round --documents 100000 1000000

Texts and vectors are made up: as many clusters as labels, each document near the centre of one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.site import ROOT, Site

MAKE = "from tests import measure_round; measure_round.make({documents}, {labels}, {random_state})"
RUN = "from tests import measure_round; measure_round.run({decisions})"
TELL = "from tests import measure_round; measure_round.tell()"
N_DIMS = 384
N_SEEDS = 10
N_WORDS = 8
# How far documents lie from the centre of their label, in lengths of the centre's vector.
SPREAD = 1.2
CHUNK = 2_000
ROUNDS = 2
DECISIONS = 40


def make(n_documents: int, n_labels: int, random_state: int) -> None:
    """Write a project without a judge, of N_SEEDS examples of each label and so many other texts, with all vectors."""
    import numpy as np
    from django.contrib.auth.models import User

    from classifiers.embeddings import in_words
    from labelling.jobs import statistics
    from labelling.jobs.vectors import Space
    from labelling.models import Document, Embedding, Label, TrainingExample
    from labelling.services import projects

    rng = np.random.default_rng(random_state)
    manager = User.objects.create_user("ann")
    project = projects.create_project("Many", manager, judge="none", retrain_after=0)
    [encoder] = Space.of(project).encoders
    labels = Label.objects.bulk_create(Label(project=project, name=f"label {n}") for n in range(n_labels))
    centres = _units(rng.standard_normal((n_labels, N_DIMS)))
    words = np.array([f"word{n}" for n in range(20_000)])

    def embeddings(keys: list[str], X: Any) -> list[Embedding]:
        rows = zip(keys, X.astype(np.float32), strict=True)
        return [Embedding(text_hash=key, encoder=encoder.name, vector=row.tobytes()) for key, row in rows]

    names = [_hash(in_words(label.name)) for label in labels]
    Embedding.objects.bulk_create(embeddings(names, centres))
    n_seeds = N_SEEDS * n_labels
    for start in range(0, n_seeds + n_documents, CHUNK):
        numbers = np.arange(start, min(start + CHUNK, n_seeds + n_documents))
        codes = np.where(numbers < n_seeds, numbers % n_labels, rng.integers(n_labels, size=len(numbers)))
        drawn = words[(rng.integers(40, size=(len(numbers), N_WORDS)) + 40 * codes[:, None]) % len(words)]
        texts = [f"{' '.join(row)} {n}" for row, n in zip(drawn, numbers, strict=True)]
        keys = list(map(_hash, texts))
        noise = rng.standard_normal((len(numbers), N_DIMS)) * SPREAD / N_DIMS**0.5
        Embedding.objects.bulk_create(embeddings(keys, _units(centres[codes] + noise)))
        given = [labels[code] if n < n_seeds else None for code, n in zip(codes, numbers, strict=True)]
        documents = Document.objects.bulk_create(
            Document(
                project=project,
                text=text,
                text_hash=key,
                given_label=label,
                given_source="seed" if label else "",
            )
            for text, key, label in zip(texts, keys, given, strict=True)
        )
        TrainingExample.objects.bulk_create(
            TrainingExample(document=document, label=label, source="seed")
            for document, label in zip(documents, given, strict=True)
            if label
        )
    statistics.gather()


def _units(X: Any) -> Any:
    import numpy as np

    return X / np.linalg.norm(X, axis=1, keepdims=True)


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def run(n_decisions: int) -> None:
    """Run the next round, and print its steps' seconds; then decide on some of what it laid out."""
    from labelling import jobs
    from labelling.models import Prediction, Project
    from labelling.services import claims, review, rounds

    project = Project.objects.get()
    round_ = rounds.start_round(project)
    jobs.run_round(round_.pk)
    round_.refresh_from_db()
    assert round_.state == round_.State.DONE, round_.error
    told = {"steps": round_.seconds, "written": Prediction.objects.filter(round=round_).count()}
    sys.stdout.write(json.dumps(told) + "\n")
    reviewer = project.memberships.get().user
    for _ in range(n_decisions):
        if entry := claims.claim_next(project, reviewer):
            review.decide(project, entry.pk, reviewer, "accept")


def tell() -> None:
    """Print how many bytes a prediction takes, its indexes included."""
    from django.db import connection

    from labelling.models import Prediction

    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_total_relation_size('labelling_prediction')")
        else:
            cursor.execute(
                "SELECT sum(pgsize) FROM dbstat JOIN sqlite_master USING (name) WHERE tbl_name = 'labelling_prediction'"
            )
        [size] = cursor.fetchone()
    sys.stdout.write(f"{size / Prediction.objects.count():.0f}\n")


def measure(folder: Path, documents: int, labels: int, random_state: int) -> None:
    site, shell = Site(folder), ("shell", "--no-imports", "-c")
    site.manage(*shell, MAKE.format(documents=documents, labels=labels, random_state=random_state))
    for number in range(1, ROUNDS + 1):
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "manage.py", *shell, RUN.format(decisions=DECISIONS)],
            cwd=ROOT, env=site.environment, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout
        said = process.stdout.read().splitlines()
        _pid, status, used = os.wait4(process.pid, 0)
        assert status == 0
        told, seconds = json.loads(said[-1]), used.ru_utime + used.ru_stime
        steps = ", ".join(f"{name} {seconds:.0f}" for name, seconds in told["steps"].items())
        sys.stdout.write(
            f"{documents:>9,}  {number}  {seconds:8.1f} s {time.monotonic() - started:8.1f} s "
            f"{used.ru_maxrss >> 10:6,} MB {told['written']:>9,} written  {steps}\n"
        )
        sys.stdout.flush()
    sys.stdout.write(f"{documents:>9,}  bytes a prediction: {site.manage(*shell, TELL).strip()}\n")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--random-state", type=int, default=0)
    wanted = parser.parse_args(arguments)
    sys.stdout.write("documents  round  processor  by the clock  memory  predictions  seconds of each step\n")
    for n_documents in wanted.documents:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), n_documents, wanted.labels, wanted.random_state)


if __name__ == "__main__":
    main(sys.argv[1:])
