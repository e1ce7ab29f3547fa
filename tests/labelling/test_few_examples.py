"""Projects that begin with names and definitions, or one example a label."""

from __future__ import annotations

import pytest

from labelling.models import Label, Prediction
from tests.factories import FRUIT, import_rows, make_project, run_round

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]


def described(project) -> None:
    for fruit in FRUIT:
        Label.objects.create(project=project, name=fruit, definition=f"Texts about {fruit} and nothing else")


def test_names_and_definitions_alone_are_enough_to_begin_with():
    project = make_project()
    described(project)
    import_rows(project, [(f"{fruit} on the table, number {n}", "") for fruit in FRUIT for n in range(5)])

    round_ = run_round(project)

    assert (round_.state, round_.training_examples, round_.labels_learned) == ("done", 0, 4)
    found = Prediction.objects.filter(document__project=project).select_related("document", "label")
    assert [prediction.label.name for prediction in found] == [one.document.text.split()[0] for one in found]
    # Nobody has seen a text of no label: nothing says that there are any.
    assert all(prediction.belief[-1] <= 0.9 for prediction in found)
    assert project.queue.count()


def test_labels_without_examples_are_proposed_beside_others():
    project = make_project()
    described(project)
    rows = [(f"{fruit} seed, number {n}", fruit) for fruit in FRUIT[:3] for n in range(6)]
    import_rows(project, [*rows, *((f"mango on the table, number {n}", "") for n in range(5))])

    run_round(project)

    mango = project.labels.get(name="mango")
    found = Prediction.objects.filter(document__project=project)
    assert all(mango.pk in {label_id for label_id, _ in prediction.candidates} for prediction in found)


def test_one_example_a_label_does_not_make_everything_none_of_these():
    project = make_project()
    import_rows(project, [(f"{fruit} seed", fruit) for fruit in FRUIT])
    import_rows(project, [(f"{fruit} on the table, number {n}", "") for fruit in FRUIT for n in range(5)])

    run_round(project)

    found = Prediction.objects.filter(document__project=project).select_related("document", "posterior_label")
    right = [str(one.posterior_label) == one.document.text.split()[0] for one in found]
    assert sum(right) >= 0.9 * len(right)
