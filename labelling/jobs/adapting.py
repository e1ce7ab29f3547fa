"""Have a project's encoder learn its examples, and keep what is better than the one in use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from django.utils import timezone

from classifiers.adapting import EPOCHS, drawn, fine_tune
from classifiers.embeddings import in_words
from classifiers.encoders import entry_of, origin
from classifiers.evaluation import brier, compare
from classifiers.red_classifier import RedClassifier
from labelling.jobs.lease import JobFailed, Lease
from labelling.jobs.rounds.learning import described
from labelling.jobs.vectors import CHUNK_TEXTS, Space
from labelling.models import Adaptation, BackgroundJob, Encoding, Label, Project
from labelling.services import adapting, diary, encoding, queueing

Step = Adaptation.Step

# So many held-out texts tell enough by themselves. With fewer, this share of the examples is set aside.
HELD_OUT = 200
SET_ASIDE = 0.2
# Texts without label that the classifiers may teach themselves with, for the comparison.
MOST_OF_POOL = 4_000


@dataclass(frozen=True)
class Texts:
    """Texts with label codes, shape (n,)."""

    texts: np.ndarray
    y: np.ndarray

    def at(self, rows: np.ndarray) -> Texts:
        return Texts(self.texts[rows], self.y[rows])


@dataclass(frozen=True)
class Deal:
    """What is learnt, what is asked, and what helps.

    Attributes:
        labels: those of the codes.
        learnt: examples that encoder and classifiers learn.
        asked: texts whose labels neither has seen.
        pool: texts without label; empty where the classifiers have examples enough.
    """

    labels: list[Label]
    learnt: Texts
    asked: Texts
    pool: np.ndarray


def run(lease: Lease[Adaptation]) -> None:
    """Fine-tune, compare, and have all texts read by what is better; else the weights go."""
    adaptation = lease.job
    project = adaptation.project
    if missing := adapting.lacks(project):
        raise JobFailed(missing)
    dealt = deal(adaptation)
    if not adaptation.encoder:
        lease.update(encoder=_fine_tuned(lease, dealt))
    before, after = (_right(lease, space, dealt) for space in (Space.of(project), _new_space(lease, dealt)))
    compared = compare(before[0], after[0])
    sure = {"brier_before": brier(before[1], before[0]), "brier_after": brier(after[1], after[0])}
    is_better = compared.is_better and sure["brier_after"] <= sure["brier_before"]
    made = adaptation.encoder
    with lease.transaction():
        lease.finish(
            BackgroundJob.State.DONE,
            is_kept=is_better,
            encoder=made if is_better else "",
            result=asdict(compared) | sure,
        )
        if is_better:
            _change(adaptation)
    adapting.sweep()


def _change(adaptation: Adaptation) -> None:
    """Send the project on its way to what was made; whoever had it made has agreed to that."""
    project, user = adaptation.project, adaptation.created_by
    change = Encoding.objects.create(
        project=project, created_by=user, encoder=adaptation.encoder, confirmed_at=timezone.now()
    )
    queueing.enqueue(change)
    before, after = {"encoder": project.encoder_in_use}, {"encoder": adaptation.encoder}
    diary.write_changes(diary.Act.SETTINGS, project, project.name, before, after, user=user)


def deal(adaptation: Adaptation) -> Deal:
    """Deal the examples that were there when it was asked for: whoever goes on with it finds the same."""
    project = adaptation.project
    rows = list(
        adapting.examples(project)
        .filter(created_at__lte=adaptation.created_at)
        .order_by("document_id")
        .values_list("document__text", "label")
    )
    label_ids = sorted({label_id for _text, label_id in rows})
    codes = {label_id: code for code, label_id in enumerate(label_ids)}
    found = project.labels.in_bulk(label_ids)
    held = project.documents.filter(holdout=True, given_label__in=label_ids).order_by("pk")
    examples = _coded(rows, codes)
    asked = _coded(list(held.values_list("text", "given_label")), codes)
    is_aside = np.zeros(len(examples.y), dtype=bool)
    if len(asked.y) < HELD_OUT:
        is_aside = set_aside(examples.y, project.random_seed)
        aside = examples.at(is_aside)
        asked = Texts(np.append(asked.texts, aside.texts), np.append(asked.y, aside.y))
    learnt = examples.at(~is_aside)
    few = len(learnt.y) < RedClassifier().self_training * len(label_ids)
    return Deal([found[pk] for pk in label_ids], learnt, asked, _pool(project) if few else _as_array([]))


def set_aside(y: np.ndarray, random_state: int) -> np.ndarray:
    """Return which examples are set aside, boolean: SET_ASIDE of all, drawn by lot, but never the last of a label.

    Args:
        y: label codes, shape (n_examples,).
        random_state: seed of the lot.
    """
    order = np.random.default_rng(random_state).permutation(len(y))
    first = np.unique(y[order], return_index=True)[1]
    others = np.delete(order, first)
    found = np.zeros(len(y), dtype=bool)
    found[others[: round(SET_ASIDE * len(y))]] = True
    return found


def _coded(rows: Sequence[tuple[str, int]], codes: dict[int, int]) -> Texts:
    return Texts(_as_array([text for text, _ in rows]), np.array([codes[label] for _, label in rows], dtype=int))


def _as_array(texts: Sequence[str]) -> np.ndarray:
    return np.array(texts, dtype=object)


def _pool(project: Project) -> np.ndarray:
    pks = np.array(project.documents.pool().order_by("pk").values_list("pk", flat=True), dtype=int)
    rng = np.random.default_rng(project.random_seed)
    chosen = np.sort(rng.permutation(pks)[:MOST_OF_POOL]).tolist()
    texts = project.documents.in_bulk(chosen)
    return _as_array([texts[pk].text for pk in chosen if pk in texts])


def _fine_tuned(lease: Lease[Adaptation], dealt: Deal) -> str:
    project = lease.job.project
    lease.report(Step.TRAIN)

    def progress(done: int, total: int) -> None:
        lease.report(Step.TRAIN, done, total)
        # An epoch begins: the last one is kept.
        if done > 1 and (done - 1) % (total // EPOCHS) == 0:
            lease.got_further()

    # What labels are called is learnt, too: texts near it are near their label.
    learnt = dealt.learnt.at(drawn(dealt.learnt.y, project.random_seed))
    texts = [*learnt.texts, *(in_words(label.name) for label in dealt.labels)]
    labels = [*learnt.y.tolist(), *range(len(dealt.labels))]
    folder = encoding.adapted_folder()
    base = origin(project.encoder_in_use)
    return fine_tune(texts, labels, base, folder, random_state=project.random_seed, progress=progress)


def _new_space(lease: Lease[Adaptation], dealt: Deal) -> Space:
    """Where the texts would lie; what these have in common is taken off where that belongs to the encoder."""
    space = Space.named(lease.job.encoder)
    if not entry_of(space.model).is_centred:
        return space
    texts = np.concatenate([dealt.learnt.texts, dealt.asked.texts, dealt.pool])
    return replace(space, centres=(_read(lease, space, texts).mean(axis=0),))


def _right(lease: Lease[Adaptation], space: Space, dealt: Deal) -> tuple[np.ndarray, np.ndarray]:
    """Which of the asked texts the project's classifiers have right in a space, and how sure they are; both (n,)."""
    project = lease.job.project
    X, X_asked, X_pool = (_read(lease, space, texts) for texts in (dealt.learnt.texts, dealt.asked.texts, dealt.pool))
    helping: dict[str, Any] = {"pool": X_pool, "pool_texts": dealt.pool} if len(dealt.pool) else {}
    model = RedClassifier(
        subset_size=project.subset_size,
        noise_ratio=project.noise_ratio,
        combination=project.combination,
        random_state=project.random_seed,
    ).fit(
        X,
        dealt.learnt.y,
        classes=np.arange(len(dealt.labels)),
        texts=dealt.learnt.texts,
        progress=lambda done, total: lease.report(Step.COMPARE, done, total),
        **described(dealt.labels, space),
        **helping,
    )
    found = model.candidates(X_asked, 1, dealt.asked.texts)
    return found.labels[:, 0] == dealt.asked.y, found.probabilities[:, 0]


def _read(lease: Lease[Adaptation], space: Space, texts: np.ndarray) -> np.ndarray:
    blocks = [np.empty((0, 0), dtype=np.float32)]
    for start in range(0, len(texts), CHUNK_TEXTS):
        lease.report(Step.READ, start, len(texts))
        blocks.append(space.encode(texts[start : start + CHUNK_TEXTS].tolist()))
    return np.concatenate(blocks[1:] or blocks)
