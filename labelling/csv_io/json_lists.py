"""A file that is one list in JSON, value by value: no memory has to hold them together."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any

from django.utils.translation import gettext as _

BLOCK_CHARS = 2**18
DECODER = json.JSONDecoder()
# What stands before the first value of a list, before the others, behind the last, and where there is none.
BRACKET, COMMA, END, NOTHING = (re.compile(rf"\s*{marks}\s*") for marks in (r"\[", ",", r"\]", r"\[\s*\]"))


def values(source: IO[bytes]) -> Iterator[Any]:
    """Yield the values of a list, one by one, from the beginning of the file.

    Raises:
        ValueError, RecursionError: when it can't be read.
    """
    source.seek(0)
    text = io.TextIOWrapper(source, encoding="utf-8-sig")
    try:
        window, place, n = text.read(BLOCK_CHARS), 0, 0
        while True:
            if found := _value(window, place, COMMA if n else BRACKET):
                value, place = found
                n += 1
                yield value
            elif more := text.read(max(BLOCK_CHARS, len(window) - place)):
                # Twice as much each time: a value that never ends is not begun again with every block.
                window, place = window[place:] + more, 0
            elif (END if n else NOTHING).fullmatch(window, place):
                return
            else:
                raise ValueError(_("value %(n)s does not end, or no comma stands behind it") % {"n": n + 1})
    finally:
        text.detach()


def _value(window: str, place: int, before: re.Pattern[str]) -> tuple[Any, int] | None:
    """The value behind what stands before it, and where it ends; None where it is not there as a whole."""
    if found := before.match(window, place):
        with suppress(json.JSONDecodeError):
            return DECODER.raw_decode(window, found.end())
    return None
