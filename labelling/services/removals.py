"""What is taken away for good: an import, documents, a project. Each is counted first and leaves an entry in the diary.

Documents go with all that is known of them: lines, vectors, evidence, the files that brought them, and the file that
their project was packed into. Calls stay in the ledger without what was asked and answered; releases that were
delivered keep what was delivered.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import CASCADE, Exists, ManyToOneRel, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from labelling.models import (
    Adaptation,
    BackgroundJob,
    Call,
    Comparison,
    CsvImport,
    Decision,
    Document,
    Embedding,
    Encoding,
    GoldAnswer,
    Label,
    Prediction,
    Project,
    ProposedLabel,
    Query,
    Release,
    Round,
    Row,
    SettledLabel,
    TrainingExample,
)
from labelling.services import Refused, adapting, certificates, diary, nowhere, packing, queueing
from labelling.services.diary import Act

# Documents that go in one transaction: small enough that nobody waits for it long.
CHUNK = 2_000
MAX_NAMED = 10

State = BackgroundJob.State


@dataclass(frozen=True)
class Loss:
    """What would go, in numbers of rows; ``n_audited`` of the documents are evidence for a certificate."""

    n_documents: int
    n_decided: int
    n_audited: int


@dataclass(frozen=True)
class Undoing:
    """What undoing an import takes along, and what it leaves: numbers, and the first of the texts that stay."""

    n_documents: int
    n_lines: int
    n_labels: int
    n_shared: int
    n_decided: int
    decided: list[Document] = field(default_factory=list)


def loss(project: Project, documents: QuerySet[Document]) -> Loss:
    """Count what deleting these documents would take along."""
    return Loss(
        documents.count(),
        documents.filter(_decided()).count(),
        documents.filter(_audited(project)).count(),
    )


def delete_documents(project: Project, user: User, documents: QuerySet[Document], chosen: str) -> int:
    """Delete documents and all that is known of them; return how many.

    Where audits are among them the ledger begins anew: what is left of it would prove nothing.

    Args:
        project: theirs.
        user: who does so.
        documents: of the project.
        chosen: how they were chosen, for the log.

    Raises:
        Refused: while something runs that writes documents.
    """
    _make_sure_nothing_runs(project)
    pks = list(documents.order_by("pk").values_list("pk", flat=True))
    _begin_ledger_anew(project, documents)
    brought = set(documents.exclude(csv_import=None).values_list("csv_import", flat=True).distinct())
    lines = Row.objects.exclude(csv_import=None)
    counts: Counter[str] = Counter()
    for chunk in _chunks(pks):
        brought |= set(lines.filter(document__in=_these(chunk)).values_list("csv_import", flat=True))
        counts += _erase(chunk)
    _forget_files(project.imports.filter(pk__in=brought))
    packing.forget(project)
    diary.write(Act.DOCUMENTS_DELETED, project, chosen, before=counts, user=user)
    return counts["documents"]


def undoing(csv_import: CsvImport) -> Undoing:
    """Count what undoing an import takes along, and what stays: texts that people decided on, or that came again."""
    documents = csv_import.documents.all()
    decided = documents.filter(_decided())
    return Undoing(
        n_documents=_to_undo(csv_import).count(),
        n_lines=csv_import.rows.count(),
        n_labels=len(csv_import.made_labels),
        n_shared=documents.filter(_came_again(csv_import)).exclude(_decided()).count(),
        n_decided=decided.count(),
        decided=list(decided[:MAX_NAMED]),
    )


def undo_import(csv_import: CsvImport, user: User) -> int:
    """Take back what an import brought: texts on which nobody decided, lines, labels that nothing uses any more.

    Interrupted, it can be asked for again. What it changed of texts that were there before stays. Returns how many
    documents went.

    Raises:
        Refused: when it has written nothing or is undone, and while something runs that writes documents.
    """
    project = csv_import.project
    if csv_import.undone_at or csv_import.step != CsvImport.Step.WRITE:
        raise Refused(_("There is nothing to undo."))
    _make_sure_nothing_runs(project)
    _begin_ledger_anew(project, _to_undo(csv_import))
    counts: Counter[str] = Counter()
    for chunk in _chunks(list(_to_undo(csv_import).order_by("pk").values_list("pk", flat=True))):
        counts += _erase(chunk)
    with transaction.atomic():
        counts["rows"] += csv_import.rows.all().delete()[0]
        counts["labels"] += _unused(csv_import.made_labels).delete()[1].get("labelling.Label", 0)
        csv_import.undone_at = timezone.now()
        csv_import.save(update_fields=["undone_at"])
        diary.write(Act.IMPORT_UNDONE, project, csv_import.filename, before=counts, user=user)
    _forget_files(project.imports.filter(pk=csv_import.pk))
    packing.forget(project)
    return counts["documents"]


def archive(project: Project) -> None:
    """Let a project rest: it is listed apart, and nobody changes it until it is opened again."""
    Project.objects.filter(pk=project.pk).update(archived_at=timezone.now())
    diary.write(Act.PROJECT_ARCHIVED, project, project)


def reopen(project: Project) -> None:
    """Take a project out of the archive."""
    Project.objects.filter(pk=project.pk).update(archived_at=None)
    diary.write(Act.PROJECT_REOPENED, project, project)


def delete_project(project: Project, user: User, typed_name: str) -> None:
    """Delete a project with everything in it, its releases too.

    Raises:
        Refused: when the name that was typed is not its name, and while something runs.
    """
    if typed_name.strip() != project.name:
        raise Refused(_("Type the project's name as it is written here."))
    _make_sure_nothing_runs(project)
    counts = Counter({"releases": project.releases.count()})
    for chunk in _chunks(list(project.documents.order_by("pk").values_list("pk", flat=True))):
        counts += _erase(chunk)
    folders = [release.folder for release in project.releases.all()]
    _forget_files(project.imports.all())
    packing.forget(project)
    name, model_file = project.name, project.model_file
    with transaction.atomic():
        project.releases.all().delete()
        _erase_rows(Project.objects.filter(pk=project.pk))
        diary.write(Act.PROJECT_DELETED, None, name, before=counts, user=user)
    model_file.unlink(missing_ok=True)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    adapting.sweep()


def sweep_vectors() -> int:
    """Delete vectors that no document needs, of whatever encoder; return how many.

    Those of labels' names go, too: the next round computes them in a moment.

    Raises:
        Refused: while a round runs, which may just have written some.
    """
    if queueing.is_busy(Round, Encoding, Adaptation):
        raise Refused(_("A round is running. Wait until it has ended."))
    hashes = sorted(set(Embedding.objects.values_list("text_hash", flat=True)))
    return sum(_erase_vectors(hashes[start : start + CHUNK]) for start in range(0, len(hashes), CHUNK))


def _make_sure_nothing_runs(project: Project) -> None:
    queueing.check_idle(project, Round, CsvImport, Release, Comparison, Encoding, Adaptation)


def _decided() -> Exists:
    return Exists(Decision.objects.standing().filter(document=OuterRef("pk")))


def _audited(project: Project) -> Exists:
    return Exists(certificates.draws(project).filter(member__settled__document=OuterRef("pk")))


def _begin_ledger_anew(project: Project, documents: QuerySet[Document]) -> None:
    """Without the audits among these documents the ledger would prove nothing."""
    if documents.filter(_audited(project)).exists():
        certificates.begin_anew(project)


def _came_again(csv_import: CsvImport) -> Exists:
    """Whether another file brought a document's text, too."""
    return Exists(Row.objects.filter(document=OuterRef("pk")).exclude(csv_import=csv_import))


