"""Full text search as SQLite and PostgreSQL bring it along; migration 0017 makes the indexes."""

from __future__ import annotations

import json
import re

from django.db import connection
from django.db.models import BooleanField, F, Func, IntegerField, Q, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import StrIndex
from django.db.models.lookups import GreaterThan, In

SQLITE = "SELECT rowid FROM labelling_document_words WHERE labelling_document_words MATCH %s"
POSTGRES = """SELECT id FROM labelling_document
    WHERE to_tsvector('simple', regexp_replace(text, '[^[:alnum:]]+', ' ', 'g')) @@ to_tsquery('simple', %s)"""

# A phrase between quotation marks, or one word.
PART = re.compile(r'"([^"]*)"|(\S+)')
WORD = re.compile(r"[^\W_]+")
# A shorter word is looked for as it is: nearly every text has words that begin so.
SHORTEST_BEGINNING = 2


def in_texts(query: str, looked_up: bool = False) -> Q:
    """Whether a document's text has these words; none has where the query has no word.

    Each word may be the beginning of a longer one. What stands between quotation marks are whole words in a row.

    Args:
        query: the words.
        looked_up: whether it is asked in the order of predictions or by their label, see _among.
    """
    phrases = [(WORD.findall(quoted or word), bool(quoted)) for quoted, word in PART.findall(query)]
    phrases = [(words, is_whole or len(words[-1]) < SHORTEST_BEGINNING) for words, is_whole in phrases if words]
    if not phrases:
        return Q(pk__in=[])
    if connection.vendor == "sqlite":
        return _among(SQLITE, " ".join(f"text : {_for_sqlite(*phrase)}" for phrase in phrases), looked_up)
    return _among(POSTGRES, " & ".join(_for_postgres(*phrase) for phrase in phrases), looked_up)


def in_metadata(column: str, value: str, looked_up: bool = False) -> Q:
    """Whether a document has this value in this column; ``looked_up``: see _among."""
    if connection.vendor != "sqlite":
        return Q(metadata__contains={column: value})
    # A pair stands in the text that Django stores as it is written here, other letters than ASCII as numbers; within a
    # string its marks are escaped.
    pair, words = json.dumps({column: value})[1:-1], WORD.findall(json.dumps(value))
    has_pair = Q(GreaterThan(StrIndex("metadata", Value(pair)), 0))
    if not words:
        return has_pair
    # The words narrow it down: metadata are read of those documents alone that all else has let through.
    return has_pair & _among(SQLITE, f"metadata : {_for_sqlite(words, is_whole=True)}", looked_up)


def _among(sql: str, value: str, looked_up: bool) -> Q:
    """Whether a document is among those that one of the statements above selects; what people typed comes as a value.

    SQLite takes them to be few and begins with them. Where ``looked_up``, it begins with the predictions, in their
    order or by their label, and looks up whether their documents are among them: of many that is much quicker.
    """
    found = RawSQL(sql, [value])  # noqa: S611
    if not looked_up or connection.vendor != "sqlite":
        return Q(pk__in=found)
    # No index is searched by what has a sign before it, and what is unlikely is asked of a table that is read first.
    key = Func(F("prediction__document"), template="+%(expressions)s", output_field=IntegerField())
    return Q(Func(In(key, found), function="unlikely", output_field=BooleanField()))


def _for_sqlite(words: list[str], is_whole: bool) -> str:
    return f'"{" ".join(words)}"' + ("" if is_whole else "*")


def _for_postgres(words: list[str], is_whole: bool) -> str:
    """Words hold letters and digits alone: nothing of them can be read as an operator."""
    *before, last = (f"'{word}'" for word in words)
    return "(" + " <-> ".join([*before, last if is_whole else f"{last}:*"]) + ")"
