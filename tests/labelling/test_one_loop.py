"""The web app and the simulation are one loop: from the same evidence they ask, believe, settle and audit the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from classifiers import simulation
from classifiers.judge import Answer, Question
from classifiers.ledger import NOT_DRAWN
from classifiers.loop.believing import UNKNOWN
from classifiers.red_classifier import RedClassifier
from classifiers.subset_classifier import NOISE
from labelling import jobs
from labelling.models import AuditDraw, CohortMember, Prediction, Project, Query, Round, TrainingExample, Verdict
from labelling.services import rounds
from labelling.services.claims import claim_next
from labelling.services.projects import set_member
from labelling.services.review import decide
from tests.factories import import_rows, make_project, make_user
from tests.fakes import HashingEncoder

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

N_LABELS, N_SEEDS, N_POOL = 9, 5, 260
N_ROUNDS, N_CALLS, N_REVIEWS = 5, 40, 20
SEED = 3
RIGHT = 0.9
# Stored beliefs start from probabilities of six digits; a verdict multiplies what that leaves out.
CLOSE = 2e-5
# What was believed of a choice is put together again from what is stored, for the weight of the judge's word.
CHOICE_CLOSE = 1e-3


@dataclass
class Texts:
    """Words of nine labels; every fourth text is made of two labels' words, every twentieth of no label's."""

    seeds: list[tuple[str, int]] = field(default_factory=list)
    pool: list[tuple[str, int]] = field(default_factory=list)

    @classmethod
    def drawn(cls) -> Texts:
        rng = np.random.default_rng(SEED)
        made = cls()

        def text(number: int, label: int, other: int, n_other: int) -> str:
            words = [f"{name(label)}{word}" for word in rng.integers(0, 6, 5 - n_other)]
            words += [f"{name(other)}{word}" for word in rng.integers(0, 6, n_other)]
            return " ".join([*words, f"text{number}"])

        for number in range(N_LABELS * N_SEEDS):
            label = number % N_LABELS
            made.seeds.append((text(number, label, (label + 1) % N_LABELS, number % 2), label))
        for number in range(N_POOL):
            label, other = rng.choice(N_LABELS, 2, replace=False).tolist()
            nowhere = number % 20 == 7
            words = text(1_000 + number, label, other, 2 if number % 4 == 0 else int(number % 3 == 0))
            made.pool.append((f"else{number} where{number} {words}" if nowhere else words, NOISE if nowhere else label))
        return made


def name(code: int) -> str:
    return "abcdefghi"[code] * 3


@dataclass
class SameJudge:
    """Says in the web app what the simulated judge says."""

    judge: simulation.Judge
    positions: dict[str, int]
    on_seeds: simulation.Judge
    seeds: dict[str, int]
    name: str = "neighbours"
    model: str = "simulated"
    prompt_version: str = "simulated-1"

    def ask(self, question: Question) -> Answer:
        judge, of = (self.on_seeds, self.seeds) if question.text in self.seeds else (self.judge, self.positions)
        document = of[question.text]
        if question.offered:
            codes = np.array([CODES[rival.label] for rival in question.offered])
            choice = judge.choice(document, codes)
            chosen = question.offered[choice].label if choice < len(codes) else None
            is_first = chosen == question.label
            return Answer("valid" if is_first else "invalid", "", None if is_first else chosen, model=self.model)
        valid = judge.is_valid(document, CODES[question.label])
        return Answer("valid" if valid else "invalid", "", model=self.model)


CODES = {name(code): code for code in range(N_LABELS)}


@dataclass
class Product:
    """The web app's side: a project, and everything by position and code, as the simulation has it."""

    project: Project
    truth: np.ndarray

    def __post_init__(self):
        pool = self.project.documents.filter(given_source="").order_by("pk")
        self.documents = {pk: position for position, pk in enumerate(pool.values_list("pk", flat=True))}
        self.labels = {pk: CODES[label] for pk, label in self.project.labels.values_list("pk", "name")} | {None: NOISE}
        self.people = list(self.project.memberships.order_by("pk").values_list("user", flat=True))

    def ask(self) -> Round:
        """A round up to the point where people are asked."""
        round_ = rounds.start_round(self.project)
        jobs.run_round(round_.pk)
        round_.refresh_from_db()
        assert (round_.state, round_.error) == ("done", "")
        return round_

    def review(self) -> None:
        """Two people say the truth, until nothing waits."""
        members = [membership.user for membership in self.project.memberships.select_related("user")]
        while any(self._decide_one(user) for user in members):
            pass

    def _decide_one(self, user) -> bool:
        entry = claim_next(self.project, user)
        if entry:
            code = self.truth[self.documents[entry.document_id]]
            label = None if code == NOISE else self.project.labels.get(name=name(code))
            decide(self.project, entry.pk, user, "override" if label else "none", label)
        return entry is not None

    def asked(self, round_: Round) -> list[int]:
        batch = round_.queries.filter(reason__in=["uncertain", "spot_check"]).order_by("rank")
        return [self.documents[pk] for pk in batch.values_list("document", flat=True)]

    def said(self) -> set[tuple[int, int, bool]]:
        said = Verdict.objects.exclude(query__reason="trial")
        rows = said.values_list("query__document", "query__label", "verdict")
        return {(self.documents[pk], self.labels[label], verdict == "valid") for pk, label, verdict in rows}

    def tried(self) -> list[tuple[float, bool]]:
        """What was believed of the examples that the judge was tried on, and whether it called them valid."""
        said = Verdict.objects.filter(query__reason="trial").order_by("query__rank")
        return [(believed, word == "valid") for believed, word in said.values_list("query__posterior", "verdict")]

    def beliefs(self) -> dict[int, dict[int, float]]:
        found = Prediction.objects.filter(document__in=self.documents, document__example=None)
        return {
            self.documents[row.document_id]: {self.labels[label]: p for label, p in row.beliefs.items()}
            for row in found
        }

    def settled(self) -> set[tuple[int, int, str]]:
        in_force = self.project.settled_labels.filter(left_at=None).exclude(document__example__source="human")
        rows = in_force.values_list("document", "label", "source")
        return {(self.documents[pk], self.labels[label], source) for pk, label, source in rows}

    def keys(self) -> list[tuple[float, int, int]]:
        rows = CohortMember.objects.values_list("settled__document", "settled__label", "key")
        return sorted((key, self.documents[pk], self.labels[label]) for pk, label, key in rows)

    def draws(self) -> list[int]:
        rows = AuditDraw.objects.order_by("number").values_list("member__settled__document", flat=True)
        return [self.documents[pk] for pk in rows]

    def known(self, source: str) -> dict[int, int]:
        rows = TrainingExample.objects.filter(source=source).values_list("document", "label")
        return {self.documents[pk]: self.labels[label] for pk, label in rows}

    def reviewed(self, round_: Round, reason: str) -> set[int]:
        laid_out = round_.queries.filter(reason=reason).values_list("document", flat=True)
        return {self.documents[pk] for pk in laid_out}


