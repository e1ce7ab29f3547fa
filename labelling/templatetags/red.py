"""How figures are written, in the reader's language."""

from __future__ import annotations

import re
from decimal import Decimal
from difflib import SequenceMatcher
from typing import Any

from django import template
from django.utils.formats import number_format
from django.utils.translation import get_language
from django.utils.translation import gettext as _

register = template.Library()

FEWEST_KEPT_WORDS = 3


@register.filter
def percent(share: float | None) -> str:
    """A share in [0, 1] as "93.4 %"; a dash for None."""
    return "–" if share is None else number_format(f"{100 * share:.1f}") + " %"


@register.filter
def in_percent(share: float | str) -> str:
    """A round share in [0, 1] as "5 %" or "97.5 %"."""
    return number_format(f"{100 * float(share):.3g}") + " %"


@register.simple_tag
def part_of(part: int, whole: int) -> str:
    """A part of the whole as "44 %"; what is neither nothing nor all does not round to it."""
    share = 100 * part / whole if whole else 0.0
    if 0 < share < 1:
        return "< 1 %"
    return "> 99 %" if 99 < share < 100 else f"{share:.0f} %"


@register.filter
def probability(value: float | None) -> str:
    """A probability in two digits, a dash for None; what would round to 1.00 without being certain stays 0.99."""
    if value is None:
        return "–"
    return number_format(f"{min(value, 0.99) if value < 1 else value:.2f}")


@register.filter
def shortened(text: str, n_chars: int) -> str:
    """A text of at most ``n_chars`` characters, the last one "…" where it goes on.

    Django's truncatechars looks at each character; the forty texts of a review page take a twentieth of its time so.
    """
    return text if len(text) <= n_chars else text[: n_chars - 1] + "…"


@register.filter
def nats(gain: float | None) -> str:
    """An information gain as "0.12 nats"; a dash for None."""
    return "–" if gain is None else number_format(f"{gain:.2f}") + " nats"


@register.filter
def rate(measured: dict[str, Any]) -> str:
    """How often the judge is right, with the interval: "92 % (84 to 97 %)", and whether that is measured at all."""
    low, high = (f"{100 * measured[bound]:.0f}" for bound in ("low", "high"))
    figures = {"share": f"{100 * measured['mean']:.0f}", "low": low, "high": high}
    if measured["is_prior"]:
        return _("%(share)s %% (%(low)s to %(high)s %%), assumed: too few audits to say") % figures
    return _("%(share)s %% (%(low)s to %(high)s %%)") % figures


@register.filter
def lowered(name: str) -> str:
    """A name inside a sentence: in lower case, but not in German, whose nouns keep their capital."""
    return name if get_language() == "de" else name.lower()


@register.filter
def changes(old: str, new: str) -> list[tuple[str, str]]:
    """What became of a text, word by word: ("equal", "delete" or "insert", piece), in reading order."""
    before, after = (re.findall(r"\S+\s*", text) for text in (old, new))
    pieces: list[tuple[str, str]] = []
    i = j = 0
    for start, start_new, n in _kept(before, after):
        gone, come = ("delete", "".join(before[i:start])), ("insert", "".join(after[j:start_new]))
        kept = ("equal", "".join(after[start_new : start_new + n]))
        pieces += [piece for piece in (gone, come, kept) if piece[1]]
        i, j = start + n, start_new + n
    return pieces


def _kept(before: list[str], after: list[str]) -> list[tuple[int, int, int]]:
    """Runs of words that both texts have: where in each, and how many words; last, an empty one at their ends.

    A word or two between changes are left out: they only make it hard to read.
    """
    *runs, end = SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    firsts, lasts = (0, 0), (len(before), len(after))
    return [
        *(
            run
            for run in runs
            if run.size >= FEWEST_KEPT_WORDS
            or (run.a, run.b) == firsts
            or (run.a + run.size, run.b + run.size) == lasts
        ),
        end,
    ]


@register.filter
def dollars(amount: Decimal | str | None) -> str:
    """US dollars: in cents from one dollar on, below that as in "$0.0042"; a dash for None."""
    if amount in (None, ""):
        return "–"
    value = Decimal(amount)
    return "$" + number_format(f"{value:.2f}" if value >= 1 or value == 0 else f"{value:.4f}", force_grouping=True)
