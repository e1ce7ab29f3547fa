"""Lists of labels as people have them, without a database."""

from __future__ import annotations

import pytest

from labelling.csv_io.cleaning import look_alikes
from labelling.csv_io.label_lists import (
    ListedLabel,
    Unreadable,
    guess_columns,
    parents_by_prefix,
    read_labels,
)

NONE = {"name": "", "code": "", "parent": "", "definition": "", "synonyms": ""}


@pytest.mark.parametrize(
    ("header", "guessed"),
    [
        (["name", "definition"], {"name": "name", "definition": "definition"}),
        (["Code", "Description"], {"code": "Code", "name": "Description"}),
        (["label", "code", "description"], {"name": "label", "code": "code", "definition": "description"}),
        (
            ["Code", "Parent Code", "Title", "Synonyms"],
            {"code": "Code", "parent": "Parent Code", "name": "Title", "synonyms": "Synonyms"},
        ),
        (["Definition", "x"], {"definition": "Definition"}),
        (["x"], {}),
    ],
)
def test_columns_are_known_by_their_names(header, guessed):
    assert guess_columns(header) == NONE | guessed


@pytest.mark.parametrize(
    ("codes", "parents"),
    [
        ([], {}),
        (["1", "2"], {}),
        (["0", "01", "011", "0110"], {"01": "0", "011": "01", "0110": "011"}),
        (["A", "A.1", "A.1.1", "B.1"], {"A.1": "A", "A.1.1": "A.1"}),
        (["1", "112"], {"112": "1"}),
        (["110", "0110"], {}),
        (["11-0000", "11-1000", "11-1020", "13-0000"], {"11-1000": "11-0000", "11-1020": "11-1000"}),
        (["11-1011.00", "11-1011.03"], {"11-1011.03": "11-1011.00"}),
        (["-", "1"], {}),
    ],
)
def test_parents_by_prefix(codes, parents):
    assert parents_by_prefix(codes) == parents


@pytest.mark.parametrize(
    ("codes", "alike"),
    [([], []), (["1", "2"], []), (["0110", "110", "2"], [["0110", "110"]]), (["a1", "A1"], [["a1", "A1"]])],
)
def test_codes_that_look_alike_are_found(codes, alike):
    assert look_alikes(codes) == alike


def rows(*cells: tuple[str, ...]) -> list[dict[str, str]]:
    return [dict(zip(("name", "code", "parent"), row, strict=False)) for row in cells]


COLUMNS = NONE | {"name": "name", "code": "code", "parent": "parent"}


def test_a_list_is_read():
    assert read_labels(rows((" Sales ", "4", ""), ("Shops", "41", "4")), COLUMNS) == [
        ListedLabel("Sales", "4"),
        ListedLabel("Shops", "41", "4"),
    ]


def test_levels_may_share_a_name():
    found = read_labels(rows(("Shops", "4", ""), ("Shops", "41", "4")), COLUMNS)
    assert [label.name for label in found] == ["Shops", "41 Shops"]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ([("", "1", "")], "Row 1: The label has no name."),
        ([("a", "1", ""), ("b" * 201, "2", "")], "Row 2: The name has 201 characters; at most 200 are allowed."),
        ([("a", "1" * 51, "")], "Row 1: The code has 51 characters; at most 50 are allowed."),
        ([("a", "1", ""), ("b", "1", "")], "More than one row: 1."),
        ([("a", "", ""), ("a", "", "")], "More than one row: a."),
    ],
)
def test_what_is_wrong_is_told(cells, reason):
    with pytest.raises(Unreadable) as told:
        read_labels(rows(*cells), COLUMNS)
    assert told.value.reasons == [reason]
