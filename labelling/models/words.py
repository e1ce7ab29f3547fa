"""Full text search as SQLite and PostgreSQL bring it along; migration 0017 makes the indexes."""

from __future__ import annotations

import json
import re

from django.db import connection
from django.db.models.expressions import RawSQL

SQLITE = "SELECT rowid FROM labelling_document_words WHERE labelling_document_words MATCH %s"
POSTGRES = """SELECT id FROM labelling_document
    WHERE to_tsvector('simple', regexp_replace(text, '[^[:alnum:]]+', ' ', 'g')) @@ to_tsquery('simple', %s)"""
# The words narrow it down, as far as the value has any: reading the metadata of all documents takes its time.
# A pair of JSON stands in the text that Django stores as it is written here; within a string its marks are escaped.
METADATA_SQLITE = "SELECT id FROM labelling_document WHERE instr(metadata, %s) > 0"
METADATA_POSTGRES = "SELECT id FROM labelling_document WHERE metadata @> %s::jsonb"

# A phrase between quotation marks, or one word.
PART = re.compile(r'"([^"]*)"|(\S+)')
WORD = re.compile(r"[^\W_]+")
# A shorter word is looked for as it is: nearly every text has words that begin so.
SHORTEST_BEGINNING = 2


def in_texts(query: str) -> RawSQL | None:
    """The keys of all documents, of any project, that have these words; None where the query has no word.

    Each word may be the beginning of a longer one. What stands between quotation marks are whole words in a row.
    """
    phrases = [(WORD.findall(quoted or word), bool(quoted)) for quoted, word in PART.findall(query)]
    phrases = [(words, is_whole or len(words[-1]) < SHORTEST_BEGINNING) for words, is_whole in phrases if words]
    if not phrases:
        return None
    if connection.vendor == "sqlite":
        return _keys(SQLITE, [" ".join(f"text : {_for_sqlite(*phrase)}" for phrase in phrases)])
    return _keys(POSTGRES, [" & ".join(_for_postgres(*phrase) for phrase in phrases)])


def in_metadata(column: str, value: str) -> RawSQL:
    """The keys of all documents, of any project, that have this value in this column."""
    if connection.vendor != "sqlite":
        return _keys(METADATA_POSTGRES, [json.dumps({column: value})])
    # As Django stores it, other letters than ASCII as numbers.
    pair, words = json.dumps({column: value})[1:-1], WORD.findall(json.dumps(value))
    if not words:
        return _keys(METADATA_SQLITE, [pair])
    return _keys(f"{METADATA_SQLITE} AND id IN ({SQLITE})", [pair, f"metadata : {_for_sqlite(words, is_whole=True)}"])


def _keys(sql: str, values: list[str]) -> RawSQL:
    """The keys that one of the statements above selects; what people typed comes as values alone."""
    return RawSQL(sql, values)  # noqa: S611


def _for_sqlite(words: list[str], is_whole: bool) -> str:
    return f'"{" ".join(words)}"' + ("" if is_whole else "*")


def _for_postgres(words: list[str], is_whole: bool) -> str:
    """Words hold letters and digits alone: nothing of them can be read as an operator."""
    *before, last = (f"'{word}'" for word in words)
    return "(" + " <-> ".join([*before, last if is_whole else f"{last}:*"]) + ")"
