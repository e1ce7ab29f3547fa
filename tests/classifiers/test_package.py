"""The package on its own: what importing it needs, and the example in its docstring."""

from __future__ import annotations

import pkgutil
import textwrap

import classifiers

MODULES = [module.name for module in pkgutil.walk_packages(classifiers.__path__, "classifiers.")]

WITHOUT_DJANGO = """
import sys

class NoDjango:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "django":
            raise ImportError(name)

sys.meta_path.insert(0, NoDjango())
"""


def example() -> str:
    """The code in the package's docstring: everything that is indented."""
    lines = (classifiers.__doc__ or "").splitlines()
    return textwrap.dedent("\n".join(line for line in lines if not line or line.startswith("    ")))


def test_importing_every_module_takes_neither_django_nor_anything_heavy(run_python):
    heavy = {"torch", "umap", "sentence_transformers", "transformers", "anthropic", "django"}
    loaded = run_python(f"{WITHOUT_DJANGO}\nimport {', '.join(MODULES)}\nprint(sorted({heavy} & set(sys.modules)))")
    assert loaded.strip() == "[]"


def test_the_docstrings_example_runs_without_django(run_python):
    inject = "import classifiers.embeddings, tests.fakes\n"
    inject += "classifiers.embeddings.SentenceEncoder = tests.fakes.HashingEncoder\n"
    printed = run_python(f"{WITHOUT_DJANGO}\n{inject}\n{example()}").splitlines()
    assert [line.rpartition("  ")[2] for line in printed] == [
        "somebody took my card",
        "still waiting for my money back",
    ]
    assert printed[0].startswith("lost card ")
    assert float(printed[0].split()[2]) > 0.5
