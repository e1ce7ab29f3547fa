"""Codes and trees: from the list that somebody brings to the deepest code that is certain."""

from __future__ import annotations

import csv
from functools import partial

import pytest
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.urls import reverse

from labelling.csv_io.label_lists import ListedLabel
from labelling.jobs.rounds import settling
from labelling.jobs.rounds.books import StoredBook
from labelling.models import Decision, Label, Prediction, Project, TrainingExample
from labelling.services import Refused, audits, labels, levels, trees
from labelling.services.audits import State
from labelling.services.exports import export_lines
from labelling.services.review import decide, relabel
from labelling.services.searching import find_labels
from tests.factories import FRUIT, account, fresh, fruit_project, import_rows, make_project, queued, quickest, run_round

pytestmark = pytest.mark.django_db

LIST = """code,name,definition
1,fruit,Sweet.
11,stone fruit,With a stone.
111,cherry,Small and red.
112,mango,
12,apple,Round.
2,banana,Bent.
"""


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    return fruit_project(manager=account("ann"))


@pytest.fixture
def project(laid_out) -> Project:
    return fresh(laid_out)


@pytest.fixture
def client(client, ann):
    client.force_login(ann)
    return client


def load(client, project: Project, content: str, **data: str):
    address = reverse("import_definitions", args=[project.slug])
    return client.post(address, {"file": SimpleUploadedFile("labels.csv", content.encode())} | data)


def by_code(project: Project) -> dict[str, Label]:
    return {label.code: label for label in project.labels.select_related("parent")}


@pytest.fixture
def tree(client, project) -> dict[str, Label]:
    load(client, project, LIST, parents="prefix")
    return by_code(project)


def page(client, name: str, *args: object, **query: object) -> str:
    response = client.get(reverse(name, args=args), query)
    assert response.status_code == 200
    return response.content.decode()


# Lists


def parents(project: Project) -> dict[str, str]:
    return {code: label.parent.code if label.parent else "" for code, label in by_code(project).items()}


def test_parents_by_prefix(tree, project):
    assert parents(project) == {"1": "", "11": "1", "111": "11", "112": "11", "12": "1", "2": ""}
    assert tree["111"].name == "cherry", "a label that was there gets its code"
    assert tree["111"].examples.count() == 4
    assert tree["111"].definition == "Small and red."
    assert project.labels.count() == 6


def test_parents_in_a_column_by_code_or_name_and_out_and_in_again(client, project):
    load(client, project, "name,code,parent\nfruit,1,\nstone fruit,11,1\ncherry,111,stone fruit\nmango,,11\n")
    assert (by_code(project)["111"].parent.name, project.labels.get(name="mango").parent.code) == ("stone fruit", "11")
    before = sorted(project.labels.values_list("name", "code", "parent__name"))
    exported = page(client, "export_definitions", project.slug)
    assert "1,fruit,," in exported.replace(project.slug + ",", "")
    other = make_project(project.memberships.get().user)
    load(client, other, exported)
    assert sorted(other.labels.values_list("name", "code", "parent__name")) == before


def test_a_list_with_other_names_is_read_and_codes_that_look_alike_are_told(client, project):
    response = load(client, project, "Code,Description\n0110,Officers\n110,Clerks\n")
    assert by_code(project)["0110"].name == "Officers"
    assert "These codes look alike: 0110, 110." in [str(message) for message in get_messages(response.wsgi_request)]


def test_columns_are_asked_for_where_their_names_say_too_little(client, project):
    response = load(client, project, "Ziffer,Was\n1,Officers\n")
    text = response.content.decode()
    assert "The file has no column name" in text
    assert '<option value="Ziffer">' in text
    load(client, project, "Ziffer,Was\n1,Officers\n", name_column="Was", code_column="Ziffer")
    assert by_code(project)["1"].name == "Officers"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("name,parent\napple,nowhere\n", "No label has the code or name “nowhere”"),
        ("name,parent\napple,banana\nbanana,apple\n", "would lie under itself"),
        ("name,code\napple,1\nbanana,1\n", "More than one row: 1."),
        ("name,parent\nl1,\n" + "".join(f"l{n},l{n - 1}\n" for n in range(2, 8)), "below level 6"),
    ],
)
def test_what_is_no_tree_changes_nothing(client, project, content, reason):
    assert reason.replace("'", "&#x27;") in load(client, project, content).content.decode()
    assert set(project.labels.values_list("name", "parent", "code")) == {(name, None, "") for name in FRUIT}


