"""Reviewers who decide without pause, against the real web server: how fast it is, and whether anything is lost.

python -m tests.load_review --documents 100000 --labels 943 --reviewers 8 --seconds 60 --restarts 2
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlencode

from tests import real_data
from tests.site import Site

SLUG = "load"
PASSWORD = "of simulated reviewers"
PATIENCE = 60.0
PAUSE_AFTER_REFUSAL = 0.2
PAUSE_WHEN_IDLE = 0.5
LOOKS_WHEN_IDLE = 6
CHUNK = 2_000
N_CANDIDATES = 10
N_SEEDS = 10
N_EXAMPLES = 5
DATA_SETS = ("banking77", "clinc150", "onet", "arxiv")
WORDS = [f"word{n}" for n in range(997)]
MAKE = "from tests import load_review; load_review.make_project({documents}, {labels}, {reviewers}, {overlap}, {real})"
COUNT = "import json; from tests import load_review; print(json.dumps(load_review.decided()))"
DECIDE = re.compile(rb'action="(/p/[^"/]+/review/\d+/decide/)"')


@dataclass
class Figures:
    """What the reviewers saw, and what the database says at the end.

    Attributes:
        seconds: how long they worked.
        took: seconds of each decide-and-next that was answered with success.
        statuses: answers by status; 0 for a connection that was refused or cut.
        saved: decisions in the database.
        too_many, too_few: documents decided more often than the overlap asks, or gone from the queue with fewer.
        waiting: documents left in the queue.
    """

    seconds: float = 0.0
    took: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    saved: int = 0
    too_many: int = 0
    too_few: int = 0
    waiting: int = 0

    @property
    def sent(self) -> int:
        """Decisions that the server confirmed."""
        return len(self.took)

    @property
    def a_second(self) -> float:
        return self.sent / self.seconds

    @property
    def median_ms(self) -> float:
        return 1000 * statistics.median(self.took)

    @property
    def p95_ms(self) -> float:
        return 1000 * statistics.quantiles(self.took, n=20)[-1]

    @property
    def lost(self) -> int:
        return self.sent - self.saved

    @property
    def wrong_answers(self) -> dict[int, int]:
        """Answers that nobody should get: server errors, and conflicts, for nobody is handed what another has."""
        return {status: n for status, n in self.statuses.items() if status >= 400}

    def __str__(self) -> str:
        statuses = ", ".join(f"{status or 'no answer'}: {n}" for status, n in sorted(self.statuses.items()))
        rows = [
            ("decisions a second", f"{self.a_second:.1f}"),
            ("decide and next, median", f"{self.median_ms:.0f} ms"),
            ("decide and next, p95", f"{self.p95_ms:.0f} ms"),
            ("decisions confirmed", f"{self.sent:,}"),
            ("documents decided too often", f"{self.too_many}"),
            ("documents decided too rarely", f"{self.too_few}"),
            ("decisions lost", f"{self.lost}"),
            ("answers by status", statuses),
            ("documents still waiting", f"{self.waiting:,}"),
        ]
        return "\n".join(f"{name:<28} {value}" for name, value in rows)


def measure(
    folder: Path,
    documents: int,
    labels: int,
    reviewers: int,
    seconds: float = float("inf"),
    restarts: int = 0,
    think: float = 0.0,
    overlap: float = 0.0,
    real: bool = False,
    meanwhile: Callable[[Site], None] | None = None,
) -> Figures:
    """Let reviewers decide until the time is over or nothing is left, and return what came of it.

    The web server is killed and started again ``restarts`` times; ``think``: seconds between two decisions. ``real``:
    texts and labels of the data sets. What is to happen ``meanwhile`` ends their work when it returns.
    """
    site = Site(folder)
    # One more account than reviewers: for whoever does something meanwhile.
    wanted = {"documents": documents, "labels": labels, "reviewers": reviewers + 1, "overlap": overlap, "real": real}
    site.manage("shell", "--no-imports", "-c", MAKE.format(**wanted))
    figures, ended = Figures(), threading.Event()
    all_there = threading.Barrier(reviewers + 1)
    site.start("web")
    try:
        people = [Reviewer(site, f"reviewer{n}", think, figures, all_there, ended) for n in range(reviewers)]
        for person in people:
            person.start()
        all_there.wait(PATIENCE)
        started = time.monotonic()
        _restart(site, people, restarts, started, min(seconds, PATIENCE))
        if meanwhile:
            meanwhile(site)
            ended.set()
        for person in people:
            person.join(max(0.0, started + seconds - time.monotonic()) if seconds != float("inf") else None)
        ended.set()
        for person in people:
            person.join()
            figures.statuses += person.answered
        figures.seconds = time.monotonic() - started
    finally:
        ended.set()
        all_there.abort()
        site.stop()
    found = json.loads(site.manage("shell", "--no-imports", "-c", COUNT))
    for name, value in found.items():
        setattr(figures, name, value)
    return figures


class Reviewer(threading.Thread):
    """Logs in, and accepts one document after the other; sends again what got no answer, as the page does."""

    def __init__(
        self,
        site: Site,
        name: str,
        think: float,
        figures: Figures,
        all_there: threading.Barrier,
        ended: threading.Event,
    ):
        super().__init__(name=name, daemon=True)
        self.port, self.think, self.figures, self.all_there, self.ended = site.port, think, figures, all_there, ended
        self.cookies: dict[str, str] = {}
        self.connection: http.client.HTTPConnection | None = None
        self.answered: Counter[int] = Counter()

    def run(self) -> None:
        self._until_answered("GET", "/login/")
        self._until_answered("POST", "/login/", {"username": self.name, "password": PASSWORD})
        page = self._look()
        self.all_there.wait(PATIENCE)
        idle = 0
        while not self.ended.is_set() and idle < LOOKS_WHEN_IDLE:
            if not (found := DECIDE.search(page)):
                # Others may leave something for a second person.
                idle += 1
                self.ended.wait(PAUSE_WHEN_IDLE)
                page = self._look()
                continue
            idle = 0
            started = time.monotonic()
            status, page = self._until_answered("POST", found[1].decode(), {"choice": "accept"})
            if status == 200:
                self.figures.took.append(time.monotonic() - started)
            if status >= 500:
                page = found[0]  # not saved: the same once more
            if self.think:
                self.ended.wait(random.expovariate(1 / self.think))

    def _look(self) -> bytes:
        return self._until_answered("GET", f"/p/{SLUG}/review/")[1]

    def _until_answered(self, method: str, address: str, sent: dict[str, str] | None = None) -> tuple[int, bytes]:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            status, body = self._request(method, address, sent)
            self.answered[status] += 1
            if status:
                return status, body
            time.sleep(PAUSE_AFTER_REFUSAL)
        raise TimeoutError(f"{self.name} got no answer from {address}")

    def _request(self, method: str, address: str, sent: dict[str, str] | None) -> tuple[int, bytes]:
        """One request; status 0 when the connection was refused or cut."""
        headers = {
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
            "X-CSRFToken": self.cookies.get("csrftoken", ""),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        if "decide" in address:
            headers["HX-Request"] = "true"
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            self.connection.request(method, address, urlencode(sent or {}), headers)
            answer = self.connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            self.connection = None
            return 0, b""
        for cookie in answer.headers.get_all("Set-Cookie", []):
            name, _, value = cookie.split(";")[0].partition("=")
            self.cookies[name] = value
        return answer.status, body


def _restart(site: Site, people: list[Reviewer], times: int, started: float, within: float) -> None:
    """Kill the web server and start it again, evenly over a time within which the reviewers work."""
    for n in range(times):
        pause = started + (n + 1) * min(within, 6.0 * (times + 1)) / (times + 1) - time.monotonic()
        time.sleep(max(0.0, pause))
        if not any(person.is_alive() for person in people):
            raise RuntimeError("The reviewers had finished before the web server was restarted: take more documents.")
        for process in site.web_processes():
            process.kill()
        site.stop()
        site.start("web")


def make_project(
    n_documents: int, n_labels: int, n_reviewers: int, overlap: float = 0.0, real: bool = False, name: str = SLUG
) -> None:
    """Write a project whose documents all wait for review, as a round would have laid them out; no model is needed."""
    from django.contrib.auth.hashers import make_password
    from django.contrib.auth.models import User

    from labelling.models import (
        Definition,
        Document,
        Label,
        Prediction,
        Query,
        QueueEntry,
        Round,
        TrainingExample,
        Verdict,
    )
    from labelling.services import claims, projects

    rng = random.Random(0)
    password = make_password(PASSWORD)
    users = [
        User.objects.get_or_create(username=f"reviewer{n}", defaults={"password": password, "is_staff": n == 0})[0]
        for n in range(n_reviewers)
    ]
    project = projects.create_project(name, users[0], overlap=overlap)
    for user in users[1:]:
        projects.set_member(project, user, "reviewer")
    settings = {"random_seed": 0, "overlap": overlap, "strategy": "gain", "certainty": 0.85}
    round_ = Round.objects.create(project=project, number=1, state="done", settings=settings)
    rows = _real_rows(rng, n_labels) if real else _rows(rng, n_labels, n_documents)
    names = dict.fromkeys(name for _, name in rows)
    labels = Label.objects.bulk_create(
        Label(project=project, name=name, definition=_text(rng, 30), definition_version=1) for name in names
    )
    Definition.objects.bulk_create(Definition(label=label, version=1, text=label.definition) for label in labels)
    codes_of = {name: n for n, name in enumerate(names)}
    known, pool = _split(rows, n_documents)
    seeds = Document.objects.bulk_create(_documents(project, known, "seed"), batch_size=CHUNK)
    seeds_of: dict[int, list[Document]] = {n: [] for n in range(n_labels)}
    for document, (_, name) in zip(seeds, known, strict=True):
        seeds_of[codes_of[name]].append(document)
    TrainingExample.objects.bulk_create(
        (
            TrainingExample(document=document, label=labels[n], source="seed", learned_in=round_)
            for n, documents in seeds_of.items()
            for document in documents
        ),
        batch_size=CHUNK,
    )
    for start in range(0, n_documents, CHUNK):
        here = pool[start : start + CHUNK]
        documents = Document.objects.bulk_create(_documents(project, here, ""))
        others = [rng.sample(range(n_labels), min(N_CANDIDATES, n_labels)) for _ in here]
        proposed = [
            list(dict.fromkeys([codes_of[name], *codes]))[: len(codes)]
            for (_, name), codes in zip(here, others, strict=True)
        ]
        candidates = [[[labels[n].pk, round(0.4 / (k + 1), 4)] for k, n in enumerate(codes)] for codes in proposed]
        examples = [
            [
                [seed.pk, labels[n].pk, 0.8 - 0.1 * k]
                for n in codes[:4]
                for k, seed in enumerate(seeds_of[n][:N_EXAMPLES])
            ]
            for codes in proposed
        ]
        Prediction.objects.bulk_create(
            Prediction(
                document=document,
                round=round_,
                label_id=found[0][0],
                probability=found[0][1],
                entropy=2.0,
                candidates=found,
                belief=[*(p for _, p in found), 0.01],
                posterior=found[0][1],
                posterior_label_id=found[0][0],
                gain=0.3,
            )
            for document, found in zip(documents, candidates, strict=True)
        )
        queries = Query.objects.bulk_create(
            Query(
                round=round_,
                document=document,
                label_id=found[0][0],
                rank=start + n,
                reason="audit" if n % 10 == 0 else "uncertain",
                probability=found[0][1],
                posterior=found[0][1],
                entropy=rng.uniform(1, 3),
                candidates=found,
                examples=nearest,
                neighbours=nearest[:10],
            )
            for n, (document, found, nearest) in enumerate(zip(documents, candidates, examples, strict=True))
        )
        Verdict.objects.bulk_create(
            Verdict(
                query=query,
                verdict=rng.choice(["valid", "invalid", "unsure"]),
                reason=_text(rng, 12),
                judge="neighbours",
                model="nearest",
                prompt_version="1",
            )
            for query in queries
        )
        QueueEntry.objects.bulk_create(claims.entry_for(query) for query in queries)


def decided() -> dict[str, int]:
    """What the database holds in the end."""
    from labelling.models import Decision, QueueEntry

    decisions = Decision.objects.standing().values_list("document", "people")
    waiting = set(QueueEntry.objects.values_list("document", flat=True))
    asked_for = dict(decisions)
    times = Counter(document_id for document_id, _ in decisions)
    return {
        "saved": times.total(),
        "too_many": sum(times[document_id] > people for document_id, people in asked_for.items()),
        "too_few": sum(times[pk] < people for pk, people in asked_for.items() if pk not in waiting),
        "waiting": len(waiting),
    }


def _rows(rng: random.Random, n_labels: int, n_documents: int) -> list[tuple[str, str]]:
    """Texts made of words, with the names of labels in turn."""
    n_rows = N_SEEDS * n_labels + n_documents
    return [(f"{n}: {_text(rng, 25)}", f"label {n % n_labels}") for n in range(n_rows)]


def _real_rows(rng: random.Random, n_labels: int) -> list[tuple[str, str]]:
    """The data sets' texts with their labels, each once, in any order; two sets know an exchange_rate."""
    rows = {
        text: f"{label} ({name})"
        for name in DATA_SETS
        for text, label in real_data.read(real_data.data_set(name) / "train.csv")
    }
    known = set(sorted(set(rows.values()))[:n_labels])
    chosen = [row for row in rows.items() if row[1] in known]
    return rng.sample(chosen, len(chosen))


