"""How far the judge can be trusted, as the audits say: written on the round for the pages to show."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

import numpy as np
from django.conf import settings

from classifiers.judge import Judge, make_judge
from classifiers.reliability import Certificate, Reliability, certificate, expected, reliability
from labelling.jobs.lease import Lease
from labelling.models import Round, Verdict
from labelling.services import audits
from labelling.services.audits import JudgeId, Outcome

# Of a judge that has said nothing yet.
ASSUMED = reliability(0, 0, 0, 0)


def judge_of(round_: Round) -> Judge:
    """The judge that the round's settings name."""
    model = round_.settings["judge_model"] or settings.JUDGE_MODEL
    return make_judge(round_.settings["judge"], model, settings.JUDGE_BASE_URL)


def measure_judge(lease: Lease[Round]) -> Certificate:
    """Estimate from all audits how often the round's judge is right, and what is accepted from it, and record both."""
    round_ = lease.job
    judge = present_judge(round_)
    rates = all_rates(round_).get(judge, ASSUMED)
    result = certificate(*audits.accepted_counts(round_.project, judge, round_.settings["certainty"]))
    lease.update(
        reliability={**judge._asdict(), **asdict(rates)},
        certificate={**asdict(result), "sentence": result.sentence},
    )
    return result


def all_rates(round_: Round) -> dict[JudgeId, Reliability]:
    """How often each judge is right: what its earlier verdicts lead one to expect, then what audits say of it."""
    counts = audits.verdict_counts(round_.project)
    earlier = audits.verdicts_and_beliefs(round_)
    return {judge: _rates(counts.get(judge, Counter()), earlier.get(judge, [])) for judge in {*counts, *earlier}}


def present_judge(round_: Round) -> JudgeId:
    """The judge as its verdicts name it: the endpoint may call its model otherwise than the settings do."""
    judge = judge_of(round_)
    last = Verdict.objects.filter(
        query__round__project=round_.project,
        query__round__settings__judge_model=round_.settings["judge_model"],
        judge=judge.name,
        prompt_version=judge.prompt_version,
    ).order_by("-pk")
    return JudgeId(judge.name, last.values_list("model", flat=True).first() or judge.model, judge.prompt_version)


def _rates(counts: Counter[Outcome], earlier: list[tuple[float, bool]]) -> Reliability:
    believed, valid = np.array(earlier, dtype=float).reshape(-1, 2).T
    return reliability(
        true_valid=counts[Outcome(right=True, said_valid=True)],
        false_invalid=counts[Outcome(right=True, said_valid=False)],
        true_invalid=counts[Outcome(right=False, said_valid=False)],
        false_valid=counts[Outcome(right=False, said_valid=True)],
        priors=expected(believed, valid.astype(bool)),
    )