def test_a_code_belongs_to_one_label(project):
    labels.import_labels(project, [ListedLabel("apple", "1"), ListedLabel("banana", "2")], None)
    for wrong in (ListedLabel("apple", "2"), ListedLabel("apple", "3")):
        with pytest.raises(Refused, match="the project has"):
            labels.import_labels(project, [wrong], None)
    assert labels.import_labels(project, [ListedLabel("pomme", "1")], None) == 0
    assert by_code(project)["1"].name == "pomme"


def test_a_label_is_placed_by_hand(client, tree, project):
    address = reverse("label", args=[project.slug, tree["2"].pk])
    client.post(address, {"code": "13", "parent": tree["1"].pk, "definition": "Bent."})
    assert parents(project)["13"] == "1"
    address = reverse("label", args=[project.slug, tree["1"].pk])
    response = client.post(address, {"code": "1", "parent": tree["11"].pk})
    assert "would lie under itself" in response.content.decode()
    assert "has this code already" in client.post(address, {"code": "11"}).content.decode()
    assert parents(project)["1"] == ""


def test_texts_come_in_with_codes(tree, project):
    import_rows(project, [("a cherry text that is new", "111"), ("fruit of some kind", "1")])
    new = project.documents.get(text="a cherry text that is new")
    assert new.example.label == tree["111"]
    assert project.documents.get(text="fruit of some kind").example.label == tree["1"]
    assert project.labels.count() == 6


# The loop


@pytest.fixture
def learnt(tree, project) -> dict[str, Label]:
    run_round(project)
    return tree


def test_only_leaves_are_proposed_and_beliefs_add_up(learnt, project):
    leaves = {label.pk for code, label in learnt.items() if code not in ("1", "11")}
    assert set(project.labels.leaves().values_list("pk", flat=True)) == leaves
    for prediction in Prediction.objects.filter(document__project=project):
        assert {pk for pk, _ in prediction.candidates} <= leaves
        beliefs = {pk: p for pk, p in prediction.beliefs.items() if pk}
        for label_id, belief in prediction.path:
            under = set(trees.below(project, Label.objects.get(pk=label_id)))
            assert belief == pytest.approx(sum(p for pk, p in beliefs.items() if pk in under), abs=1e-4)
    assert sum(project.rounds.get().expected.values()) <= 20


@pytest.mark.parametrize(("bar", "deepest"), [(0.55, 2), (0.8, 1), (0.95, None)])
def test_as_deep_as_certain(bar, deepest):
    path = [[1, 0.9], [2, 0.6]]
    assert Prediction(path=path).certain(bar) == (tuple(path[deepest - 1]) if deepest else None)


def test_a_parent_is_an_answer_that_teaches_no_leaf(learnt, project, ann, client):
    entry = next(entry for entry in queued(project) if entry.query.predicted_id == learnt["111"].pk)
    project.queue.exclude(pk=entry.pk).delete()
    shown = page(client, "review", project.slug)
    assert "The text says no more than" in shown
    assert f'value="override:{learnt["11"].pk}"' in shown
    assert "<bdi>111 cherry</bdi>" in shown
    # An audit: what contradicts the machine counts once somebody else has looked, too; that is for people to find out.
    decision = decide(project, entry.pk, ann, "override", learnt["11"])
    assert (decision.action, decision.label) == ("override", learnt["11"])
    relabel(entry.document, ann, learnt["11"])
    assert TrainingExample.objects.get(document=entry.document).label == learnt["11"]
    round_ = run_round(project)
    assert round_.training_examples == 16, "the sixteen seeds"
    row = exported(project)[entry.document.text]
    assert (row["label"], row["label_code"], row["certain_code"]) == ("stone fruit", "11", "11")


def exported(project: Project) -> dict[str, dict[str, str]]:
    lines = list(export_lines(project, for_programs=True))
    return {row["text"]: row for row in csv.DictReader(lines)}


