"""Find one label among a thousand by its name, its synonyms, and words of its definition."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from labelling.models import Label, Project

MAX_FOUND = 12


def find_labels(project: Project, query: str, guesses: Sequence[int] = ()) -> list[Label]:
    """Labels that match all words of a query, at most twelve, best first.

    ``guesses``: ids of the labels that are most probable, best first. They decide between equally good matches, and
    are what is found while nothing is typed.
    """
    wanted = _plain(query)
    place = {label_id: place for place, label_id in enumerate(guesses)}
    if not wanted:
        best = project.labels.in_bulk(guesses[:MAX_FOUND]) if guesses else {}
        return [best[label_id] for label_id in guesses[:MAX_FOUND] if label_id in best]
    words = wanted.split()
    found = []
    # Plain rows: a thousand model instances would take most of the time.
    for pk, name, synonyms, definition in project.labels.values_list("pk", "name", "synonyms", "definition"):
        names = [_plain(known) for known in (name, *synonyms.split(";"))]
        elsewhere = [word for word in words if word not in " ".join(names)]
        if all(word in _plain(definition) for word in elsewhere):
            found.append((_rank(names, wanted, words), place.get(pk, len(place)), name, pk))
    best_ids = [pk for *_, pk in sorted(found)[:MAX_FOUND]]
    labels = project.labels.in_bulk(best_ids)
    return [labels[pk] for pk in best_ids]


def _rank(names: list[str], wanted: str, words: list[str]) -> int:
    """Where the words are: 0 the very name, then at its start, the same of a synonym, then anywhere in the names."""
    name, *synonyms = names
    if name == wanted:
        return 0
    if name.startswith(wanted):
        return 1
    if any(synonym.startswith(wanted) for synonym in synonyms):
        return 2
    in_names = [word in " ".join(names) for word in words]
    return 3 if all(in_names) else 4 if any(in_names) else 5


# The same texts are searched with each letter that is typed.
@lru_cache(maxsize=10_000)
def _plain(text: str) -> str:
    """Without case, accents and underscores, which nobody types in a search."""
    decomposed = unicodedata.normalize("NFKD", text.casefold()) if not text.isascii() else text.lower()
    return re.sub(r"[\u0300-\u036f]", "", decomposed).replace("_", " ").replace("-", " ").strip()
