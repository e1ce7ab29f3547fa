"""Which of the labelled texts measure and are not learnt from."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping


def draw_holdout(seeds: Mapping[str, tuple[str, str]], percent: int) -> set[str]:
    """Choose the share of each label's texts to hold out, by a hash; near copies stay together.

    What is left of the share after whole texts goes to the labels with the largest remainders, so
    that few examples of many labels come to the share as well. The choice does not depend on
    chance or on the order of the rows: the same file always gives the same split. Below 100 % each
    label keeps at least one text to learn from.

    Args:
        seeds: by text hash, the label and the hash of the text as ``folded``.
        percent: share to hold out, 0 to 100.
    """
    if percent == 100:
        return set(seeds)
    copies: dict[str, list[str]] = defaultdict(list)
    for key in sorted(seeds):
        copies[seeds[key][1]].append(key)
    # A text and its near copies count once, under the label of the one that comes first.
    by_label: dict[str, list[list[str]]] = defaultdict(list)
    for group in sorted(copies.values()):
        by_label[seeds[group[0]][0]].append(group)
    n_hundredths = {label: len(groups) * percent for label, groups in by_label.items()}
    n_held = {label: n // 100 for label, n in n_hundredths.items()}
    n_left = round(sum(n_hundredths.values()) / 100) - sum(n_held.values())
    roomy = (label for label, groups in by_label.items() if n_held[label] < len(groups) - 1)
    for label in sorted(roomy, key=lambda label: (-(n_hundredths[label] % 100), label))[:n_left]:
        n_held[label] += 1
    held = [group for label, groups in by_label.items() for group in groups[: n_held[label]]]
    return {key for group in _without_last_examples(held, seeds) for key in group}


def _without_last_examples(held: list[list[str]], seeds: Mapping[str, tuple[str, str]]) -> Iterator[list[str]]:
    """Leave out the groups that would take a label's last text: a near copy may have another label."""
    n_learnt = Counter(label for label, _folded in seeds.values())
    for group in held:
        taken = Counter(seeds[key][0] for key in group)
        if all(n_learnt[label] > n for label, n in taken.items()):
            n_learnt -= taken
            yield group
