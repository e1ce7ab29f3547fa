"""What a file tells the benchmark of the labels."""

from __future__ import annotations

import pytest

from labelling.benchmark.label_list import (
    BadLabels,
    Listed,
    parents_by_column,
    parents_by_prefix,
    read_labels,
    tree_of,
)


def listed(**codes: str) -> dict[str, Listed]:
    return {label: Listed(label, code) for label, code in codes.items()}


def test_a_list_is_read_by_the_names_of_its_columns(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("name,code,description\nchief,11-1,Leads.\nclerk,,\n", "utf-8")
    assert read_labels(path) == {"chief": Listed("chief", "11-1", "", "Leads."), "clerk": Listed("clerk")}


@pytest.mark.parametrize("content", [b"code\n1\n", b"label\n\xff\n"])
def test_what_is_no_list_is_told(tmp_path, content):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(BadLabels):
        read_labels(path)
    with pytest.raises(BadLabels, match="can't be read"):
        read_labels(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("codes", "lengths", "parents"),
    [
        ({"a": "11-1011", "b": "11-1021"}, [2, 3], {"111…": "11…", "a": "111…", "b": "111…"}),
        ({"a": "11-1011"}, [3, 2], {"111…": "11…", "a": "111…"}),
        ({"a": "11"}, [2, 3], {}),
        ({"a": ""}, [2], {}),
    ],
)
def test_parents_are_the_first_signs_of_a_code(codes, lengths, parents):
    assert parents_by_prefix(listed(**codes), lengths) == parents


def test_parents_in_a_column_are_codes_or_labels():
    rows = {one.label: one for one in (Listed("a", "1", "2"), Listed("b", "2"), Listed("c", "", "elsewhere"))}
    assert parents_by_column(rows) == {"a": "b", "c": "elsewhere"}


def test_the_tree_has_the_labels_by_position_and_what_lies_above_after_them():
    tree = tree_of(["a", "b", "c"], {"a": "x", "x": "top", "b": "x"})
    assert tree.n_levels == 3
    assert tree.ids.tolist() == [0, 1, 2, 3, 4]
    assert tree.lineage[0].tolist() == [3, 4, 0]
    assert tree.lineage[2].tolist() == [2, -1, -1]
    with pytest.raises(BadLabels, match="no tree"):
        tree_of(["a", "b"], {"a": "b", "b": "a"})
