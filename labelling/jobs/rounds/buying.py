"""What further questions to the judge would settle: for whoever agrees to a forecast."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.db.models import Exists, OuterRef

from classifiers.loop.buying import curve, settled_by_asking
from classifiers.loop.settling import bars
from classifiers.posterior import prior
from labelling.jobs.rounds.auditing import ASSUMED, all_rates, present_judge
from labelling.jobs.rounds.believing import believe
from labelling.models import Prediction, Query, Round
from labelling.services import domains

# Of the questions of this round, up to several times as many.
TIMES = (0, 0.5, 1, 1.5, 2, 3, 4)
FORMS = (Query.Form.VALIDATE, Query.Form.CHOOSE)


def what_questions_buy(round_: Round, n_questions: int) -> dict[str, Any]:
    """Return how many labels are settled after so many questions, by the form of the question; ready for JSON.

    ``numbers`` of questions, rising from 0, and for each form as many numbers of settled labels; ``of``: documents that
    the machine may settle. Empty where nothing is open.
    """
    settled = round_.project.settled_labels.final()
    found = Prediction.objects.filter(
        ~Exists(settled.filter(document=OuterRef("document"))),
        round=round_,
        document__in=round_.project.documents.pool().filter(is_disputed=False),
    ).exclude(document__in=domains.for_people(round_.project))
    rows = list(found.values_list("document_id", "candidates"))
    if not rows:
        return {}
    candidates = np.array([row[1] for row in rows], dtype=float)
    labels, probabilities = candidates[:, :, 0].astype(int), candidates[:, :, 1]
    of_label = round_.factors["labels"]
    factors = np.array([of_label.get(str(pk), 1.0) for pk in labels.ravel().tolist()]).reshape(labels.shape)
    before = prior(probabilities, round_.factors["none"], factors)
    believed = believe(round_, [row[0] for row in rows], labels, before)
    certainty = round_.settings["certainty"]
    # These the model settles itself.
    sure = believed.belief[:, :-1].max(axis=1) >= bars(certainty, np.array([False]))
    numbers = np.round(np.array(TIMES) * n_questions)
    already = settled.count() + int(sure.sum())
    rates = all_rates(round_).get(present_judge(round_), ASSUMED)
    told = {}
    for form in FORMS:
        asking = settled_by_asking(believed.belief[~sure], believed.asked[~sure], rates.of(form), form, certainty)
        told[str(form)] = [round(already + n) for n in curve(*asking, numbers).tolist()]
    return {"numbers": numbers.astype(int).tolist(), "of": settled.count() + len(rows), **told}
