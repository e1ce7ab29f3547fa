"""How figures are written."""

from django import template

register = template.Library()


@register.filter
def percent(share: float | None) -> str:
    """A share in [0, 1] as "93.4 %"; a dash for None."""
    return "–" if share is None else f"{100 * share:.1f} %"


@register.filter
def probability(value: float | None) -> str:
    """A probability in two digits, a dash for None; what would round to 1.00 without being certain stays 0.99."""
    if value is None:
        return "–"
    return f"{min(value, 0.99) if value < 1 else value:.2f}"
