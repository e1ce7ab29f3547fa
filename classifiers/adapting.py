"""Fine-tune an encoder on a project's own examples. The one room that trains with torch.

That is done in a process of its own: torch stays out of the process that asks for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from filelock import FileLock

from classifiers.embeddings import SentenceEncoder
from classifiers.encoders import adapted_name, weights_file

EPOCHS = 2
BATCH_TEXTS = 32
# Of so many batches' texts those of like length are learnt together: that needs less padding, half the time.
BATCHES_MIXED = 8
LEARNING_RATE = 5e-5
HEAD_LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.01
# This share of the steps the rate rises to its highest, then it falls to nothing.
WARM_UP = 0.1
MAX_GRADIENT = 1.0
# Logits are cosines times this.
SCALE = 20.0
# A text's beginning tells its label: so many tokens are learnt of each.
MOST_TOKENS = 128
# Texts learnt of each label, and of all: the time is bounded.
MOST_A_LABEL = 50
MOST_TEXTS = 20_000
TASK, CHECKPOINT = "task.json", "checkpoint.pt"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Task:
    """What an adapted encoder is made of; the same task gives the same weights, to the last bit, on the same machine.

    Attributes:
        base: name of an encoder that is none of these itself, see SentenceEncoder.
        texts: at least two.
        labels: the code of each, from 0 on, without gaps.
        random_state: seed of the order of the texts and of dropout.
        epochs: how often each text is learnt.
    """

    base: str
    texts: list[str]
    labels: list[int]
    random_state: int
    epochs: int

    @property
    def digest(self) -> str:
        """SHA-256 of it all, in hexadecimal."""
        return hashlib.sha256(self.as_json().encode()).hexdigest()

    def as_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


def fine_tune(
    texts: Sequence[str] | np.ndarray,
    labels: Sequence[int] | np.ndarray,
    base: str,
    folder: Path,
    *,
    random_state: int = 0,
    epochs: int = EPOCHS,
    progress: Progress | None = None,
) -> str:
    """Return the name of an encoder that tells these labels apart better than the one that it is made of.

    All layers but the first, the words' own vectors, learn to bring texts near what stands for their label. After each
    epoch all that is needed to go on is kept: what was killed goes on there when the same is asked for again.

    Args:
        texts: those with labels.
        labels: their codes, shape (n_texts,).
        base: name of the encoder, see ``Task``.
        folder: of all adapted weights; what differs from the base's goes there, see ``encoders.weights_file``.
        random_state: seed; the same gives the same weights.
        epochs: how often each text is learnt.
        progress: called with (steps done, steps in all); what it raises ends the process.

    Raises:
        RuntimeError: when it fails; the message is the last that the process said.
    """
    codes = np.unique(np.asarray(labels), return_inverse=True)[1].tolist()
    task = Task(base, list(texts), codes, random_state, epochs)
    # Whatever walks through the folder leaves out what begins with a point.
    unfinished = folder / f".{task.digest[:16]}"
    unfinished.mkdir(parents=True, exist_ok=True)
    (unfinished / TASK).write_text(task.as_json(), encoding="utf-8")
    sha256 = _train_elsewhere(unfinished, progress or (lambda done, total: None))
    name = adapted_name(base, sha256)
    (unfinished / f"{sha256}.safetensors").replace(weights_file(folder, name))
    shutil.rmtree(unfinished)
    return name


def drawn(labels: Sequence[int] | np.ndarray, random_state: int) -> np.ndarray:
    """Return which texts are learnt: positions, sorted, of at most MOST_A_LABEL of a label and MOST_TEXTS in all.

    Args:
        labels: of all texts, shape (n_texts,).
        random_state: seed of the draw.
    """
    y = np.asarray(labels)
    rng = np.random.default_rng(random_state)
    order = rng.permutation(len(y))
    codes = np.unique(y)
    most = min(MOST_A_LABEL, MOST_TEXTS // max(len(codes), 1))
    return np.sort(np.concatenate([order[:0], *(order[y[order] == code][:most] for code in codes)]))


def _train_elsewhere(unfinished: Path, progress: Progress) -> str:
    """Train in a new process; return the SHA-256 of the weights that it has written."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", __name__, str(unfinished)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            said = _follow(cast(IO[str], process.stdout), progress)
        finally:
            process.kill()
            process.wait()
        if not said:
            errors.seek(0)
            raise RuntimeError((errors.read().strip() or f"exit status {process.returncode}").splitlines()[-1])
    return said


def _follow(lines: IO[str], progress: Progress) -> str:
    """Tell the progress that a process prints, and return its last word; empty when it ended without one."""
    for line in lines:
        match line.split():
            case ["step", done, total]:
                progress(int(done), int(total))
            case ["sha256", digest]:
                return digest
    return ""