def test_the_deepest_certain_code_is_shown_and_exported(learnt, project, client):
    prediction = Prediction.objects.filter(document__project=project).order_by("pk")[0]
    project.settled_labels.filter(document=prediction.document).delete()
    TrainingExample.objects.filter(document=prediction.document).delete()
    prediction.path = [[learnt["1"].pk, 0.97], [learnt["11"].pk, 0.91], [learnt["111"].pk, 0.55]]
    prediction.save()
    row = exported(project)[prediction.document.text]
    assert (row["certain_label"], row["certain_code"], row["certain_probability"]) == ("stone fruit", "11", "0.9100")
    text = page(client, "document", project.slug, prediction.document.pk)
    assert '<strong dir="auto">11 stone fruit</strong> 0.91' in text
    assert "Certain as deep as <bdi>11 stone fruit</bdi>" in text
    flat = fruit_project()
    assert "certain_label" not in next(export_lines(flat))


@pytest.fixture
def mixed(tree, project) -> list[str]:
    """Texts that may be a cherry or a mango: stone fruit in any case, and settled as that."""
    texts = [f"cherry mango mixed, item {n}" for n in range(12)]
    import_rows(project, [(text, "") for text in texts])
    round_ = run_round(project)
    project.settled_labels.filter(document__text__in=texts).delete()
    path = [[tree["1"].pk, 0.995], [tree["11"].pk, 0.99]]
    Prediction.objects.filter(document__text__in=texts).update(posterior=0.5, path=path)
    settling._settle(round_, StoredBook.read(project))
    return texts


def test_where_the_leaf_is_open_the_parent_is_settled_and_the_text_goes_on_being_asked_about(mixed, tree, project):
    settled = project.settled_labels.filter(document__text__in=mixed, left_at=None)
    parents = settled.filter(is_parent=True)
    assert set(parents.values_list("label__code", "level")) == {("11", 2)}
    assert parents.count() == 12 - project.queue.filter(document__text__in=mixed, query__reason="audit").count()
    assert {1, 3} <= set(project.settled_labels.final().values_list("level", flat=True))
    assert not TrainingExample.objects.filter(label=tree["11"]).exists()
    assert settling._uncertain(project.rounds.get()) >= parents.count()
    rows = exported(project)
    for one in parents.select_related("document"):
        row = rows[one.document.text]
        assert (row["label_code"], row["certain_level"]) == (one.label.code, str(one.level))
        assert row["certified"] == "no"
    assert [level.n_settled for level in levels.levels(project)] == [
        project.settled_labels.filter(left_at=None, level__gte=level).count() for level in (1, 2, 3)
    ]


def test_a_deeper_label_takes_the_place_of_a_parent_and_a_parent_stays_while_it_is_believed(mixed, project):
    one, other = project.settled_labels.filter(is_parent=True, document__text__in=mixed, left_at=None)[:2]
    leaf = project.labels.get(code="111")
    Prediction.objects.filter(document=one.document).update(posterior=0.99, posterior_label=leaf)
    stored, round_ = StoredBook.read(project), project.rounds.get()
    settling._settle(round_, stored)
    one.refresh_from_db()
    assert (one.left_because, project.settled_labels.get(document=one.document, left_at=None).label) == (
        "withdrawn",
        leaf,
    )
    other.refresh_from_db()
    assert other.left_at is None
    Prediction.objects.filter(document=other.document).update(path=[])
    settling._settle(round_, StoredBook.read(project))
    other.refresh_from_db()
    assert other.left_because == "withdrawn"


@pytest.mark.parametrize(
    ("settled", "said", "level", "expected"),
    [
        ("11", "111", None, State.RIGHT),
        ("11", "11", None, State.RIGHT),
        ("11", "12", None, State.WRONG),
        ("111", "112", None, State.WRONG),
        ("111", "11", None, State.WRONG),
        ("111", "11", 2, State.RIGHT),
        ("111", "112", 2, State.RIGHT),
        ("111", "12", 1, State.RIGHT),
        ("111", "12", 2, State.WRONG),
        ("2", "2", 3, State.RIGHT),
        ("2", "", 1, State.WRONG),
    ],
)
def test_an_audit_is_right_as_far_down_as_was_settled(learnt, project, ann, settled, said, level, expected):
    entry = queued(project)[0]
    draw = entry.query.draw
    project.settled_labels.filter(pk=draw.member.settled_id).update(label=learnt[settled])
    decide(project, entry.pk, ann, "override" if said else "none", learnt.get(said))
    # A colleague has not looked yet where the first person finds an error.
    Decision.objects.update(people=1)
    assert audits.states(project, level)[entry.query_id] == expected


