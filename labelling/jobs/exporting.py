"""A project's model as a folder of files that programs read without this one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.db.models import Count, F, Q
from django.template.loader import render_to_string
from django.utils import timezone, translation

from classifiers.encoders import parts, weights_digest, weights_file
from classifiers.quantized import source_digest
from labelling.jobs.suggesting import Model
from labelling.models import Decision, Document, Label, Prediction, Project, TrainingExample, Verdict
from labelling.services import encoding
from labelling.services.shares import shares
from labelling.services.suggesting import Standing

# What reads the folder refuses another one.
FORMAT = 2
ARRAYS, ABOUT, CARD, PROGRAM = "model.npz", "model.json", "MODEL_CARD.md", "classify.py"
# Weights of an encoder that was adapted to the project.
ENCODER = "encoder.safetensors"


def export_model(project: Project, model: Model, folder: Path) -> list[Path]:
    """Write arrays, what they mean, a model card, a program that reads them, and weights of its own; return the files.

    Raises:
        FileExistsError: when the folder holds something already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty.")
    about = describe(project, model)
    arrays = model.memory.model.to_arrays()
    factors = {"none_factor": np.array(model.factors.none), "label_factors": model.factors.labels}
    centres = {f"centre_{n}": centre for n, centre in enumerate(model.space.centres)}
    np.savez(folder / ARRAYS, allow_pickle=False, **arrays, **factors, **centres)
    card = render_to_string(
        "labelling/model_card.md", {"about": about, "figures": _figures(project), "project": project}
    )
    (folder / CARD).write_text(card, encoding="utf-8")
    shutil.copy(settings.BASE_DIR / "docs" / PROGRAM, folder / PROGRAM)
    if weights_digest(model.space.model):
        shutil.copy(weights_file(encoding.adapted_folder(), model.space.model), folder / ENCODER)
    # Last: a folder without it is none.
    (folder / ABOUT).write_text(json.dumps(about, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return [path for name in (ARRAYS, ABOUT, CARD, PROGRAM, ENCODER) if (path := folder / name).exists()]


def describe(project: Project, model: Model) -> dict[str, Any]:
    """What ``model.json`` says; a label's place in ``labels`` is its code in the arrays."""
    standing = Standing.of(project)
    labels = project.labels.current()
    look = standing.certificate
    return {
        "format": FORMAT,
        "project": project.name,
        "task": project.task,
        "made_at": timezone.now().isoformat(timespec="seconds"),
        "product": {"name": "R.E.D.", "version": settings.VERSION},
        "round": model.memory.round_number,
        "release": standing.release.number if standing.release else None,
        "encoder": {
            "model": model.space.model,
            "engine": model.space.name,
            "sha256": [source_digest(part) for part in parts(model.space.model)],
            "is_centred": any(centre.size for centre in model.space.centres),
        },
        "labels": [_label(labels.get(pk)) for pk in model.memory.label_ids],
        "threshold": standing.threshold,
        "certainty": project.certainty,
        "certificate": {name: getattr(look, name) for name in ("limit", "level", "n", "k", "bound")} if look else None,
    }


def _label(label: Label | None) -> dict[str, Any]:
    """Of a label that was deleted since, nothing."""
    if label is None:
        return {"code": "", "name": "", "definition": "", "version": 0}
    return {"code": label.code, "name": label.name, "definition": label.definition, "version": label.definition_version}


def _figures(project: Project) -> dict[str, Any]:
    """What the card says of data, people, judge and labels."""
    examples = TrainingExample.objects.filter(document__project=project)
    round_ = project.rounds.exclude(holdout_accuracy=None).first()
    with translation.override("en"):
        return {
            "n_documents": Document.objects.filter(project=project).count(),
            "examples": dict(examples.order_by().values_list("source").annotate(Count("pk"))),
            "n_people": Decision.objects.standing()
            .filter(document__project=project)
            .values("reviewer")
            .distinct()
            .count(),
            "n_decisions": Decision.objects.standing().filter(document__project=project).count(),
            "judges": sorted(
                set(Verdict.objects.filter(query__round__project=project).values_list("model", flat=True))
            ),
            "holdout": round_,
            "labels": _by_label(project),
        }


def _by_label(project: Project) -> list[dict[str, Any]]:
    """By label: its examples, how common it is, and how many of the held-out documents with it were predicted so."""
    held = Prediction.objects.filter(document__project=project, document__holdout=True).order_by()
    rows = held.values("document__given_label").annotate(
        n=Count("pk"), right=Count("pk", Q(label=F("document__given_label")))
    )
    recall = {row["document__given_label"]: row for row in rows}
    labels = project.labels.leaves().annotate(count=Count("examples")).values_list("pk", "code", "name", "count")
    estimated = shares(project)
    of_label = estimated.of_label if estimated else {}
    return [
        {
            "code": code,
            "name": name,
            "n_examples": count,
            "share": of_label.get(pk),
            **recall.get(pk, {"n": 0, "right": 0}),
        }
        for pk, code, name, count in labels
    ]
