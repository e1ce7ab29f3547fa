"""An encoder that is adapted to a project: whether it can be, and what becomes of its weights."""

from __future__ import annotations

import shutil
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Count, QuerySet

from classifiers import encoders
from labelling.models import Adaptation, Encoding, Label, Project, TrainingExample, Unpacking
from labelling.models.sentences import Sentence as _
from labelling.services import Refused, encoding, queueing

# Fewer tell too little of what is better.
MIN_EXAMPLES, MIN_LABELS = 200, 2
# A label with fewer has nothing that could be set aside.
MIN_OF_A_LABEL = 2
# More are not learnt.
MOST_EXAMPLES = 20_000
# Processor seconds for each example and before the first, on the machine of docs/measured.md.
SECONDS_AN_EXAMPLE, SECONDS_AT_FIRST = 0.06, 60
# So many times the examples of the last try, and it may be worth another one.
GROWTH = 2


def examples(project: Project) -> QuerySet[TrainingExample]:
    """What an encoder may learn: examples of leaves that have at least two."""
    found = TrainingExample.objects.filter(document__project=project, document__holdout=False)
    return found.filter(label__in=_labels(project))


def lacks(project: Project) -> str:
    """Why a project's encoder can't be adapted, in words; empty where it can."""
    if not encoders.is_adaptable(project.encoder_in_use):
        return _("Only a single encoder with weights in floating-point numbers can learn.")
    n_examples, n_labels = examples(project).count(), _labels(project).count()
    if n_examples >= MIN_EXAMPLES and n_labels >= MIN_LABELS:
        return ""
    told = {"n": n_examples, "labels": n_labels, "least": MIN_EXAMPLES, "least_labels": MIN_LABELS}
    return (
        _(
            "It takes %(least)s examples of %(least_labels)s labels or more, each label with at least two; here are "
            "%(n)s of %(labels)s."
        )
        % told
    )


def minutes(project: Project) -> int:
    """About how long it takes, in whole minutes, at least one."""
    n = min(examples(project).count(), MOST_EXAMPLES)
    return max(1, round((SECONDS_AT_FIRST + n * SECONDS_AN_EXAMPLE) / 60))


def start(project: Project, user: User | None) -> Adaptation:
    """Have the project's encoder learn its examples; one that was stopped goes on where it was if these are the same.

    Raises:
        Refused: when there are too few examples, or the project is on its way to another encoder.
    """
    if missing := lacks(project):
        raise Refused(missing)
    encoding.make_sure_it_stays(project)
    try:
        with transaction.atomic():
            adaptation = Adaptation.objects.create(
                project=project, created_by=user, n_examples=examples(project).count()
            )
            queueing.enqueue(adaptation)
    except IntegrityError as error:
        # Two people at once: the database lets one through.
        raise Refused(_("The project is on its way to another encoder. Let it get there, or stop it first.")) from error
    return adaptation


def start_if_due(project: Project) -> None:
    """Try it where the project's settings say so, and it has twice the examples of the last try."""
    if not project.adapts_itself or lacks(project):
        return
    last = project.adaptations.first()
    if last and examples(project).count() < GROWTH * last.n_examples:
        return
    try:
        start(project, None)
    except Refused:
        return


def sweep() -> int:
    """Remove weights that no project names any more, and what was begun and left; return how many files or folders.

    Nothing goes while some may just be written.
    """
    folder = encoding.adapted_folder()
    if not folder.exists() or queueing.is_busy(Adaptation, Unpacking):
        return 0
    named = {
        name for kind in (Project, Encoding, Adaptation) for name in kind.objects.values_list("encoder", flat=True)
    }
    kept = {encoders.weights_file(folder, name) for name in named if encoders.weights_digest(name)}
    orphans = [path for path in folder.iterdir() if path not in kept]
    for path in orphans:
        _remove(path)
        for converted in Path(settings.MEDIA_ROOT).glob(f"encoders/*-{path.stem}-*"):
            _remove(converted)
    return len(orphans)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _labels(project: Project) -> QuerySet[Label]:
    with_examples = TrainingExample.objects.filter(document__project=project, document__holdout=False)
    counted = with_examples.order_by().values("label").annotate(n=Count("pk")).filter(n__gte=MIN_OF_A_LABEL)
    return project.labels.leaves().filter(pk__in=counted.values("label"))
