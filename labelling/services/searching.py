"""Find one label among ten thousand: by its code, its name, its synonyms, words of its definition, and with typos.

The search runs in the web process on plain strings, so that both databases find the same. What it prepares is kept
for as long as the labels stay as they are: the database joins them to one string, which is what the keeping goes by.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from heapq import nsmallest

from django.contrib.auth.models import User
from django.db.models import Aggregate, TextField, Value
from django.db.models.functions import Cast, Concat
from rapidfuzz import process
from rapidfuzz.distance import OSA

from labelling.models import Decision, Label, Project

MAX_FOUND = 12
# Labels that a reviewer chose last: so many, of so many decisions.
MAX_RECENT = 5
RECENT_DECISIONS = 50
# How many letters of a word may be wrong: none of three, one from four on, two from eight on.
TYPOS_FROM = (4, 8)
# The rank of what is found only so.
TYPOS = 7
# Between the columns and between the labels in the string that the database joins them to.
COLUMN, ROW = "\x1f\x1f", "\x1e\x1e"
MAX_LEVELS = Label.MAX_LEVELS


@dataclass(frozen=True)
class FoundLabel:
    """A label that was found, and the names of those above it, from the top down."""

    label: Label
    above: tuple[str, ...] = ()
    is_recent: bool = False


@dataclass(frozen=True)
class Found:
    """What a search found, best first, and how many more there are than these."""

    labels: list[FoundLabel] = field(default_factory=list)
    n_more: int = 0


def find_labels(project: Project, query: str, guesses: Sequence[int] = (), recent: Sequence[int] = ()) -> Found:
    """Labels that match all words of a query, at most twelve, best first; where there is none, despite typos.

    ``guesses``: ids of the labels that are most probable, best first; ``recent``: of those that the reviewer chose
    last. They decide between equally good matches, in this order; while nothing is typed the recent ones come first.
    """
    wanted = _plain(query)
    if not wanted and not guesses and not recent:
        return Found()
    index = _index_of(project)
    places = [*recent, *guesses] if not wanted else [*guesses, *recent]
    place = {label_id: n for n, label_id in enumerate(dict.fromkeys(places))}
    if wanted:
        ranks = index.search(wanted)
        found = ((*ranks[pk], place.get(pk, len(place)), index.rows[pk].code, index.rows[pk].name, pk) for pk in ranks)
        best, n_found = [pk for *_, pk in nsmallest(MAX_FOUND, found)], len(ranks)
    else:
        best = [pk for pk in place if pk in index.rows][:MAX_FOUND]
        n_found = len(best)
    labels = project.labels.in_bulk(best)
    shown = [FoundLabel(labels[pk], index.path(pk), pk in recent) for pk in best if pk in labels]
    return Found(shown, n_found - len(best))


def recent_labels(project: Project, user: User) -> list[int]:
    """Ids of the labels that the user chose last in a project, the last first."""
    chosen = Decision.objects.filter(reviewer=user, document__project=project, label__isnull=False, withdrawn_by=None)
    last = chosen.order_by("-pk").values_list("label", flat=True)[:RECENT_DECISIONS]
    return list(dict.fromkeys(last))[:MAX_RECENT]


class _Joined(Aggregate):
    """All rows' strings in one."""

    function = "GROUP_CONCAT"
    template = "%(function)s(%(expressions)s, '')"
    output_field = TextField()

    def as_postgresql(self, compiler, connection, **context):
        return super().as_sql(compiler, connection, function="STRING_AGG", **context)