class Watched(simulation.Loop):
    """The simulation, with what it believes between the judge's answers and people's."""

    def watch(self) -> Iterator[dict[str, Any]]:
        self._learn()
        for number in range(1, N_ROUNDS + 1):
            self.number = number
            batch = self._ask() if self.plan.judge_calls and not self.over else np.empty(0, dtype=int)
            free = np.flatnonzero(self.known == UNKNOWN)
            self._settle()
            book = self.book
            there = book.present
            seen = {
                "batch": batch.tolist(),
                "checks": set(self.checks.tolist()),
                "beliefs": dict(zip(free.tolist(), self.belief[free], strict=True)),
                "labels": dict(zip(free.tolist(), self.found.labels[free], strict=True)),
                "settled": set(
                    zip(
                        book.document[there].tolist(),
                        book.label[there].tolist(),
                        [("model", "judge")[source] for source in book.source[there]],
                        strict=True,
                    )
                ),
            }
            self._enter()
            seen["uncertain"], seen["over"] = self.uncertain[-1], self.over or ""
            before = self.human.copy()
            self._review(batch)
            seen["decided"] = np.flatnonzero((before == UNKNOWN) & (self.human != UNKNOWN)).tolist()
            yield seen
            self._learn()
            self._look()

    def said(self) -> set[tuple[int, int, bool]]:
        answers = self.answers
        rows = zip(answers.document.tolist(), answers.label.tolist(), answers.valid.tolist(), strict=True)
        return set(rows)


