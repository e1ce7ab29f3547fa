"""The language of texts. The one room that knows py3langid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from functools import cache
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

# Below this probability a text's language is taken as unknown: of job titles of three words hardly one has any.
SURE = 0.5
# More texts than this tell no more, and take longer than reading the file.
LOOKED_AT = 2_000
# Of fewer texts, and of a smaller share, nothing is said: names and quotations look like other languages.
FEWEST = 3
LEAST_SHARE = 0.02


class Sample:
    """At most LOOKED_AT of the texts that are added, each with the same chance. Vitter's algorithm R.

    Attributes:
        texts: those that are in it.
    """

    def __init__(self, random_state: int = 0):
        self.texts: list[str] = []
        self._n = 0
        self._random = Random(random_state)  # noqa: S311

    def add(self, text: str) -> None:
        self._n += 1
        if self._n <= LOOKED_AT:
            self.texts.append(text)
        elif (place := self._random.randrange(self._n)) < LOOKED_AT:
            self.texts[place] = text


def foreign(texts: Collection[str], known: Collection[str]) -> tuple[dict[str, int], int]:
    """Count the texts that are surely in a language other than those that are known.

    Args:
        texts: a sample.
        known: ISO 639-1 codes; without any, every language is known.

    Returns:
        Texts by language code, the most frequent first, and how many texts were looked at.
    """
    if not known or not texts:
        return {}, 0
    identifier = _identifier()
    found = Counter(language for language, sure in map(identifier.classify, texts) if sure >= SURE)
    least = max(FEWEST, LEAST_SHARE * len(texts))
    return {code: n for code, n in found.most_common() if code not in known and n >= least}, len(texts)


@cache
def _identifier() -> LanguageIdentifier:
    # It imports numpy, which has no place in a web process.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