def _to_undo(csv_import: CsvImport) -> QuerySet[Document]:
    return csv_import.documents.exclude(_decided()).exclude(_came_again(csv_import))


def _chunks(pks: list[int]) -> Iterator[list[int]]:
    return (pks[start : start + CHUNK] for start in range(0, len(pks), CHUNK))


@transaction.atomic
def _erase(pks: list[int]) -> Counter[str]:
    """Delete documents, what hangs on them, and the vectors of texts that no other document has."""
    documents = _these(pks)
    hashes = set(documents.values_list("text_hash", flat=True))
    Call.objects.filter(query__document__in=documents).update(query=None, answer=None)
    proposals = list(ProposedLabel.objects.filter(documents__in=documents).values_list("pk", flat=True))
    counts = _erase_rows(documents)
    nowhere.count_again(proposals)
    counts["vectors"] = _erase_vectors(hashes)
    return counts


def _these(pks: list[int]) -> QuerySet[Document]:
    """Documents by their sorted keys; what came in together has keys in a row, which are found sooner as such."""
    in_a_row = pks[-1] - pks[0] == len(pks) - 1
    return Document.objects.filter(pk__range=(pks[0], pks[-1])) if in_a_row else Document.objects.filter(pk__in=pks)


def _erase_vectors(hashes: Collection[str]) -> int:
    """Delete the vectors of texts that no document has any more; return how many."""
    vectors = Embedding.objects.filter(text_hash__in=hashes)
    with_vector = set(vectors.values_list("text_hash", flat=True))
    if not with_vector:
        return 0
    # Project by project: a text is found by both.
    projects = list(Project.objects.values_list("pk", flat=True))
    kept = Document.objects.filter(project__in=projects, text_hash__in=with_vector).values_list("text_hash", flat=True)
    gone = Embedding.objects.filter(text_hash__in=with_vector - set(kept))
    return gone._raw_delete(gone.db) or 0