def test_each_level_has_its_own_certificate(learnt, project, ann, bob, client):
    for entry in queued(project):
        if entry.query.reason == "audit":
            people = [ann] if entry.document.text.startswith("cherry") else [ann, bob]
            decide(project, entry.pk, people[0], "accept")
    with transaction.atomic():
        StoredBook.read(project).look(project.rounds.first())
    look = project.certificates.first()
    assert [one["level"] for one in look.levels] == [1, 2, 3]
    assert [one["now"] for one in look.levels] == sorted((one["now"] for one in look.levels), reverse=True)
    assert look.levels[0]["n"] == look.n
    assert "Each level is certified for itself." in page(client, "project", project.slug)
    assert "Each level is certified for itself." in page(client, "certificate", project.slug)


def test_the_tree_adds_up(learnt, project, client, ann):
    relabel(project.documents.pool()[0], ann, learnt["1"])
    rows = {node.label.code: node for node in trees.rows(trees.top_nodes(project))}
    assert {code: (node.level, node.n_examples) for code, node in rows.items()} == {
        "1": (1, 13),
        "11": (2, 8),
        "111": (3, 4),
        "112": (3, 4),
        "12": (2, 4),
        "2": (1, 4),
    }
    assert rows["11"].expected == pytest.approx(rows["111"].expected + rows["112"].expected)
    assert rows["1"].expected > 10
    shown = page(client, "label_tree", project.slug)
    assert "111 cherry" in shown
    assert page(client, "label", project.slug, learnt["11"].pk).count("stone fruit") >= 2


def test_accuracy_is_told_by_level(tree, project, client):
    rows = [(f"{fruit} {fruit} held out, number {n}", fruit) for fruit in FRUIT for n in range(2)]
    import_rows(project, rows, holdout_percent=100)
    project.documents.filter(text__contains="held out").update(holdout=True)
    TrainingExample.objects.filter(document__holdout=True).delete()
    round_ = run_round(project)
    assert round_.holdout_by_level == [[8, 8], [6, 6], [4, 4]]
    assert "Right on the holdout, by level: 1: 100 %, 2: 100 %, 3: 100 %" in page(client, "label_tree", project.slug)


def test_labels_are_found_by_code(tree, project):
    def codes(query: str) -> list[str]:
        return [found.label.code for found in find_labels(project, query).labels]

    assert codes("11") == ["11", "111", "112"]
    assert codes("112") == ["112"]
    assert codes("cherry")[0] == "111"


@pytest.mark.slow
def test_a_thousand_labels_in_a_tree_are_quick(client, project):
    listed = [ListedLabel(f"group {n}", f"{n}") for n in range(10, 35)]
    listed += [ListedLabel(f"occupation {n}", f"{n}") for n in range(1000, 3500) if n % 5 < 2]
    labels.import_labels(project, listed, None, by_prefix=True)
    assert project.labels.exclude(parent=None).count() == 1000
    for name, query in (("label_tree", {}), ("labels", {}), ("search_labels", {"q": "occupation 12"})):
        page(client, name, project.slug, **query)
        assert (took := quickest(partial(page, client, name, project.slug, **query))) < 0.2, (name, took)


def test_a_circle_in_the_tables_stops_no_page(project):
    apple, banana = project.labels.filter(name__in=("apple", "banana"))
    Label.objects.filter(pk=apple.pk).update(parent=banana)
    Label.objects.filter(pk=banana.pk).update(parent=apple)
    apple.refresh_from_db()
    assert len(trees.lineage(apple)) == Label.MAX_LEVELS


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        ("label\nBakers\nButchers\n", [("Bakers", ""), ("Butchers", "")]),
        ("Code;Name\n;\n1;Bakers;\n;\n2;Butchers;\n", [("Bakers", "1"), ("Butchers", "2")]),
        ('["Bakers", "Butchers"]', [("Bakers", ""), ("Butchers", "")]),
        ("name;definition\n1: Bakers;bread\n2: Butchers;meat\n", [("1: Bakers", "1"), ("2: Butchers", "2")]),
    ],
)  # fmt: skip
def test_small_lists_are_read_as_people_have_them(client, project, content, labels):
    before = {*project.labels.values_list("pk", flat=True)}
    load(client, project, content)
    assert sorted(project.labels.exclude(pk__in=before).values_list("name", "code")) == labels
