"""How much is still to be done until a certificate, in audits, minutes and money."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from typing import Any

from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from labelling.models import AuditDraw, Certificate, Decision, Project
from labelling.services import ledger
from labelling.services.claims import ENOUGH, OBSERVED

# Until enough decisions tell how long one takes.
SECONDS_ASSUMED = 15.0
# Further away than this the promise is out of reach: a larger share wrong can be certified sooner.
OUT_OF_REACH = 500
# Further than this rounds don't look ahead, as in labelling.jobs.rounds.outlook.
FORESEEABLE = 1_000


@dataclass(frozen=True)
class Ahead:
    """How many audits are still to come: with a chance of 80 % at least ``low`` and at most ``high``.

    Attributes:
        middle, high: None where they can't be foretold, being too many.
        seconds: what one of them takes.
    """

    low: int
    middle: int | None
    high: int | None
    seconds: float

    @property
    def minutes(self) -> tuple[int, int | None]:
        """The shortest and the longest time, in minutes; None where it can't be foretold."""
        return minutes(self.low, self.seconds), None if self.high is None else minutes(self.high, self.seconds)

    @property
    def is_out_of_reach(self) -> bool:
        return self.middle is None or self.middle > OUT_OF_REACH

    @property
    def in_words(self) -> str:
        """As in "60 to 130 audits, 15 to 33 minutes"."""
        if self.is_out_of_reach:
            return _("some %(n)s audits or more") % {"n": intcomma(max(self.low, OUT_OF_REACH))}
        shortest, longest = self.minutes
        if self.high is None or longest is None:
            told = {"low": intcomma(self.low), "shortest": intcomma(shortest)}
            return _("%(low)s audits or more, %(shortest)s minutes or more") % told
        if self.low == self.high:
            audits = ngettext("%(n)s audit", "%(n)s audits", self.high) % {"n": intcomma(self.high)}
        else:
            audits = _("%(low)s to %(high)s audits") % {"low": intcomma(self.low), "high": intcomma(self.high)}
        if shortest == longest:
            return f"{audits}, " + ngettext("%(n)s minute", "%(n)s minutes", longest) % {"n": intcomma(longest)}
        return f"{audits}, " + _("%(low)s to %(high)s minutes") % {"low": intcomma(shortest), "high": intcomma(longest)}


@dataclass(frozen=True)
class Outlook:
    """What lies ahead of a project; see labelling.jobs.rounds.outlook for the figures behind it.

    Attributes:
        first: until the certificate holds for the first time; None once it has, and before audits have begun.
        nearly_all: until 90 % of what the machine settled is certified; None before audits have begun.
        seconds: what a decision takes.
        money: what a round's judge costs, in US dollars; None without one, or without a price.
    """

    first: Ahead | None
    nearly_all: Ahead | None
    seconds: float
    money: Decimal | None


def outlook(project: Project) -> Outlook:
    """What lies ahead, as the last round saw it, less the audits that people have decided since."""
    foretold = figures(project)
    seconds = seconds_a_decision(project)
    since = audited_since(project, project.certificates.first())
    return Outlook(
        first=_ahead(foretold.get("first"), since, seconds),
        nearly_all=_ahead(foretold.get("nearly_all"), since, seconds),
        seconds=seconds,
        money=_money(project),
    )


def figures(project: Project) -> dict[str, Any]:
    """What the last round that looked ahead foretold; empty before there is one."""
    found = project.rounds.exclude(outlook={}).values_list("outlook", flat=True).first()
    return found or {}


def audited_since(project: Project, certificate: Certificate | None) -> int:
    """How many audits of the present ledger people have finished since the last look at it."""
    drawn = AuditDraw.objects.filter(member__cohort__project=project, member__cohort__ledger=project.restarts)
    counted = certificate.n if certificate and certificate.ledger == project.restarts else 0
    return max(drawn.filter(query__queue_entry=None).count() - counted, 0)


def seconds_a_decision(project: Project) -> float:
    """The median of the project's last decisions; an assumption before there are enough."""
    decisions = Decision.objects.filter(document__project=project, seconds__isnull=False).order_by("-pk")
    seconds = [n or 0 for n in decisions.values_list("seconds", flat=True)[:OBSERVED]]
    return max(float(median(seconds)), 1.0) if len(seconds) >= ENOUGH else SECONDS_ASSUMED


def minutes(n_decisions: int, seconds: float) -> int:
    """How many minutes so many decisions take, at least one."""
    return max(round(n_decisions * seconds / 60), 1)


def _ahead(foretold: dict[str, int | None] | None, since: int, seconds: float) -> Ahead | None:
    if not foretold:
        return None
    left = {name: None if n is None else max(n - since, 0) for name, n in foretold.items()}
    if left["high"] == 0:
        return None
    low = left["low"]
    return Ahead(FORESEEABLE if low is None else low, left["middle"], left["high"], seconds)


def _money(project: Project) -> Decimal | None:
    """What the last round that asked a judge cost, where the next one will ask one."""
    if project.judge == Project.JudgeName.NONE:
        return None
    last = project.rounds.filter(calls__isnull=False).order_by("-number").first()
    spent = ledger.spent(project, last) if last else None
    return spent.cost if spent and not spent.unpriced else None