def _erase_rows(rows: QuerySet[Any]) -> Counter[str]:
    """Delete rows after all that hangs on them, table by table; return how many went, by table.

    In place of Django's own cascade, which reads every row before it goes. Nothing listens to signals of these tables.
    """
    counts: Counter[str] = Counter()
    for relation in rows.model._meta.get_fields(include_hidden=True):
        # What withdraws a decision hangs on the same document.
        if isinstance(relation, ManyToOneRel) and relation.field.model is not rows.model:
            hanging = relation.field.model._default_manager.filter(**{f"{relation.field.name}__in": rows.values("pk")})
            if relation.on_delete is CASCADE:
                counts += _erase_rows(hanging)
            else:
                hanging.update(**{relation.field.name: None})
    n_gone = rows._raw_delete(rows.db) or 0
    if not rows.model._meta.auto_created:
        counts[str(rows.model._meta.verbose_name_plural)] += n_gone
    return counts


def _unused(label_ids: Collection[int]) -> QuerySet[Label]:
    """Those of these labels that nothing names and nobody defined."""
    label = OuterRef("pk")
    uses = (
        Document.objects.filter(given_label=label),
        TrainingExample.objects.filter(label=label),
        Decision.objects.filter(label=label),
        GoldAnswer.objects.filter(label=label),
        Query.objects.filter(label=label),
        SettledLabel.objects.filter(label=label),
        Prediction.objects.filter(Q(label=label) | Q(posterior_label=label)),
    )
    labels = Label.objects.filter(pk__in=label_ids, definition_version=0, synonyms="")
    for rows in uses:
        labels = labels.exclude(Exists(rows))
    return Label.objects.filter(pk__in=list(labels.values_list("pk", flat=True)))


def _forget_files(imports: QuerySet[CsvImport]) -> None:
    """Remove files that came in: they hold the texts."""
    for csv_import in imports.exclude(state__in=BackgroundJob.ACTIVE):
        for name in (csv_import.file.name, csv_import.rejected_file.name):
            if name:
                csv_import.file.storage.delete(name)
    imports.update(file="", rejected_file="", problems=[])
