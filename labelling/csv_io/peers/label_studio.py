"""Label Studio: its JSON, JSON_MIN and CSV in; tasks and the labelling configuration out.

As version 1.23 writes and reads them. An annotation that nobody submitted with a choice says nothing.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from xml.sax.saxutils import quoteattr

from labelling.csv_io.peers.opinions import Opinion, carried, is_of_people, row_of
from labelling.csv_io.stored import as_text, together

CONTROL, TEXT_TAG = "label", "text_view"
OUR_ID = "external_id"
# In the columns of JSON_MIN and CSV, beside the data and the controls.
OF_ANNOTATIONS = {"annotation_id", "annotator", "lead_time", "created_at", "updated_at", "id", "agreement"}
MIN_COLUMNS = {"annotation_id", "annotator", "lead_time"}
# Of data: "id" would replace the task's own in its CSV.
TAKEN = {"text", "id", OUR_ID}
LINE_ENDS = {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}

Task = Mapping[str, Any]
Numbered = Iterator[tuple[int, dict[str, Any]]]


def is_task(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("data"), dict)


def is_min(names: Iterable[str]) -> bool:
    """Whether an object or a CSV file has the columns of JSON_MIN."""
    return set(names) >= MIN_COLUMNS


class Look(NamedTuple):
    """What a file of tasks has: the name of their texts, and the controls by which something was chosen."""

    text: str
    controls: list[str]


def look(tasks: Iterable[Task]) -> Look:
    """Look through all tasks once; the most frequent control comes first."""
    used: Counter[str] = Counter()

    def data() -> Iterator[Mapping[str, Any]]:
        for task in tasks:
            used.update(name for said in task.get("annotations") or [] for name in _choices(said))
            yield task["data"]

    text = _text_name(data())
    return Look(text, [name for name, _ in used.most_common()])


def rows_of_tasks(tasks: Iterable[Task], seen: Look) -> Numbered:
    """Yield a row for each task; where it has several controls, a column for each of them and no label."""
    text, chosen = seen
    for number, task in enumerate(tasks, start=1):
        data = dict(task["data"])
        words, identifier = as_text(data.pop(text, "")), data.pop(OUR_ID, None) or data.get("id") or task.get("id")
        said = _standing(task)
        others = data | _about(task)
        if len(chosen) > 1:
            last = said[-1] if said else {}
            yield number, {"id": identifier, "text": words} | others | {n: _cell(_choices(last).get(n)) for n in chosen}
            continue
        opinions = [opinion for each in _predictions(task) for opinion in _of_model(each)]
        opinions += [opinion for each in said for opinion in _of_person(each)]
        yield number, row_of(words, as_text(identifier), opinions, others)


def rows_of_min(annotations: Iterable[Mapping[str, Any]]) -> Numbered:
    """Yield a row for each task of a JSON_MIN or CSV export, which has a line for each annotation.

    Args:
        annotations: those lines; they are read several times.
    """
    names = dict.fromkeys(name for each in annotations for name in each)
    control = _control_of(list(names), annotations)
    data_names = [name for name in names if name not in OF_ANNOTATIONS and name != control]
    text = _text_name({name: each.get(name) for name in data_names} for each in annotations)
    keyed = (([as_text(each.get("id")), as_text(each.get(text))], each) for each in annotations)
    for number, each_said in enumerate(together(keyed), start=1):
        identifier, words = as_text(each_said[0].get("id")), as_text(each_said[0].get(text))
        said = sorted(each_said, key=lambda each: as_text(each.get("updated_at")))
        opinions = [
            Opinion(label, _person(each.get("annotator")), as_text(each.get("updated_at")))
            for each in said
            if as_text(each.get("annotation_id"))
            for label in _labels(each.get(control))
        ]
        others = {name.removeprefix("_data_"): said[-1].get(name) for name in data_names if name not in (text, OUR_ID)}
        yield number, row_of(words, as_text(said[-1].get(OUR_ID)) or identifier, opinions, others)


def tasks(rows: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """Yield the parts of a JSON file of tasks: labels of people as annotations, the machine's as predictions."""
    separator = "[\n"
    for cells in rows:
        data = {"text": cells["text"], OUR_ID: cells["id"]} | carried(cells, TAKEN)
        said: dict[str, Any] = {"result": _result(cells["label"]) if cells["label"] else []}
        task: dict[str, Any] = {"data": data}
        if is_of_people(cells):
            # Without it an imported annotation becomes ground truth.
            task["annotations"] = [said | {"ground_truth": False}]
        elif cells["label"]:
            task["predictions"] = [said | _score(cells)]
        yield separator + json.dumps(task, ensure_ascii=False)
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


