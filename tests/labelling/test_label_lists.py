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
        (["Code", "Libellé", "Description"], {"code": "Code", "name": "Libellé", "definition": "Description"}),
        (
            ["Schlüssel", "Klartext", "Erläuterung"],
            {"code": "Schlüssel", "name": "Klartext", "definition": "Erläuterung"},
        ),
        (["ISCO-08 code", "Title EN"], {"code": "ISCO-08 code", "name": "Title EN"}),
        (["SIC Code", "Description"], {"code": "SIC Code", "name": "Description"}),
        (["Code", "Description", "Includes"], {"code": "Code", "name": "Description", "definition": "Includes"}),
        (["Level 1", "Level 2", "Level 3"], {"parent": "Level 2", "name": "Level 3"}),
        (["prefLabel", "broader", "altLabel"], {"name": "prefLabel", "parent": "broader", "synonyms": "altLabel"}),
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


ENTRIES = NONE | {"name": "name", "code": "code", "synonyms": "entry"}


def entries(*cells: tuple[str, str, str]) -> list[dict[str, str]]:
    return [dict(zip(("code", "name", "entry"), row, strict=True)) for row in cells]


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (
            [("75", "Bakers", "Baker, bread"), ("75", "Bakers", "Cook"), ("76", "Butchers", "Butcher")],
            ["Baker, bread; Cook", "Butcher"],
        ),
        ([("75", "Bakers", "Cook"), ("75", "Bakers", "Cook")], ["Cook"]),
        ([("75", "Bakers", ""), ("75", "Bakers", "Cook")], ["Cook"]),
        ([("75", "Bakers", "Baker|Cook")], ["Baker; Cook"]),
        ([("75", "Bakers", "Baker\nCook\n")], ["Baker; Cook"]),
        ([("75", "Bakers", "Baker; Cook | chef")], ["Baker; Cook | chef"]),
    ],
)
def test_a_row_for_each_index_entry_is_one_label(cells, labels):
    assert [label.synonyms for label in read_labels(entries(*cells), ENTRIES)] == labels


@pytest.mark.parametrize(
    ("names", "codes"),
    [
        (["110 \u2013 Bakery", "120 - Tools"], ["110", "120"]),
        (["A: Crops and animals", "A.01: Crops", "A.02: Animals"], ["A", "A.01", "A.02"]),
        (["01 Food", "01.1 Bread", "01.1.1 Rolls"], ["01", "01.1", "01.1.1"]),
        (["1 star", "2 stars"], ["", ""]),
        (["18-24 years", "25-64 years"], ["", ""]),
        (["110 \u2013 Bakery", "Tools"], ["", ""]),
        (["110 \u2013 Bakery", "110 \u2013 Bread"], ["", ""]),
        (["110 \u2013 Bakery"], [""]),
        (["Bakery"], [""]),
    ],
)
def test_codes_before_the_names_are_known_as_codes(names, codes):
    found = read_labels(rows(*((name, "", "") for name in names)), COLUMNS)
    assert [(label.name, label.code) for label in found] == list(zip(names, codes, strict=True))


LEVELS = ["Level 1", "Level 2", "Level 3"]


def by_level(*cells: tuple[str, str, str]) -> list[tuple[str, str]]:
    columns = guess_columns(LEVELS)
    return [
        (one.name, one.parent) for one in read_labels([dict(zip(LEVELS, row, strict=True)) for row in cells], columns)
    ]


@pytest.mark.parametrize(
    "cells",
    [
        [("Food", "Bakery", "Bread"), ("Food", "Bakery", "Cake"), ("Food", "Fish", ""), ("Tools", "", "")],
        [("Food", "Bakery", "Bread"), ("", "", "Cake"), ("", "Fish", ""), ("Tools", "", "")],
        [
            ("Food", "", ""),
            ("", "Bakery", ""),
            ("", "", "Bread"),
            ("", "", "Cake"),
            ("", "Fish", ""),
            ("Tools", "", ""),
        ],
    ],
)
def test_a_column_for_each_level_is_a_tree(cells):
    assert by_level(*cells) == [
        ("Food", ""), ("Bakery", "Food"), ("Bread", "Bakery"), ("Cake", "Bakery"), ("Fish", "Food"), ("Tools", ""),
    ]  # fmt: skip


def test_labels_of_other_parents_may_share_a_name():
    assert by_level(("Food", "Other", ""), ("Tools", "Other", "Rest")) == [
        ("Food", ""), ("Other", "Food"), ("Tools", ""), ("Tools: Other", "Tools"), ("Rest", "Tools: Other"),
    ]  # fmt: skip


def test_what_a_row_tells_is_of_its_deepest_label():
    told = {"Level 1": "Food", "Level 2": "Bakery", "Code": "11", "Definition": "Bread."}
    found = read_labels([told | {"Level 2": "", "Code": "1", "Definition": ""}, told], guess_columns(list(told)))
    assert found == [ListedLabel("Food", "1"), ListedLabel("Bakery", "11", "Food", "Bread.")]


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
