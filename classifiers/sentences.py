"""Sentences for people, in English, which others can put into another language."""

from __future__ import annotations


class Reason(str):
    """Why something came about; imported as ``_``, so that it is found for translation.

    Attributes:
        template: with places like %(n)s.
        values: what stands in the places.
    """

    template: str
    values: dict[str, int | float | str]

    def __new__(cls, template: str, **values: int | float | str) -> Reason:
        reason = super().__new__(cls, template % values if values else template)
        reason.template, reason.values = template, values
        return reason