def _say(*words: object) -> None:
    """Tell the process that has started this one. When that one is gone, this one ends here."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def train(unfinished: Path) -> None:
    """Do the task that lies in a folder, from the last epoch on that was done, and write the weights there."""
    # Whoever was killed may have left a process that has not noticed yet.
    with FileLock(unfinished / "lock"):
        task = Task(**json.loads((unfinished / TASK).read_text(encoding="utf-8")))
        training = Training(task)
        for _ in training.epochs(unfinished / CHECKPOINT):
            training.save(unfinished / CHECKPOINT)
        _say("sha256", training.write(unfinished))


class Training:
    """A model while it learns: its weights, what stands for each label, and what the optimiser has gathered.

    Nothing but these and the number of the epoch tells what comes next: each epoch has a seed of its own.
    """

    def __init__(self, task: Task):
        import torch
        from torch.nn.functional import normalize

        torch.use_deterministic_algorithms(True)
        # The same to the last bit whatever the number of cores. Two that wait for each other where others work, too,
        # took ten times as long.
        torch.set_num_threads(1)
        self.task = task
        encoder = SentenceEncoder(task.base)
        self.prefix, self.model = encoder.prefix, encoder.model.to("cpu")
        self.model.max_seq_length = min(self.model.max_seq_length or MOST_TOKENS, MOST_TOKENS)
        transformer: Any = self.model[0]
        transformer.auto_model.get_input_embeddings().requires_grad_(False)
        self.labels = torch.tensor(task.labels)
        centroids = torch.zeros(int(self.labels.max()) + 1, encoder.encode(task.texts[:1]).shape[1])
        centroids.index_add_(0, self.labels, torch.from_numpy(encoder.encode(task.texts)))
        self.head = torch.nn.Parameter(normalize(centroids, dim=1))
        self.weights = {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}
        groups = [
            {"params": list(self.weights.values()), "lr": LEARNING_RATE},
            {"params": [self.head], "lr": HEAD_LEARNING_RATE},
        ]
        self.optimiser = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)
        self.n_done = 0

    @property
    def n_batches(self) -> int:
        """Of each epoch."""
        return -(-len(self.task.texts) // BATCH_TEXTS)

    def epochs(self, checkpoint: Path) -> Generator[int, None, None]:
        """Learn epoch by epoch, from where a checkpoint was left; yield after each how many are done."""
        import torch

        if checkpoint.exists():
            self._restore(checkpoint)
        self.model.train()
        for epoch in range(self.n_done, self.task.epochs):
            torch.manual_seed(self.task.random_state * 1_000 + epoch)
            rng = np.random.default_rng([self.task.random_state, epoch])
            for n, rows in enumerate(batches([len(text) for text in self.task.texts], rng)):
                self._learn(rows, epoch * self.n_batches + n)
            self.n_done = epoch + 1
            yield self.n_done

    def _learn(self, rows: list[int], step: int) -> None:
        """One step: make the texts of a batch more like their labels than like the others."""
        import torch
        from torch.nn.functional import cross_entropy, normalize

        n_steps = self.n_batches * self.task.epochs
        features = self.model.preprocess([self.prefix + self.task.texts[row] for row in rows])
        vectors = normalize(self.model(features)["sentence_embedding"], dim=1)
        loss = cross_entropy(SCALE * vectors @ normalize(self.head, dim=1).T, self.labels[rows])
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights.values(), MAX_GRADIENT)
        share = rate(step, n_steps)
        for group, highest in zip(self.optimiser.param_groups, (LEARNING_RATE, HEAD_LEARNING_RATE), strict=True):
            group["lr"] = share * highest
        self.optimiser.step()
        _say("step", step + 1, n_steps)

    def save(self, checkpoint: Path) -> None:
        """Write all that is needed to go on; a reader sees the last one or this."""
        import torch

        kept = {
            "n_done": self.n_done,
            "weights": {name: weight.detach() for name, weight in self.weights.items()},
            "head": self.head.detach(),
            "optimiser": self.optimiser.state_dict(),
        }
        torch.save(kept, part := checkpoint.with_suffix(".part"))
        part.replace(checkpoint)

    def _restore(self, checkpoint: Path) -> None:
        import torch

        kept = torch.load(checkpoint, weights_only=True)
        self.model.load_state_dict(kept["weights"], strict=False)
        with torch.no_grad():
            self.head.copy_(kept["head"])
        self.optimiser.load_state_dict(kept["optimiser"])
        self.n_done = kept["n_done"]

    def write(self, folder: Path) -> str:
        """Write the weights that have learnt, in 16-bit floats, to a file named by its SHA-256, which is returned.

        The encoder is converted to fewer bits than that.
        """
        from safetensors.torch import save

        content = save({name: weight.detach().half().contiguous() for name, weight in self.weights.items()})
        sha256 = hashlib.sha256(content).hexdigest()
        (folder / f"{sha256}.safetensors").write_bytes(content)
        return sha256


def batches(lengths: Sequence[int], rng: np.random.Generator) -> list[list[int]]:
    """Return the positions of texts of these lengths in batches, by lot, those of like length rather together."""
    order = rng.permutation(len(lengths))
    mixed = BATCHES_MIXED * BATCH_TEXTS
    parts = (order[start : start + mixed] for start in range(0, len(order), mixed))
    alike = np.concatenate([order[:0], *(sorted(part.tolist(), key=lengths.__getitem__) for part in parts)]).tolist()
    found = [alike[start : start + BATCH_TEXTS] for start in range(0, len(alike), BATCH_TEXTS)]
    return [found[n] for n in rng.permutation(len(found))]


def rate(step: int, n_steps: int) -> float:
    """Return the share of the highest learning rate, above 0, at a step, from 0 on."""
    warm_up = max(1.0, WARM_UP * n_steps)
    return min((step + 1) / warm_up, (n_steps - step) / max(n_steps - warm_up, 1.0), 1.0)


if __name__ == "__main__":
    train(Path(sys.argv[1]))
