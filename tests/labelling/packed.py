"""A project that has something in every table, packed; and files of projects that were tampered with."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from labelling import jobs
from labelling.csv_io.correspondences import Correspondence
from labelling.jobs.packing import pack
from labelling.jobs.packing.container import MANIFEST
from labelling.jobs.packing.keys import reserve
from labelling.jobs.packing.tables import TABLES
from labelling.models import (
    Audit,
    Call,
    ComparedAnswer,
    Comparison,
    Drafting,
    DriftLook,
    JudgeFailure,
    LaterCount,
    LaterText,
    MessageBatch,
    Project,
    ProposedLabel,
    Query,
    Suspicion,
    Total,
    TrainingExample,
    Verdict,
)
from labelling.services import (
    definitions,
    desk,
    domains,
    gold,
    guidelines,
    label_life,
    labels,
    projects,
    releases,
    review,
    revisions,
    threads,
)
from labelling.services.claims import claim_next
from tests.factories import fruit_project, import_doubtful, import_rows, run_round

# The keys of each table begin at another number, so that one that was not moved is known by it.
FIRST_KEY = 1_000_000


def whole_project(manager: User, reviewer: User) -> Project:
    """Two rounds with what people said of them, and everything else that a project can have."""
    for n, table in enumerate(TABLES, start=1):
        reserve(table.model, n * FIRST_KEY)
    project = fruit_project(manager=manager, reviewers=[reviewer], retrain_after=0, limit="0.10", overlap=0.3)
    import_rows(project, [(f"{fruit} {fruit} held out, {n}", fruit) for fruit in ("apple", "mango") for n in range(2)])
    project.documents.filter(text__contains="held out").update(holdout=True)
    TrainingExample.objects.filter(document__holdout=True).delete()
    rows = [("fig fig with an id", "fig", "a1", "red"), ("fig fig with an id", "fig", "a2", "blue")]
    import_rows(project, rows, header=("text", "label", "id", "colour"), id_column="id")
    for name in ("apple", "apple", "mango"):
        label = project.labels.get(name=name)
        labels.define(label, f"{label.definition} Round and sweet.".strip(), manager)
    labels.place(project.labels.get(name="cherry"), labels.add(project, "stone fruit", author=manager))
    run_round(project)
    _review(project, reviewer)
    _judge(project)
    import_doubtful(project)
    run_round(project)
    _review(project, reviewer, 2)
    jobs.run_release(releases.start_here(project, "The first one").pk)
    _desk(project, manager)
    _drafts(project, manager)
    _label_life(project, manager)
    _proposals(project, manager)
    document = project.documents.filter(example__source="seed").exclude(suspicion__isnull=False)[0]
    Suspicion.objects.create(project=project, document=document, label=document.example.label, margin=-0.1)
    _later_texts(project)
    domains.limit(project.memberships.get(user=reviewer), project.labels.all()[:2], "colour", ["red", "blue"])
    domains.leave_to_people(project, project.labels.all()[2:3], "colour", ["green"])
    guidelines.write(project, "# Fruit\n\nThe riper one counts.", manager, 0)
    threads.say(document, manager, f"Is this ripe, @{reviewer.username}?")
    threads.say(document.example.label, reviewer, "It is.")
    return project


def _later_texts(project: Project) -> None:
    label, round_ = project.labels.all()[0], project.rounds.all()[0]
    LaterText.objects.create(project=project, watch=0, text_hash="a" * 64, label=label, probability=0.9)
    LaterCount.objects.create(project=project, watch=0, label=label, n=3)
    DriftLook.objects.create(
        project=project,
        watch=0,
        round=round_,
        limit=0.1,
        level=0.95,
        n=1,
        k=0,
        at_least=0.0,
        is_wrong=False,
        n_texts=3,
        is_shifted=False,
    )


def _review(project: Project, reviewer: User, n: int = 99) -> None:
    """Decide on what waits, as the texts say; skip one, and take another back."""
    for turn in range(n):
        entry = claim_next(project, reviewer)
        if entry is None:
            return
        name = entry.document.text.split()[0]
        said = ("skip", None) if turn == 1 else ("override", project.labels.get(name=name))
        decision = review.decide(project, entry.pk, reviewer, *said)
        if turn == 2:
            review.undo(project, reviewer, decision.pk)


def _judge(project: Project) -> None:
    """Verdicts with the calls that they were paid by, and what went wrong."""
    round_ = project.rounds.get()
    batch = MessageBatch.objects.create(project=project, round=round_, remote_id="b1", ended_at=timezone.now())
    asked = Query.objects.filter(round=round_, verdict=None).exclude(reason__in=Query.AUDITS)
    first, second, third = [*asked, *Query.objects.filter(round=round_, verdict=None)][:3]
    for query in (first, second):
        call = Call.objects.create(
            project=project, round=round_, query=query, label=query.label, batch=batch, purpose="verdict", state="done",
            model="stub-1", answer={"verdict": "valid"}, cost=Decimal("0.00000100"), fingerprint="f" * 64,
        )  # fmt: skip
        Verdict.objects.create(query=query, verdict="valid", judge="anthropic", model="stub-1", call=call)
    JudgeFailure.objects.create(query=third, reason="No answer.")
    Audit.objects.create(query=second, label=second.label, posterior=0.9)
    Total.objects.create(project=project, round=round_, at_most=Decimal("0.000002"))
    comparison = Comparison.objects.create(
        project=project, base_judge="anthropic", base_model="stub-1", model="big-1", state="waiting"
    )
    ComparedAnswer.objects.create(comparison=comparison, query=first, better_label=first.label, verdict="invalid")


def _desk(project: Project, manager: User) -> None:
    pool = project.documents.filter(example=None, holdout=False, queue_entry=None, prediction__isnull=False)
    some = project.documents.filter(pk__in=list(pool.values_list("pk", flat=True)[:2]))
    desk.flag(project, manager, some, "the first", "Odd.")
    desk.send_to_review(project, manager, some, "the first")
    seeds = project.documents.filter(example__source="seed")
    known = project.documents.filter(pk__in=list(seeds.values_list("pk", flat=True)[:2]))
    desk.train_with(project, manager, known, "the first")
    gold.answer(known[0], manager, "override", project.labels.last())
    projects.change(project, task="Sort the fruit.")


def _drafts(project: Project, manager: User) -> None:
    drafting = definitions.start_drafting(project, manager, "all", "big-1")
    Drafting.objects.filter(pk=drafting.pk).update(state="done")
    draft = drafting.drafts.first()
    one, other = project.documents.all()[:2]
    draft.rivals = [project.labels.last().pk]
    draft.examples = {str(draft.label_id): [one.pk, other.pk]}
    draft.state, draft.text = "proposed", "Round."
    draft.save()
    definitions.approve(draft, manager)


def _proposals(project: Project, manager: User) -> None:
    """A label that is proposed, with its draft."""
    proposal = ProposedLabel.objects.create(project=project, name="tools", size=1)
    proposal.documents.set(project.documents.all()[:2])
    proposal.neighbours.set(project.documents.all()[2:4])
    drafting = definitions.start_drafting(project, manager, "nowhere", "big-1")
    Drafting.objects.filter(pk=drafting.pk).update(state="done")
    texts = [document.pk for document in project.documents.all()[:2]]
    drafting.drafts.update(state="proposed", name="tools", text="To work with.", texts=texts)


def _label_life(project: Project, manager: User) -> None:
    """Each step in a label's life once, those of a revision among them."""

    def label(name: str) -> Any:
        return project.labels.get(name=name)

    one, other = label("apple").examples.filter(source="seed").order_by("document")[:2]
    label_life.split(label("apple"), "quince", [one.document_id], manager)
    label_life.move(label("apple"), label("banana"), [other.document_id], manager)
    label_life.rename(label("quince"), "quinces", manager)
    label_life.retire(label("fig"), manager)
    label_life.restore(label("fig"), manager)
    label_life.merge(label("quinces"), label("apple"), manager)
    table = [Correspondence("cherry", name) for name in ("C1", "C2")] + [Correspondence("mango", "M1", "mangoes")]
    table += [Correspondence(name, name) for name in ("apple", "banana", "fig", "stone fruit")]
    revisions.carry_out(revisions.lay_out(project, table, manager), manager)


