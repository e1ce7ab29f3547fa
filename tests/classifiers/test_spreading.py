"""Work in parts: in order, as much ahead as said, and the same wherever it is done."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from classifiers import spreading
from classifiers.red_classifier import RedClassifier, candidates_of_block
from tests.classifiers.clusters import clusters


def added(shared: int, part: int) -> int:
    return shared + part


def threads_of(shared: None, part: int) -> int:
    return spreading.n_threads()


def _as_it_is(shared):
    return shared


def failed(shared: None, part: int) -> None:
    raise ValueError(part)


@pytest.mark.parametrize("n", [0, 1, 2, 50])
def test_results_come_in_the_order_of_the_parts(n):
    assert list(spreading.each(added, 1, range(n))) == [part + 1 for part in range(n)]


def test_parts_are_taken_as_they_are_needed():
    taken = []

    def parts():
        for part in range(100):
            taken.append(part)
            yield part

    found = spreading.each(added, 0, parts(), ahead=3)
    assert next(found) == 0
    assert len(taken) <= 3 * spreading.n_threads() + 1


def test_a_part_has_one_thread():
    assert list(spreading.each(threads_of, None, range(3))) == [1, 1, 1]
    assert spreading.n_threads() >= 1


def test_an_error_in_a_part_is_the_callers():
    with pytest.raises(ValueError, match="0"):
        list(spreading.each(failed, None, range(3)))


def test_what_all_parts_need_is_brought_once_and_the_place_is_left_at_the_end():
    shared: list[int] = []

    def share(one: int) -> int:
        shared.append(one)
        return one

    with ThreadPoolExecutor(2) as threads:
        place = spreading.Place(threads, share, n_threads=2)
        with spreading.elsewhere(place):
            assert list(spreading.each(added, 1, range(20))) == list(range(1, 21))
        list(spreading.each(added, 2, range(3)))
    assert shared == [1]


def test_a_classifier_is_the_same_to_the_last_bit_wherever_it_was_fitted():
    def learnt() -> list[bytes]:
        model = RedClassifier(subset_size=3, random_state=1).fit(X, y)
        found = next(spreading.each(candidates_of_block, model, [(X, 3, None)]))
        return [value.tobytes() for value in (*model.to_arrays().values(), found.labels, found.probabilities)]

    X, y = clusters(n_labels=8, n_each=12)
    here = learnt()
    with ProcessPoolExecutor(2) as processes, spreading.elsewhere(spreading.Place(processes, _as_it_is, n_threads=2)):
        assert learnt() == here
