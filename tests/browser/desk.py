"""A site with a review queue that is laid out in seconds: bags of words in place of the encoder, and no worker."""

from __future__ import annotations

import os
from datetime import timedelta

import django

LABELS = {
    "card_arrival": ("where is my card; Kartenlieferung", "Use when a card that was ordered has not come."),
    "card_lost": ("stolen", "Use when a card is gone. Not when it has not come yet."),
    "card_swallowed": ("", "Use when a machine kept the card."),
    "exchange_rate": ("currency", "Use when the rate of an exchange is asked for."),
    "pin_blocked": (
        "",
        "Use when the PIN was typed wrongly too often, at a machine or in the app, and no further try is allowed.",
    ),
    "top_up_failed": ("", "Use when money was added and did not arrive."),
    "عربي": ("", "نص من اليمين إلى اليسار"),
    "crème": ("", "Accents."),
}
WORDS = {name: [f"{name.split('_')[-1]}{n}" for n in range(4)] for name in LABELS}
GUIDELINES = "# Two wishes\n\nTake the **first**.\n\n| what | label |\n|---|---|\n| card gone | card_lost |\n"
ARABIC = "أين بطاقتي التي طلبتها قبل أسبوعين؟"


def texts(name: str, n_texts: int, kind: str) -> list[str]:
    """Texts of a label's own words, with one of the next label's in each."""
    others = list(LABELS)
    rival = others[(others.index(name) + 1) % len(others)]
    return [
        f"{' '.join(WORDS[name])} {WORDS[rival][n % 4]} {kind} message, number {n}, a few words more"
        for n in range(n_texts)
    ]


def lay_out() -> None:
    """Fill the database: project Desk, a manager and two reviewers, a round with audits, near-duplicates and a flag.

    The first document's near-duplicate has its label, and the judge suggests another one for the document. The label of
    an example is doubted. A label is proposed for texts that belong nowhere, and a revision is laid out.
    """
    from django.utils import timezone

    from labelling.csv_io.correspondences import Correspondence
    from labelling.jobs import vectors
    from labelling.models import (
        Document,
        Label,
        Project,
        ProposedLabel,
        Query,
        QueueEntry,
        Suspicion,
        TrainingExample,
        Verdict,
        Worker,
    )
    from labelling.services import flags, guidelines, revisions, threads
    from tests.factories import import_rows, make_project, make_user, run_round
    from tests.fakes import HashingEncoder

    vectors.load_encoder = lambda name: HashingEncoder()
    people = {name: make_user(name) for name in ("ada", "ben")}
    manager = make_user("mia", is_staff=True, is_superuser=True)
    project = make_project(
        manager,
        people.values(),
        name="A desk with a rather long name",
        judge="neighbours",
        strategy="random",
        batch_size=90,
        retrain_after=60,
        auto_accept=False,
    )
    project.slug = "desk"
    project.save()
    rows = [(text, name) for name in LABELS for text in texts(name, 6, "seed")]
    rows += [(text, "") for name in LABELS for text in texts(name, 8, "new")]
    rows += [(f"{ARABIC} {WORDS['card_arrival'][0]}", ""), (f"<b>markup</b> {'x' * 90}", "")]
    rows += [(" ".join(reversed(text.split())), "") for text in texts("card_lost", 8, "new")]
    import_rows(project, rows)
    for name, (synonyms, definition) in LABELS.items():
        Label.objects.filter(project=project, name=name).update(synonyms=synonyms, definition=definition)
    Document.objects.filter(project=project).update(metadata={"channel": "web form", "note": ARABIC})
    Project.objects.filter(pk=project.pk).update(metadata_columns=["channel", "note"])
    run_round(project)
    waiting = Query.objects.filter(reason="uncertain", queue_entry__isnull=False, verdict__isnull=False)
    first = waiting.exclude(near_duplicates=[]).order_by("pk")[0]
    QueueEntry.objects.filter(document=first.document).update(priority=-(10**17))
    better = Label.objects.get(project=project, name="card_arrival")
    audited = Verdict.objects.filter(query__reason__in=Query.AUDITS).exclude(query__label=better)
    (Verdict.objects.filter(query=first) | audited).update(better_label=better)
    alike = first.near_duplicates[0][0]
    QueueEntry.objects.filter(document=alike).delete()
    TrainingExample.objects.create(document_id=alike, label=first.label, source="judge")
    flags.flag(first.document, manager, "Two wishes in one text")
    doubted = TrainingExample.objects.get(document__text=texts("crème", 1, "seed")[0])
    Suspicion.objects.create(project=project, document=doubted.document, label=doubted.label, rival=better, margin=-0.1)
    nowhere = Document.objects.filter(project=project, example=None, queue_entry=None).order_by("-pk")[:6]
    proposal = ProposedLabel.objects.create(
        project=project, name="savings · interest", definition="Use when …", nearest=better, size=len(nowhere)
    )
    proposal.documents.set(nowhere)
    table = [("crème", "C1", "whipped cream"), ("crème", "C2", "sour cream"), ("card_lost", "L1", "card gone")]
    revisions.lay_out(project, [Correspondence(*row) for row in table], manager)
    guidelines.write(project, GUIDELINES, manager, 0)
    threads.say(better, people["ada"], "@mia is a card that fell into a lake lost or swallowed?")
    # The worker's heart beats for as long as the tests take.
    Worker.objects.create(host="desk", pid=1, seen_at=timezone.now() + timedelta(days=1))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "red_project.settings")
    django.setup()
    from django.conf import settings

    from labelling.services import queueing

    settings.ENCODER = "hashing"
    queueing.async_task = lambda task, pk, cluster: None
    lay_out()