def packed(folder: Path, project: Project) -> Path:
    """The project's file; the test's own transaction is the snapshot."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("labelling.jobs.packing.writing.snapshot", nullcontext)
        pack(project, folder / f"{uuid4().hex}.zip")
    return max(folder.glob("*.zip"), key=lambda path: path.stat().st_mtime_ns)


def lines(path: Path, name: str) -> list[dict[str, Any]]:
    with zipfile.ZipFile(path) as file:
        return [json.loads(line) for line in file.read(name).splitlines()]


def manifest(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as file:
        return json.loads(file.read(MANIFEST))


Change = Callable[[bytes], bytes | None]


def tampered(path: Path, changes: Mapping[str, Change], is_told: bool = True) -> Path:
    """A copy of a file with other members; None leaves one out. ``is_told``: the manifest says what they are now."""
    with zipfile.ZipFile(path) as file:
        members: dict[str, bytes | None] = {name: file.read(name) for name in file.namelist()}
    about = json.loads(members.pop(MANIFEST) or b"")
    told = changes.get(MANIFEST)
    for name, change in changes.items():
        if name == MANIFEST:
            continue
        members[name] = content = change(members.get(name) or b"")
        if is_told and content is not None:
            digest = hashlib.sha256(content).hexdigest()
            about["members"][name] = {"bytes": len(content), "sha256": digest}
    text = json.dumps(about).encode()
    members[MANIFEST] = told(text) if told else text
    copy = path.with_name(f"{path.stem}-tampered.zip")
    with zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            if content is not None:
                file.writestr(name, content)
    return copy


def line(n: int, **values: Any) -> Change:
    """Other values in the n-th row of a table; an ellipsis leaves one out."""

    def change(content: bytes) -> bytes:
        rows = [json.loads(one) for one in content.splitlines()]
        rows[n] = {name: value for name, value in (rows[n] | values).items() if value is not ...}
        return b"".join(json.dumps(row).encode() + b"\n" for row in rows)

    return change
