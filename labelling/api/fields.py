"""What values may be: whatever passes here, any of the databases can store."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints


def _storable(text: str) -> str:
    """PostgreSQL knows no NUL."""
    if "\0" in text:
        raise ValueError("NUL is no character of a text")
    return text


Storable = Annotated[str, AfterValidator(_storable)]
Key = Annotated[int, Field(ge=1, le=2**63 - 1)]
Number = Annotated[int, Field(ge=1, le=2**31 - 1)]
Name = Annotated[Storable, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Short = Annotated[Storable, StringConstraints(strip_whitespace=True, max_length=200)]
Words = Annotated[Storable, StringConstraints(max_length=20_000)]
Metadata = dict[Name, Words]
