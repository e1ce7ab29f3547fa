"""Texts in a language that the encoder has not learnt."""

from __future__ import annotations

import pytest

from labelling.csv_io.languages import FEWEST, LEAST_SHARE, LOOKED_AT, Sample, foreign
from tests.factories import import_rows, make_project, make_user

ENGLISH = [f"I would like to know where my order number {n} has gone" for n in range(95)]
GERMAN = [
    "Meine Karte wurde zweimal belastet.",
    "Wo finde ich die Rechnung für letzten Monat?",
    "Ich möchte mein Konto kündigen",
    "Der Akku hält nur noch zwei Stunden",
    "Die Lieferung ist seit einer Woche überfällig",
]
FRENCH = ["Je n'ai pas reçu ma commande", "Où est passé mon colis ?", "La facture comporte une erreur de date"]


@pytest.mark.parametrize(
    ("texts", "known", "expected"),
    [
        ([], ["en"], ({}, 0)),
        (ENGLISH, ["en"], ({}, 95)),
        (ENGLISH + GERMAN, ["en"], ({"de": 5}, 100)),
        (ENGLISH + GERMAN, ["en", "de"], ({}, 100)),
        (ENGLISH + GERMAN, [], ({}, 0)),
        (GERMAN + FRENCH, ["en"], ({"de": 5, "fr": 3}, 8)),
        (ENGLISH + FRENCH[:2], ["en"], ({}, 97)),
        (ENGLISH * 3 + FRENCH, ["en"], ({}, 288)),
        # Two words are no language, nor are numbers and nothing.
        (["Tool pusher", "Pharm tech", "CEO", "4711", "", "🚚"] * 10, ["en"], ({}, 60)),
    ],
)
def test_languages_that_are_not_known_are_counted(texts, known, expected):
    assert foreign(texts, known) == expected


def test_of_many_texts_a_part_is_looked_at():
    sample = Sample()
    for text in (ENGLISH + GERMAN * 19) * 20:
        sample.add(text)
    found, n_looked_at = foreign(sample.texts, ["en"])
    assert n_looked_at == LOOKED_AT
    assert found.keys() == {"de"}
    assert 0.45 < found["de"] / LOOKED_AT < 0.55
    assert LEAST_SHARE * len(ENGLISH) < FEWEST


@pytest.mark.django_db
def test_an_import_tells_of_texts_that_the_encoder_hardly_understands(settings):
    settings.ENCODER, settings.ENCODER_LANGUAGES = "all-MiniLM-L6-v2", ["en"]
    project = make_project(make_user("mia", is_staff=True))
    import_rows(project, [(text, "") for text in ENGLISH])
    assert project.imports.latest("pk").problems == []
    import_rows(project, [(text, "") for text in GERMAN + FRENCH])
    (told,) = project.imports.latest("pk").problems
    assert "8 of 8 texts" in told["reason"]
    assert "all-MiniLM-L6-v2" in told["reason"]
    assert "(German: 5, French: 3)" in told["reason"]
    assert project.documents.count() == 95 + 8
