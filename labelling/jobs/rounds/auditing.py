"""How far the judge can be trusted, as the audits say: written on the round for the pages to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

import numpy as np
from django.conf import settings

from classifiers.judge import AnthropicJudge, Form, Judge, make_judge
from classifiers.reliability import Certificate, Reliability, certificate, choice_accuracy, expected, reliability
from labelling.jobs.lease import JobFailed, Lease
from labelling.models import Project, Query, Round, Verdict
from labelling.services import audits
from labelling.services.audits import JudgeId, Outcome

# Of a judge that has said nothing yet.
ASSUMED = reliability(0, 0, 0, 0)


def judge_of(round_: Round) -> Judge:
    """The judge that the round's settings name; see judge_from for what it raises."""
    return judge_from(round_.settings)


def judge_from(wanted: Mapping[str, Any]) -> Judge:
    """The judge that settings name as a project has them.

    Raises:
        JobFailed: when its address is none that the administrator allows: it would be sent the key.
    """
    base_url = wanted.get("judge_base_url") or settings.JUDGE_BASE_URL
    if base_url and base_url not in {settings.JUDGE_BASE_URL, *settings.JUDGE_BASE_URLS}:
        raise JobFailed(
            f"The judge's address {base_url} is not allowed: choose another in the project's settings, or have it "
            "listed in JUDGE_BASE_URLS in the environment of web server and worker."
        )
    model = wanted["judge_model"] or settings.JUDGE_MODEL
    form = wanted.get("question", Query.Form.VALIDATE)
    return make_judge(wanted["judge"], model, base_url, form, settings.JUDGE_TIMEOUT_SECONDS)


def language_model(project: Project, model: str, form: Form = "validate") -> AnthropicJudge:
    """A language model at the project's address, also where its judge is none; see judge_from for what it raises."""
    wanted = {"judge": Project.JudgeName.ANTHROPIC, "judge_model": model, "question": form}
    return cast("AnthropicJudge", judge_from({**wanted, "judge_base_url": project.judge_base_url}))


def measure_judge(lease: Lease[Round], accept_from: float) -> Certificate:
    """Estimate from all audits how often the round's judge is right, and what is accepted from it, and record both.

    ``accept_from``: the belief from which the judge's word is accepted.
    """
    round_ = lease.job
    judge = present_judge(round_)
    rates = all_rates(round_).get(judge, ASSUMED)
    result = certificate(*audits.accepted_counts(round_.project, judge, round_.settings["certainty"], accept_from))
    lease.update(
        reliability={**judge._asdict(), **asdict(rates)},
        certificate={**asdict(result), "sentence": result.sentence, "accept_from": accept_from},
    )
    return result


def all_rates(round_: Round) -> dict[JudgeId, Reliability]:
    """How often each judge is right: what its earlier verdicts lead one to expect, then what audits say of it."""
    counts = audits.verdict_counts(round_.project)
    earlier = audits.verdicts_and_beliefs(round_)
    rates = {judge: _rates(counts.get(judge, Counter()), earlier.get(judge, [])) for judge in {*counts, *earlier}}
    return rates | {judge: _choosing(*found) for judge, found in audits.choice_counts(round_.project).items()}


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


def _choosing(right: int, wrong: int) -> Reliability:
    """Of a judge that chooses there is one rate: how often it chooses the right option."""
    rate = choice_accuracy(right, wrong)
    return Reliability(rate, rate)


def _rates(counts: Counter[Outcome], earlier: list[tuple[float, bool]]) -> Reliability:
    believed, valid = np.array(earlier, dtype=float).reshape(-1, 2).T
    return reliability(
        true_valid=counts[Outcome(right=True, said_valid=True)],
        false_invalid=counts[Outcome(right=True, said_valid=False)],
        true_invalid=counts[Outcome(right=False, said_valid=False)],
        false_valid=counts[Outcome(right=False, said_valid=True)],
        priors=expected(believed, valid.astype(bool)),
    )
