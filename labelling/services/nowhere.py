"""Texts that belong to no label: which they are, and the labels that are proposed for them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from labelling.models import (
    Document,
    Draft,
    Label,
    LabelEvent,
    Project,
    ProposedLabel,
    SettledLabel,
    TrainingExample,
)
from labelling.models.documents import Source
from labelling.services import Refused, label_life, labels, review
from labelling.services.counting import kept_of
from labelling.services.undoing import log_step, pks


def documents(project: Project) -> QuerySet[Document]:
    """Texts that people, the judge or the model hold to be none of these."""
    nothing = TrainingExample.objects.filter(document=OuterRef("pk"), label=None)
    predicted = Q(example=None, prediction__isnull=False, prediction__posterior_label=None)
    return project.documents.filter(Exists(nothing) | predicted, holdout=False)


def n_documents(project: Project) -> int:
    """How many those are."""
    return kept_of(project, "nowhere", lambda one: documents(one).count())


def waiting(project: Project) -> QuerySet[ProposedLabel]:
    """Proposals that nobody has decided on, the largest first."""
    return project.proposed_labels.filter(dismissed_at=None, label=None)


def undrafted(project: Project) -> QuerySet[ProposedLabel]:
    """Proposals that wait and that no language model has named."""
    drafted = Draft.objects.filter(proposal=OuterRef("pk")).exclude(text="")
    return waiting(project).exclude(Exists(drafted))


def texts(proposal: ProposedLabel) -> QuerySet[Document]:
    """A proposal's texts, always in the same order."""
    return proposal.documents.order_by("pk")


@transaction.atomic
def make(proposal: ProposedLabel, name: str, definition: str, document_ids: Iterable[int], user: User) -> LabelEvent:
    """Make a proposal a label: the texts get it by the user's decision, and their neighbours are asked again.

    What the machine or the judge held to be none of these, and lies as near to the texts' middle as they do, is settled
    no more.

    Raises:
        Refused: for a name that is empty, too long or another label's, where no text was chosen, or a proposal that
            somebody has decided on.
    """
    proposal = ProposedLabel.objects.select_for_update(of=("self",)).select_related("project").get(pk=proposal.pk)
    label_life.check_idle(proposal.project)
    if proposal.label_id or proposal.dismissed_at:
        raise Refused(_("Somebody has decided on it already."))
    chosen = list(proposal.documents.filter(pk__in=list(document_ids), holdout=False))
    if not chosen:
        raise Refused(_("Choose at least one text."))
    name = name.strip()
    if not 0 < len(name) <= (Label._meta.get_field("name").max_length or 0):
        raise Refused(_("A name has 1 to %(n)s characters.") % {"n": Label._meta.get_field("name").max_length})
    label = labels.add(proposal.project, name, definition, author=user)
    beside = proposal.neighbours.exclude(pk__in=[document.pk for document in chosen])
    settled = SettledLabel.objects.filter(document__in=beside, label=None, left_at=None)
    settled = settled.exclude(memberships__draw__isnull=False)
    of_judge = TrainingExample.objects.filter(document__in=beside, label=None, source=Source.JUDGE)
    before = {"settled": pks(settled), "judged": sorted(of_judge.values_list("document_id", flat=True))}
    left = {"left_at": timezone.now(), "left_because": SettledLabel.Left.WITHDRAWN}
    SettledLabel.objects.filter(pk__in=before["settled"]).update(**left)
    of_judge.delete()
    together = review.relabel_together(proposal.project, chosen, user, label)
    proposal.label, proposal.decided_by = label, user
    proposal.save(update_fields=["label", "decided_by"])
    _decide_on_draft(proposal, label)
    counts = {"n_examples": len(chosen), "neighbours": beside.count()}
    return log_step(LabelEvent.Kind.MAKE, label, None, user, counts, {**before, "bulk": str(together)})


@transaction.atomic
def dismiss(proposal: ProposedLabel, user: User) -> None:
    """Propose these texts no more as a label.

    Raises:
        Refused: when somebody has decided on it.
    """
    _change(proposal, waiting(proposal.project), dismissed_at=timezone.now(), decided_by=user)
    _not_drafted(proposal).delete()


def propose_again(proposal: ProposedLabel) -> None:
    """Take a dismissal back.

    Raises:
        Refused: when it is not dismissed.
    """
    dismissed = proposal.project.proposed_labels.exclude(dismissed_at=None)
    _change(proposal, dismissed, dismissed_at=None, decided_by=None)


@transaction.atomic
def count_again(proposal_ids: Collection[int]) -> None:
    """Let proposals say how many texts they have, some of which were deleted; one that has none is no proposal."""
    proposals = ProposedLabel.objects.filter(pk__in=proposal_ids)
    for proposal in proposals.annotate(n_texts=Count("documents")):
        proposals.filter(pk=proposal.pk).update(size=proposal.n_texts)
    proposals.filter(size=0, dismissed_at=None, label=None).delete()


def _decide_on_draft(proposal: ProposedLabel, label: Label) -> None:
    """Say of the label's definition that a model drafted it, perhaps to be edited, where one did."""
    _not_drafted(proposal).delete()
    draft = proposal.drafts.exclude(text="").first()
    if draft:
        draft.state, draft.decided_by, draft.decided_at = Draft.State.APPROVED, proposal.decided_by, timezone.now()
        draft.definition = label.definitions.first()
        draft.save(update_fields=["state", "decided_by", "decided_at", "definition"])


def _not_drafted(proposal: ProposedLabel) -> QuerySet[Draft]:
    """What nobody needs to pay for any more, once the proposal is decided on."""
    return proposal.drafts.filter(state=Draft.State.WAITING)


def _change(proposal: ProposedLabel, among: QuerySet[ProposedLabel], **values: object) -> None:
    if not among.filter(pk=proposal.pk).update(**values):
        raise Refused(_("Somebody has decided on it already."))
