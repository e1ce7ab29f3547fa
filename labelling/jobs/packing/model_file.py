"""The model of a project that comes in: its labels have other keys by now."""

from __future__ import annotations

import zipfile
from dataclasses import replace

from labelling.jobs.packing.container import MODEL, UNREADABLE, faulty
from labelling.jobs.packing.shapes import Misshapen, Move
from labelling.jobs.rounds.memory import recall, remember
from labelling.models import Label, Project
from labelling.models.sentences import Sentence as _


def move_labels(project: Project, move: Move) -> None:
    """Write a project's model anew with its labels' keys moved.

    Raises:
        Faulty: when it can't be read.
    """
    try:
        with zipfile.ZipFile(project.model_file) as arrays:
            # The product writes them as they are: what is packed once more may be any size.
            if any(one.compress_type != zipfile.ZIP_STORED for one in arrays.infolist()):
                faulty(MODEL, _("its arrays are packed once more."))
    except UNREADABLE as error:
        faulty(MODEL, _("it can't be read (%(error)s).") % {"error": error})
    memory = recall(project)
    if memory is None:
        faulty(MODEL, _("it is no model that can be read here."))
    try:
        remember(project, replace(memory, label_ids=[move(Label, label_id) for label_id in memory.label_ids]))
    except Misshapen as error:
        faulty(MODEL, f"{error}.")
