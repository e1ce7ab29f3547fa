"""Where keys stand in values, and that those which a project gets are nobody else's."""

from __future__ import annotations

import pytest

from labelling.jobs.packing.keys import reserve
from labelling.jobs.packing.shapes import Misshapen, by_kind, cells, each, every, key_of, keyed, named, number, text
from labelling.models import Document, Label
from tests.factories import make_project

LABEL, DOCUMENT = key_of(Label), key_of(Document)
PAIR = cells(DOCUMENT, LABEL)


def move(model, key):
    if type(key) is not int:
        raise Misshapen
    return key + (1_000 if model is Label else 2_000)


@pytest.mark.parametrize(
    ("shape", "value", "moved"),
    [
        (LABEL, 1, 1_001),
        (LABEL, None, None),
        (number, 0.5, 0.5),
        (text, "1", "1"),
        (each(LABEL), [], []),
        (each(LABEL), [1, None, 2], [1_001, None, 1_002]),
        (PAIR, [1, 1, 0.5, "more"], [2_001, 1_001, 0.5, "more"]),
        (each(PAIR), [[1, None]], [[2_001, None]]),
        (keyed(Label), {"1": [1]}, {"1001": [1]}),
        (keyed(Label, each(DOCUMENT)), {"1": [1]}, {"1001": [2_001]}),
        (named(a=LABEL), {"a": 1, "b": 1}, {"a": 1_001, "b": 1}),
        (named(a=LABEL), {}, {}),
        (every(DOCUMENT), {"a": 1, "b": 2}, {"a": 2_001, "b": 2_002}),
        (by_kind(flag=each(LABEL)), [1], [1_001]),
        (by_kind(other=each(LABEL)), [], []),
    ],
)
def test_keys_are_moved_and_nothing_else(shape, value, moved):
    assert shape(value, move, {"kind": "flag"}) == moved


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        (LABEL, "1"),
        (LABEL, 1.0),
        (number, True),
        (number, "1"),
        (text, 1),
        (text, None),
        (each(LABEL), {}),
        (each(LABEL), None),
        (PAIR, [1]),
        (PAIR, "12"),
        (keyed(Label), {"one": 1}),
        (keyed(Label), {"-1": 1}),
        (keyed(Label), {"²": 1}),
        (keyed(Label), []),
        (named(a=LABEL), []),
        (named(a=LABEL), {"a": "1"}),
        (every(DOCUMENT), [1]),
        (by_kind(other=each(LABEL)), [1]),
    ],
)
def test_what_is_of_another_shape_is_refused(shape, value):
    with pytest.raises(Misshapen):
        shape(value, move, {"kind": "flag"})


@pytest.mark.django_db
def test_keys_that_are_reserved_are_given_to_nobody():
    project = make_project()
    before = project.labels.create(name="before").pk
    first, second = reserve(Label, 100), reserve(Label, 5)
    after = project.labels.create(name="after").pk
    assert before <= first
    assert first + 100 <= second
    assert after > second + 5
    inside = Label.objects.create(pk=first + 7, project=project, name="inside")
    assert project.labels.create(name="last").pk > after > inside.pk
