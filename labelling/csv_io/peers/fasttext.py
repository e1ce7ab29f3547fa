"""fastText: lines of labels and a text in, as "__label__billing I was charged twice"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

MARK = "__label__"
# doccano writes such lines in quotation marks.
LINE = re.compile(rf'"?((?:{MARK}\S+\s+)+)(.*?)"?\s*')


def is_labelled(line: str) -> bool:
    return bool(LINE.match(line))


def rows_of(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield a row for each line that is not empty; one without a label is a text alone."""
    for number, line in enumerate(lines, start=1):
        if found := LINE.fullmatch(line):
            labels = [label.removeprefix(MARK) for label in found.group(1).split()]
            yield number, {"text": found.group(2), "label": labels[0] if len(labels) == 1 else labels}
        elif line.strip():
            yield number, {"text": line.strip()}