def configuration(labels: Iterable[tuple[str, str]]) -> str:
    """Return the labelling configuration that the tasks are for.

    Args:
        labels: names and definitions.
    """
    choices = "".join(
        f"    <Choice value={_attribute(name)}{f' hint={_attribute(hint)}' if hint else ''}/>\n"
        for name, hint in labels
    )
    return (
        f'<View>\n  <Text name="{TEXT_TAG}" value="$text"/>\n'
        f'  <Choices name="{CONTROL}" toName="{TEXT_TAG}" choice="single" showInline="true">\n{choices}'
        "  </Choices>\n</View>\n"
    )


def _attribute(value: str) -> str:
    return quoteattr(value, LINE_ENDS)


def _result(label: str) -> list[dict[str, Any]]:
    return [{"from_name": CONTROL, "to_name": TEXT_TAG, "type": "choices", "value": {"choices": [label]}}]


def _score(cells: Mapping[str, str]) -> dict[str, Any]:
    scored = {"score": float(cells["probability"])} if cells["probability"] else {}
    return scored | {"model_version": f"red-round-{cells['round']}" if cells["round"] else "red"}


def _standing(task: Task) -> list[Mapping[str, Any]]:
    """What people submitted, the newest last."""
    said = [each for each in task.get("annotations") or [] if not each.get("was_cancelled")]
    return sorted(said, key=lambda each: as_text(each.get("updated_at")))


def _predictions(task: Task) -> list[Mapping[str, Any]]:
    """Those that are there in full: an export without a snapshot has their numbers alone."""
    return [each for each in task.get("predictions") or [] if isinstance(each, dict)]


def _about(task: Task) -> dict[str, str]:
    skipped = [_person(each.get("completed_by")) for each in task.get("annotations") or [] if each.get("was_cancelled")]
    return {"skipped by": ", ".join(skipped)} if skipped else {}


def _choices(said: Mapping[str, Any]) -> dict[str, list[str]]:
    """By control: what was chosen. Of a taxonomy the last part of each path."""
    found: dict[str, list[str]] = {}
    for result in said.get("result") or []:
        value = result.get("value") or {}
        chosen = value.get("choices") or [path[-1] for path in value.get("taxonomy") or [] if path]
        if chosen:
            found.setdefault(result.get("from_name") or CONTROL, []).extend(map(as_text, chosen))
    return found


def _of_person(said: Mapping[str, Any]) -> Iterator[Opinion]:
    by, at = _person(_last_hand(said)), as_text(said.get("updated_at"))
    for labels in _choices(said).values():
        yield from (Opinion(label, by, at) for label in labels)


def _of_model(said: Mapping[str, Any]) -> Iterator[Opinion]:
    by = as_text(said.get("model_version"))
    for labels in _choices(said).values():
        yield from (Opinion(label, by, score=said.get("score"), is_person=False) for label in labels)


def _last_hand(said: Mapping[str, Any]) -> Any:
    changed = as_text(said.get("updated_at")) > as_text(said.get("created_at"))
    return said.get("updated_by") if changed and said.get("updated_by") else said.get("completed_by")


def _person(who: Any) -> str:
    """An address, or the number that says something on that server alone."""
    if isinstance(who, dict):
        return as_text(who.get("email")) or _person(who.get("id"))
    said = as_text(who)
    return f"ls-user-{said}" if said.isdecimal() else said


def _text_name(data: Iterable[Mapping[str, Any]]) -> str:
    """The name under which the texts stand: "text", or else what holds most."""
    sizes: Counter[str] = Counter()
    for each in data:
        sizes.update({name: len(value) for name, value in each.items() if isinstance(value, str)})
    return "text" if "text" in sizes else max(sizes, key=lambda name: sizes[name], default="text")


def _control_of(names: list[str], found: Iterable[Mapping[str, Any]]) -> str:
    """The column of the choices: "label", or else the last that is filled on annotated lines and has no number."""
    if CONTROL in names:
        return CONTROL
    # The controls stand among these columns in the order of the alphabet; what was chosen comes again and again.
    free = [name for name in names if name not in OF_ANNOTATIONS and not name.startswith("_data_")]
    n: Counter[str] = Counter()
    different: dict[str, set[int]] = defaultdict(set)
    for each in found:
        if as_text(each.get("annotation_id")):
            for name in free:
                if name != "text" and each.get(name):
                    n[name] += 1
                    different[name].add(hash(as_text(each[name])))
    return max(filter(n.get, free), key=lambda name: n[name] / len(different[name]), default="")


def _labels(value: Any) -> list[str]:
    """What stands in a control's column: a label, or several as JSON."""
    if isinstance(value, str) and value.startswith('{"choices"'):
        value = json.loads(value)
    if isinstance(value, dict):
        value = value.get("choices") or []
    return [as_text(each) for each in value] if isinstance(value, list) else [as_text(value)] if value else []


def _cell(chosen: list[str] | None) -> str:
    return "" if not chosen else chosen[0] if len(chosen) == 1 else json.dumps(chosen, ensure_ascii=False)
