"""How far the judge can be trusted, as the audits say: written on the round for the pages to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

import numpy as np
from django.conf import settings

from classifiers.judge import AnthropicJudge, Form, Judge, make_judge
from classifiers.loop import settling
from classifiers.loop.trying import n_tried
from classifiers.reliability import Reliability, Said, measure, reliability
from labelling.jobs.lease import JobFailed, Lease
from labelling.models import Project, Query, Round, Verdict
from labelling.models.sentences import Sentence as _
from labelling.services import audits
from labelling.services.audits import Answered, JudgeId

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
        refused = _(
            "The judge's address %(address)s is not allowed: choose another in the project's settings, or have it "
            "listed in JUDGE_BASE_URLS in the environment of web server and worker."
        )
        raise JobFailed(refused % {"address": base_url})
    model = wanted["judge_model"] or settings.JUDGE_MODEL
    form = wanted.get("question", Query.Form.VALIDATE)
    return make_judge(wanted["judge"], model, base_url, form, settings.JUDGE_TIMEOUT_SECONDS)


def language_model(project: Project, model: str, form: Form = "validate") -> AnthropicJudge:
    """A language model at the project's address, also where its judge is none; see judge_from for what it raises."""
    wanted = {"judge": Project.JudgeName.ANTHROPIC, "judge_model": model, "question": form}
    return cast("AnthropicJudge", judge_from({**wanted, "judge_base_url": project.judge_base_url}))


def measure_judge(lease: Lease[Round]) -> dict[JudgeId, Reliability]:
    """Estimate from everything that people decided how often each judge is right; record it of the round's own."""
    rates = all_rates(lease.job)
    if lease.job.has_judge:
        judge = present_judge(lease.job)
        found = rates.get(judge, ASSUMED)
        confirms = settling.confirms(found.of(lease.job.question), lease.job.question)
        lease.update(reliability={**judge._asdict(), **asdict(found), "confirms": confirms})
    return rates


def all_rates(round_: Round) -> dict[JudgeId, Reliability]:
    """How often each judge is right, and what its word adds to what the model believes."""
    return {judge: measure(_said(rows), form) for (judge, form), rows in audits.answered(round_).items()}


def _said(rows: Sequence[Answered]) -> Said:
    return Said(
        believed=np.array([row.believed for row in rows]),
        valid=np.array([row.valid for row in rows]),
        right=np.array([np.nan if row.right is None else float(row.right) for row in rows]),
        spot_check=np.array([row.spot_check for row in rows]),
    )


def is_new(round_: Round) -> bool:
    """Whether the round's judge was never asked in its form of question, and is to be tried."""
    if not round_.asks or not round_.has_judge or not n_tried(round_.settings["batch_size"]):
        return False
    return (present_judge(round_), round_.question) not in audits.answered(round_)


def present_judge(round_: Round) -> JudgeId:
    """The judge as its verdicts name it: the endpoint may call its model otherwise than the settings do."""
    if not round_.has_judge:
        return JudgeId(Project.JudgeName.NONE, "", "")
    judge = judge_of(round_)
    last = Verdict.objects.filter(
        query__round__project=round_.project,
        query__round__settings__judge_model=round_.settings["judge_model"],
        judge=judge.name,
        prompt_version=judge.prompt_version,
    ).order_by("-pk")
    return JudgeId(judge.name, last.values_list("model", flat=True).first() or judge.model, judge.prompt_version)