@pytest.fixture
def sides(monkeypatch):
    """Make both sides of the same texts, with the same judge; without calls there is none."""

    def make(calls: int, question: str, specificity: float) -> tuple[Product, Watched]:
        texts, encoder = Texts.drawn(), HashingEncoder()
        truth = np.array([label for _, label in texts.pool])
        judge = simulation.Judge(truth, RIGHT, specificity, SEED)
        positions = {text: position for position, (text, _) in enumerate(texts.pool)}
        project = make_project(
            judge="neighbours" if calls else "none",
            question=question,
            batch_size=max(calls, 1),
            retrain_after=N_REVIEWS,
            random_seed=SEED,
        )
        set_member(project, make_user(), "reviewer")
        import_rows(project, [(text, name(label)) for text, label in texts.seeds])
        import_rows(project, [(text, "") for text, _ in texts.pool])
        seeds, pool = ([text for text, _ in rows] for rows in (texts.seeds, texts.pool))
        data = simulation.Data(
            X=encoder.encode(seeds),
            y=np.array([label for _, label in texts.seeds]),
            X_pool=encoder.encode(pool),
            y_pool=truth,
            X_test=encoder.encode(pool[:10]),
            y_test=truth[:10],
            names=encoder.encode(list(CODES)),
            texts=np.array(seeds, dtype=object),
            texts_pool=np.array(pool, dtype=object),
            texts_test=np.array(pool[:10], dtype=object),
            label_texts=list(CODES),
        )
        same = SameJudge(
            judge, positions, judge.on_seeds(data), {text: row for row, (text, _) in enumerate(texts.seeds)}
        )
        monkeypatch.setattr("labelling.jobs.rounds.auditing.make_judge", lambda *arguments: same)
        plan = simulation.Plan(
            rounds=N_ROUNDS, judge_calls=calls, reviews=N_REVIEWS, question=question, random_state=SEED
        )
        model = lambda: RedClassifier(  # noqa: E731
            subset_size=project.subset_size,
            noise_ratio=project.noise_ratio,
            combination=project.combination,
            random_state=SEED,
        )
        return Product(project, truth), Watched(data, judge, model, plan)

    return make


@pytest.mark.parametrize(
    ("calls", "question", "specificity"),
    [
        (N_CALLS, "validate", RIGHT),
        pytest.param(N_CALLS, "validate", 0.1, marks=pytest.mark.slow),
        pytest.param(N_CALLS, "choose", RIGHT, marks=pytest.mark.slow),
        pytest.param(0, "validate", RIGHT, marks=pytest.mark.slow),
    ],
)
def test_both_sides_try_ask_believe_settle_and_audit_the_same(sides, calls, question, specificity, monkeypatch):
    monkeypatch.setattr("classifiers.loop.trying.DOUBT", 0.5)  # the seeds are clear, and doubted all the same
    product, loop = sides(calls, question, specificity)
    for number, simulated in enumerate(loop.watch(), start=1):
        round_ = product.ask()
        where = f"round {number}"
        assert product.asked(round_) == simulated["batch"], where
        if question == "validate":
            assert [said for _, said in product.tried()] == loop.tried.valid.tolist(), where
            assert [p for p, _ in product.tried()] == pytest.approx(loop.tried.believed.tolist(), abs=CLOSE), where
            assert product.said() == loop.said(), where
        beliefs = product.beliefs()
        accepted = product.known("judge")
        close = CLOSE if question == "validate" else CHOICE_CLOSE
        for document, row in simulated["beliefs"].items():
            if document in accepted:
                continue
            labels = [*simulated["labels"][document].tolist(), NOISE]
            assert beliefs[document] == pytest.approx(dict(zip(labels, row, strict=True)), abs=close), where
        assert product.settled() == simulated["settled"], where
        taught = {document for document in np.flatnonzero(loop.accepted != UNKNOWN) if document in accepted}
        assert {document: loop.accepted[document] for document in taught} == accepted, where
        assert (round_.uncertain, round_.learning_over) == (simulated["uncertain"], simulated["over"]), where
        assert product.reviewed(round_, "spot_check") == simulated["checks"], where
        book = loop.book
        there = np.flatnonzero(book.entered)
        keys = zip(book.key[there].tolist(), book.document[there].tolist(), book.label[there].tolist(), strict=True)
        assert product.keys() == sorted(keys), where
        drawn = np.flatnonzero(book.drawn != NOT_DRAWN)
        assert product.draws() == book.document[drawn[np.argsort(book.drawn[drawn])]].tolist(), where
        product.review()
        human = np.flatnonzero(loop.human != UNKNOWN)
        assert product.known("human") == dict(zip(human.tolist(), loop.human[human].tolist(), strict=True)), where
    assert len(product.draws()) > N_REVIEWS, "else this proves little"
    assert len(product.tried()) == calls / 4
    assert Query.objects.filter(reason="delegated").exists() == (bool(calls) and question == "validate")