def _split(rows: list[tuple[str, str]], n_documents: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Seeds, the first ``N_SEEDS`` of each label, and a pool of the others."""
    n_seen: Counter[str] = Counter()
    seeds: list[tuple[str, str]] = []
    pool: list[tuple[str, str]] = []
    for text, name in rows:
        n_seen[name] += 1
        (seeds if n_seen[name] <= N_SEEDS else pool).append((text, name))
    return seeds, pool[:n_documents]


def _documents(project, rows: Iterable[tuple[str, str]], source: str) -> Iterator:
    from labelling.models import Document

    for text, _ in rows:
        hashed = sha256(text.encode()).hexdigest()
        yield Document(project=project, text=text, text_hash=hashed, given_source=source)


def _text(rng: random.Random, n_words: int) -> str:
    return " ".join(rng.choices(WORDS, k=n_words))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=5_000)
    parser.add_argument("--labels", type=int, default=943)
    parser.add_argument("--reviewers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0, help="0: until nothing is left")
    parser.add_argument("--restarts", type=int, default=0, help="how often the web server is killed meanwhile")
    parser.add_argument("--think", type=float, default=0.0, help="seconds between two decisions, on average")
    parser.add_argument("--real", action="store_true", help="texts and labels of the data sets that RED_DATA names")
    parser.add_argument("--overlap", type=float, default=0.0, help="share that two people decide on")
    wanted = vars(parser.parse_args(arguments))
    wanted["seconds"] = wanted["seconds"] or float("inf")
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(f"{measure(Path(folder), **wanted)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
