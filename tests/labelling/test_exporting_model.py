"""A model that leaves: other programs classify with it as the project does."""

from __future__ import annotations

import ast
import io
import json
import runpy
import sys

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from labelling.models import Prediction, Project
from tests.factories import fresh, fruit_project, run_round

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    project = fruit_project(retrain_after=0, task="Which fruit is it?")
    run_round(project)
    return project


@pytest.fixture
def project(laid_out) -> Project:
    return fresh(laid_out)


@pytest.fixture
def folder(project, tmp_path):
    folder = tmp_path / "out"
    call_command("export_model", project.slug, str(folder))
    return folder


def classify(folder, monkeypatch, texts: list[str]) -> None:
    """Run the program that lies beside the model."""
    monkeypatch.setattr(sys, "argv", ["classify.py", str(folder)])
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(texts)))
    runpy.run_path(str(folder / "classify.py"))


def test_the_program_beside_it_says_what_the_project_predicts(project, folder, monkeypatch, capsys, encoder):
    monkeypatch.setattr("classifiers.quantized.load_encoder", lambda name, cache, weights: encoder)
    predictions = list(Prediction.objects.filter(document__project=project).select_related("document"))
    classify(folder, monkeypatch, [one.document.text for one in predictions])
    expected = [f"{one.posterior_label}\t{one.posterior:.4f}\task a person\t{one.document.text}" for one in predictions]
    assert capsys.readouterr().out.splitlines() == expected


def test_another_format_is_refused(folder, monkeypatch):
    about = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(about | {"format": 3}))
    with pytest.raises(SystemExit, match="has the format 3"):
        classify(folder, monkeypatch, ["apple"])


def test_the_files_say_what_the_model_is(project, folder):
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    assert [label["name"] for label in about["labels"]] == ["apple", "banana", "cherry", "mango"]
    assert (about["round"], about["threshold"], about["certificate"]) == (1, None, None)
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Which fruit is it?" in card
    assert "| mango | 4 | 0 | 0 |" in card
    assert "no certificate holds" in card
    with np.load(folder / "model.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays.files)


def test_the_program_needs_the_algorithm_alone(folder, run_python):
    source = (folder / "classify.py").read_text()
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {(node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name for node in nodes}
    assert {name.split(".")[0] for name in names} == {"json", "sys", "pathlib", "numpy", "classifiers"}
    imported = "; ".join(f"import {name}" for name in sorted(names))
    assert run_python(f"import sys; sys.modules['django'] = None; {imported}; print('ok')") == "ok\n"


def test_what_can_not_be_exported_is_told(project, folder, tmp_path):
    with pytest.raises(CommandError, match="not empty"):
        call_command("export_model", project.slug, str(folder))
    with pytest.raises(CommandError, match="no project"):
        call_command("export_model", "none", str(tmp_path / "other"))
    with pytest.raises(CommandError, match="no model yet"):
        call_command("export_model", fruit_project().slug, str(tmp_path / "other"))
