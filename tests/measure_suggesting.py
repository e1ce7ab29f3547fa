"""How quick suggestions are on banking77: one text, 32 at once, and a file beside the encoder alone.

python -m tests.measure_suggesting banking77
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from tests import real_data
from tests.site import Site, wait_for

N_SEEDS = 30
N_SINGLE, N_BATCHES, BATCH = 500, 60, 32
N_FILE = 20_000
ROUND = (
    "from labelling import jobs; from labelling.models import Project; from labelling.services import rounds;"
    "jobs.run_round(rounds.start_round(Project.objects.get(slug='banking')).pk)"
)
PROJECT = (
    "from django.contrib.auth.models import User; from labelling.services import projects;"
    "projects.create_project('banking', User.objects.create_user('ann'), retrain_after=40)"
)


def main(name: str) -> None:
    train, test = (real_data.read(real_data.FOLDER / name / f"{part}.csv") for part in ("train", "test"))
    with tempfile.TemporaryDirectory() as folder:
        site = _learnt(Path(folder), train)
        # Numbered: none of them has a vector yet.
        new = [(f"{text} {n}", "") for n, (text, _label) in zip(range(N_FILE), cycle(test), strict=False)]
        path = real_data.write(Path(folder) / "new.csv", new)
        site.start("model")
        try:
            wait_for((site.folder / "media/models/socket").exists, "the process that holds the models")
            sys.stdout.write(_inside(site, f"ask({str(path)!r})"))
        finally:
            site.stop()
        sys.stdout.write(_inside(site, f"read_file({str(path)!r})"))


def ask(path: str) -> None:
    """Print how long answers take, in a process like the web server's."""
    from labelling.models import Project
    from labelling.services.suggesting import suggest

    project = Project.objects.get(slug="banking")
    texts = [text for text, _label in real_data.read(Path(path))]
    suggest(project, texts[-BATCH:])

    def timed(batches: list[Sequence[str]]) -> list[float]:
        seconds = []
        for batch in batches:
            started = time.perf_counter()
            suggest(project, batch)
            seconds.append(time.perf_counter() - started)
        return seconds

    single = timed([[text] for text in texts[:N_SINGLE]])
    together = timed([texts[start : start + BATCH] for start in range(0, N_BATCHES * BATCH, BATCH)])
    p95 = statistics.quantiles(single, n=20)[-1]
    faster = BATCH * statistics.median(single) / statistics.median(together)
    sys.stdout.write(f"one text: p50 {1e3 * statistics.median(single):.1f} ms, p95 {1e3 * p95:.1f} ms\n")
    sys.stdout.write(f"{BATCH} at once: p50 {1e3 * statistics.median(together):.1f} ms, {faster:.1f} times as fast\n")


def read_file(path: str) -> None:
    """Print how fast a file of new texts is labelled, and how fast the encoder alone is in the same run."""
    import resource

    from labelling.csv_io.texts import TextFile
    from labelling.jobs.suggesting import Model
    from labelling.models import Project
    from labelling.services import predicting
    from labelling.services.suggesting import Answer, Standing, interpret

    project = Project.objects.get(slug="banking")
    model = Model.of(project)
    assert model
    standing = Standing.of(project)
    model.propose(["A text."])

    def suggest(texts: Sequence[str]) -> Answer:
        return Answer(1, standing, interpret(project, standing, model.propose(texts)))

    encoding = labelling = 0.0
    with Path(path).open("rb") as file:
        texts = [row.text for row in TextFile(file).rows()]
        rows = predicting.rows(TextFile(file), suggest, predicting.CHUNK)
        # In turn, so that a machine that slows down slows down both.
        for start in range(0, len(texts), predicting.CHUNK):
            started = time.perf_counter()
            model.space.encoders[0].encode(texts[start : start + predicting.CHUNK])
            encoded = time.perf_counter()
            for _ in range(min(predicting.CHUNK, len(texts) - start)):
                next(rows)
            encoding, labelling = encoding + encoded - started, labelling + time.perf_counter() - encoded
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(
        f"a file: {len(texts) / labelling:.0f} texts a second, {encoding / labelling:.2f} of the encoder alone "
        f"({len(texts) / encoding:.0f}); at most {peak:.0f} MB\n"
    )


def _inside(site: Site, call: str) -> str:
    return site.manage("shell", "-v0", "-c", f"from tests import measure_suggesting; measure_suggesting.{call}")


def _learnt(folder: Path, rows: list[tuple[str, str]]) -> Site:
    """A site with one project that has had a round."""
    site = Site(folder)
    site.manage("shell", "-v0", "-c", PROJECT)
    texts = real_data.write(folder / "texts.csv", real_data.with_seeds(rows, N_SEEDS))
    site.manage("import_csv", "banking", str(texts), "--yes", "--holdout", "0")
    site.manage("shell", "-v0", "-c", ROUND)
    return site


if __name__ == "__main__":
    main(sys.argv[1])