@dataclass(frozen=True)
class _Row:
    """A label as it is searched; all but ``title`` in plain letters, see ``_plain``."""

    pk: int
    parent: int
    code: str
    name: str
    synonyms: tuple[str, ...]
    definition: str
    title: str

    @classmethod
    @lru_cache(maxsize=20_000)
    def read(cls, joined: str) -> _Row:
        pk, parent, code, name, synonyms, definition = joined.split(COLUMN)
        words = tuple(_plain(synonym) for synonym in synonyms.split(";") if synonym.strip())
        title = f"{code} {name}" if code else name
        return cls(int(pk), int(parent or 0), _plain(code), _plain(name), words, _plain(definition), title)

    @cached_property
    def names(self) -> str:
        """Name, code and synonyms: a space before each word."""
        return " ".join(["", self.name, *self.synonyms, self.code])

    def rank(self, wanted: str, words: list[str]) -> int:
        """How well the words fit, 0 best: the very name or code; at its start, or at that of a synonym; each at the
        start of a word; each anywhere in the names; some, or none, in the names.
        """
        if wanted in (self.name, self.code):
            return 0
        if self.name.startswith(wanted):
            return 1
        if any(known.startswith(wanted) for known in (*self.synonyms, self.code)):
            return 2
        n_here = sum(word in self.names for word in words)
        if n_here == len(words):
            return 3 if all(f" {word}" in self.names for word in words) else 4
        return 5 if n_here else 6


class _Index:
    """A project's labels in use, made ready to be searched."""

    def __init__(self, joined: str):
        rows = (_Row.read(one) for one in joined.split(ROW) if one)
        self.rows = {row.pk: row for row in rows}

    def above(self, row: _Row) -> list[_Row]:
        """The labels above one, from the top down."""
        found: list[_Row] = []
        while (parent := self.rows.get(row.parent)) and len(found) < MAX_LEVELS:
            found.insert(0, parent)
            row = parent
        return found

    def path(self, pk: int) -> tuple[str, ...]:
        """What the labels above one are called, from the top down."""
        return tuple(row.title for row in self.above(self.rows[pk]))

    @cached_property
    def vocabulary(self) -> dict[str, list[int]]:
        """The words of all names, codes and synonyms, and the labels that have them, or lie below one that has."""
        found: dict[str, list[int]] = {}
        for pk, row in self.rows.items():
            for word in {word for one in (row, *self.above(row)) for word in one.names.split()}:
                found.setdefault(word, []).append(pk)
        return found

    def search(self, wanted: str) -> dict[int, tuple[int, int]]:
        """The labels found, by how well: rank, and letters that are wrong."""
        words = wanted.split()
        exact = set.intersection(*(self._with(word) for word in words))
        return {pk: (self.rows[pk].rank(wanted, words), 0) for pk in exact} or self._despite_typos(words)

    def _with(self, word: str) -> set[int]:
        """The labels that have this somewhere inside a word."""
        found = {pk for pk, row in self.rows.items() if word in row.definition}
        return found.union(*(pks for known, pks in self.vocabulary.items() if word in known))

    def _despite_typos(self, words: list[str]) -> dict[int, tuple[int, int]]:
        wrong = [self._alike(word) for word in words]
        everywhere = set.intersection(*(set(found) for found in wrong))
        return {pk: (TYPOS, sum(found[pk] for found in wrong)) for pk in everywhere}

    def _alike(self, word: str) -> dict[int, int]:
        """The labels of words like this, or that begin so, and how many letters of it are wrong."""
        allowed = sum(len(word) >= length for length in TYPOS_FROM)
        known = list(self.vocabulary)
        found: dict[int, int] = {}
        for spelt in (known, [one[: len(word)] for one in known]):
            for _word, n_wrong, at in process.extract(
                word, spelt, scorer=OSA.distance, score_cutoff=allowed, limit=None
            ):
                for pk in self.vocabulary[known[at]]:
                    found[pk] = min(found.get(pk, allowed), n_wrong)
        return found


def _index_of(project: Project) -> _Index:
    numbers = (Cast(name, TextField()) for name in ("pk", "parent"))
    columns = [*numbers, "code", "name", "synonyms", "definition"]
    parts = [part for column in columns for part in (Value(COLUMN), column)][1:]
    joined = _Joined(Concat(*parts, Value(ROW), output_field=TextField()))
    return _index(project.labels.in_use().order_by().aggregate(joined=joined)["joined"] or "")


_index = lru_cache(maxsize=8)(_Index)


# The same texts are searched with each letter that is typed.
def _plain(text: str) -> str:
    """Without case, accents and underscores, which nobody types in a search."""
    decomposed = unicodedata.normalize("NFKD", text.casefold()) if not text.isascii() else text.lower()
    return re.sub(r"[\u0300-\u036f]", "", decomposed).replace("_", " ").replace("-", " ").strip()
