"""Names of labels without what nobody sees, and which of them look alike."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

FORMAT_KEPT = "\u200c\u200d"  # joiners, a part of how words are spelt and of emoji
BLANKS = re.compile(r"[^\S\r\n]+")
CODE = re.compile(r"([+-]?)0*(\d+)(?:[.,]0+)?")


def clean(label: str) -> str:
    """Return a label's name in Unicode's composed form (NFC), without invisible characters and doubled spaces."""
    if label.isascii() and label.isprintable() and "  " not in label:
        return label.strip()
    label = label.replace("\r\n", "\n").replace("\r", "\n")
    label = unicodedata.normalize("NFC", "".join(c for c in label if c in FORMAT_KEPT or not _is_invisible(c)))
    return BLANKS.sub(" ", label).strip()


def look_alike(label: str) -> str:
    """Return a key that labels share when they differ in case, form, spaces, or as numbers alone."""
    plain = unicodedata.normalize("NFKC", label).casefold()
    plain = "".join(c for c in unicodedata.normalize("NFC", plain) if not (c.isspace() or _is_invisible(c)))
    code = CODE.fullmatch(plain)
    return code.group(1).replace("+", "") + code.group(2) if code else plain


def look_alikes(labels: Iterable[str]) -> list[list[str]]:
    """Return the groups of labels that look alike."""
    alike: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        alike[look_alike(label)].append(label)
    return [group for group in alike.values() if len(group) > 1]


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) == "Cf"
