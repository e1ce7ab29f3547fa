"""Sentences that the worker stores: kept as what they are made of, and put into words when somebody reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from django.db import models
from django.utils.formats import localize
from django.utils.translation import gettext

# How a stored sentence begins; what others have written is stored as it is.
BEGINS = '{"sentence":'
PLACE = re.compile(r"%\((\w+)\)s|%(%)")


class Sentence(str):
    """A sentence in the language of whoever reads it, which knows what it is made of.

    Args:
        template: in English, with places like %(n)s; imported as ``_``, so that it is found for translation.
        values: what stands in the places, numbers or words.
    """

    template: str
    values: Mapping[str, Any]

    def __new__(cls, template: str, values: Mapping[str, Any] | None = None) -> Sentence:
        told = {name: str(localize(value)) for name, value in (values or {}).items()}
        # Not by %: a template may come from a project's file, and must not be able to ask for more than its values.
        text = PLACE.sub(lambda place: place[2] or told.get(place[1], place[0]), gettext(template))
        sentence = super().__new__(cls, text)
        sentence.template, sentence.values = template, values or {}
        return sentence

    def __mod__(self, values: Any) -> Sentence:
        return Sentence(self.template, values)


class SentenceField(models.TextField):
    """Text that may be a ``Sentence``; to the database, and to migrations, any text."""

    def deconstruct(self) -> Any:
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.TextField", args, kwargs

    def from_db_value(self, value: str | None, _expression: Any, _connection: Any) -> str | None:
        if value is None or not value.startswith(BEGINS):
            return value
        try:
            found = json.loads(value, object_hook=_sentence)
        except (ValueError, TypeError, AttributeError):
            return value
        return found if isinstance(found, Sentence) else value

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, Sentence):
            return json.dumps(_made_of(value), default=str)
        return super().get_prep_value(value)


def said_by(error: BaseException) -> str:
    """What an error says: the sentence itself where it was raised with one, or with a reason of the classifiers."""
    said: Any = error.args[0] if error.args else ""
    if isinstance(said, Sentence):
        return said
    return Sentence(said.template, said.values) if hasattr(said, "template") else str(error)


def _made_of(sentence: Sentence) -> dict[str, Any]:
    values = {
        name: _made_of(value) if isinstance(value, Sentence) else value for name, value in sentence.values.items()
    }
    return {"sentence": sentence.template, "values": values}


def _sentence(stored: dict[str, Any]) -> Any:
    """A sentence from what it is made of; the values of one are left as they are."""
    return Sentence(stored["sentence"], stored["values"]) if stored.keys() == {"sentence", "values"} else stored
