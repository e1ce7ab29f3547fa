"""The language of texts. The one room that knows py3langid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
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


def foreign(texts: Sequence[str], known: Collection[str], random_state: int = 0) -> tuple[dict[str, int], int]:
    """Count the texts that are surely in a language other than those that are known.

    Args:
        texts: LOOKED_AT of them are looked at.
        known: ISO 639-1 codes; without any, every language is known.
        random_state: seed of the draw.

    Returns:
        Texts by language code, the most frequent first, and how many texts were looked at.
    """
    if not known or not texts:
        return {}, 0
    drawn = texts if len(texts) <= LOOKED_AT else Random(random_state).sample(texts, LOOKED_AT)  # noqa: S311
    identifier = _identifier()
    found = Counter(language for language, sure in map(identifier.classify, drawn) if sure >= SURE)
    least = max(FEWEST, LEAST_SHARE * len(drawn))
    return {code: n for code, n in found.most_common() if code not in known and n >= least}, len(drawn)


@cache
def _identifier() -> LanguageIdentifier:
    # It imports numpy, which has no place in a web process.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
