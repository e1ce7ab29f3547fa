"""What a release promises, and what it rests on: what certificate.json says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Count, Max, Min
from django.utils import timezone, translation
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from labelling.models import Certificate, Decision, Project, Release, Verdict
from labelling.services.audits import JudgeId
from labelling.services.levels import levels, most_wrong
from labelling.services.shares import LEVEL, shares

OF_A_LOOK = ("limit", "level", "n", "k", "bound", "ever", "now", "depth", "finite", "holds", "still_needed")
# What makes the labels what they are. Not the judge's address: whoever gets the data need not know it.
SETTINGS = (
    "task",
    "limit",
    "level",
    "auto_accept",
    "certainty",
    "judge",
    "judge_model",
    "question",
    "batch_size",
    "strategy",
    "retrain_after",
    "overlap",
    "answer_first",
    "combination",
    "subset_size",
    "noise_ratio",
    "random_seed",
)


def describe(release: Release, counts: Mapping[str, int], files: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the certificate of a release says, ready for JSON; its sentences are English.

    Args:
        release: being written.
        counts: of its rows, see ``labelling.jobs.releasing``.
        files: by name, sha256 and bytes of the data.
    """
    project = release.project
    look = project.certificates.filter(holds=True).first() or project.certificates.first()
    certificate: dict[str, Any] = {
        "project": project.name,
        "release": release.number,
        "released_at": _iso(timezone.now()),
        "note": release.note,
        "certified": counts["certified"],
        "wrong_at_most": min(_wrong_at_most(project), counts["certified"]),
        "audits": _audits(look) if look else None,
        "rows": dict(counts),
        "levels": [
            {
                "level": one.level,
                "settled": one.n_settled,
                "certified": one.n_certified,
                "wrong_at_most": min(one.wrong_at_most, one.n_certified),
                "audits": one.look,
            }
            for one in levels(project)
        ],
        "people": _people(project),
        "judges": _judges(project),
        # The stand-in that knows the true labels: a demonstration.
        "judge_is_simulated": bool(settings.SIMULATED_JUDGE),
        "encoder": project.encoder_in_use,
        "rounds": _rounds(project),
        "shares": _shares(project),
        "definitions": dict(project.labels.order_by("name").values_list("name", "definition_version")),
        "settings": {name: getattr(project, name) for name in SETTINGS},
        "product": {"name": "R.E.D.", "version": settings.VERSION},
        "files": dict(files),
    }
    with translation.override("en"):
        return {"claim": claim(certificate), "meaning": meaning(), **certificate}


def claim(certificate: Mapping[str, Any]) -> str:
    """What is promised, in words."""
    audits, rows = certificate["audits"], certificate["rows"]
    if certificate["certified"]:
        share = certificate["wrong_at_most"] / certificate["certified"]
        return _(
            "Of the %(certified)s labels marked as certified at most %(wrong)s (%(share)s %%) are wrong, with a "
            "probability of %(level)s %% however often one looks. %(n)s random audits found %(k)s wrong or could not "
            "tell; what was found wrong is corrected."
        ) % {
            "certified": intcomma(certificate["certified"]),
            "wrong": intcomma(certificate["wrong_at_most"]),
            "share": number_format(f"{100 * share:.1f}"),
            "level": number_format(f"{100 * audits['level']:g}"),
            "n": audits["n"],
            "k": audits["k"],
        }
    if not rows["model"] + rows["judge"]:
        return _("People gave every label that there is: nothing is left to certify.")
    if audits is None or not audits["n"]:
        return _("No label is certified: none that the machine gave has been audited.")
    return _(
        "No label is certified. %(n)s random audits found %(k)s wrong or could not tell: with a probability of "
        "%(level)s %% at most %(bound)s %% of the %(now)s labels that they speak of are wrong, and the limit is "
        "%(limit)s %%."
    ) % {
        "n": audits["n"],
        "k": audits["k"],
        "level": number_format(f"{100 * audits['level']:g}"),
        "bound": number_format(f"{100 * audits['bound']:.1f}"),
        "now": intcomma(audits["now"]),
        "limit": number_format(f"{100 * audits['limit']:g}"),
    }


def meaning() -> str:
    """What the claim means by wrong."""
    return _(
        "Wrong is a label that the project's reviewers would change who don't see whose it is. Labels that nothing is "
        "promised of are those that are not marked as certified."
    )


def _wrong_at_most(project: Project) -> int:
    """How many of the labels that were ever certified are still wrong, at most; so many, too, of those that are left.

    Where the ledger of audits was begun anew, what the earlier ones certified stays certified.
    """
    newest: dict[int, Certificate] = {}
    for look in project.certificates.filter(holds=True).order_by("pk"):
        newest[look.ledger] = look
    return sum(most_wrong(look.bound, look.now) for look in newest.values())


def _audits(look: Certificate) -> dict[str, Any]:
    """The newest look at the ledger that certified something, or else the newest one."""
    decided = Decision.objects.standing().filter(
        query__draw__member__cohort__project=look.project_id, query__draw__member__cohort__ledger=look.ledger
    )
    times = decided.aggregate(first=Min("created_at"), last=Max("created_at"))
    return {
        **{name: getattr(look, name) for name in OF_A_LOOK},
        "looked_at": _iso(look.created_at),
        "first_audit": _iso(times["first"]),
        "last_audit": _iso(times["last"]),
    }


def _people(project: Project) -> list[dict[str, Any]]:
    """Who decided how often, the busiest first; audits are part of the decisions."""
    decided = Decision.objects.standing().filter(document__project=project).order_by()
    rows = decided.values("reviewer__username").annotate(n=Count("pk"), n_audits=Count("query__draw"))
    found = [
        {"user": row["reviewer__username"] or "", "decisions": row["n"], "audits": row["n_audits"]} for row in rows
    ]
    return sorted(found, key=lambda one: (-one["decisions"], one["user"]))


def _judges(project: Project) -> list[dict[str, Any]]:
    """Whose verdicts the labels rest on, the busiest first; none: no judge was asked."""
    verdicts = Verdict.objects.filter(query__round__project=project).order_by()
    rows = verdicts.values(*JudgeId._fields).annotate(verdicts=Count("pk"))
    return sorted(rows, key=lambda judge: -judge["verdicts"])


def _shares(project: Project) -> dict[str, Any] | None:
    """How common each label is among the documents that came without one, the most common first."""
    found = shares(project)
    if found is None:
        return None
    labels = {label.name: interval._asdict() for label, interval in found.by_share(project.labels.in_use())}
    told = {"round": found.round, "documents": found.n, "random_decisions": found.drawn, "level": LEVEL}
    return {**told, "labels": labels, "none_of_these": found.none._asdict()}


def _rounds(project: Project) -> dict[str, Any]:
    found = project.rounds.aggregate(number=Max("number"), first=Min("started_at"), last=Max("finished_at"))
    return {"number": found["number"] or 0, "first": _iso(found["first"]), "last": _iso(found["last"])}


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
