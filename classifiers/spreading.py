"""Where heavy work is done part by part: on threads of this process, or wherever an executor takes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from joblib import cpu_count
from threadpoolctl import threadpool_limits

Shared = TypeVar("Shared")
Part = TypeVar("Part")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Place:
    """Where parts are worked on.

    Attributes:
        executor: takes the parts; whoever made it ends it.
        share: brings what all parts need there once, and returns what stands for it in a call.
        n_threads: parts that are worked on at the same time.
    """

    executor: Executor
    share: Callable[[Any], Any]
    n_threads: int


_elsewhere: ContextVar[Place | None] = ContextVar("elsewhere", default=None)
_in_a_part: ContextVar[bool] = ContextVar("in_a_part", default=False)


@contextmanager
def elsewhere(place: Place | None) -> Iterator[None]:
    """Have the work of this block done at another place; None: here."""
    token = _elsewhere.set(place)
    try:
        yield
    finally:
        _elsewhere.reset(token)


def n_threads() -> int:
    """How many threads may be used here: what is a part already has one."""
    return 1 if _in_a_part.get() else cpu_count()


def each(
    function: Callable[[Shared, Part], Result], shared: Shared, parts: Iterable[Part], ahead: int = 2
) -> Iterator[Result]:
    """Yield what a function makes of each part, in their order; the same to the last bit wherever it is done.

    Each part is worked on with one BLAS thread: with two, the same small fits took ten times as long.

    Args:
        function: of a module, so that another process finds it.
        shared: what it needs for all parts; not to be changed before the last result is taken.
        parts: taken as they are needed, ``ahead`` for each thread at most.
        ahead: see parts.
    """
    if place := _elsewhere.get():
        yield from _submitted(place, _alone, (function, place.share(shared)), parts, ahead)
        return
    with threadpool_limits(limits=1), ThreadPoolExecutor(n_threads()) as threads:
        here = Place(threads, lambda shared: shared, n_threads())
        yield from _submitted(here, _as_a_part, (function, shared), parts, ahead)


def _submitted(
    place: Place, call: Callable[..., Any], of_all: tuple[Any, Any], parts: Iterable[Any], ahead: int
) -> Iterator[Any]:
    on_their_way: deque[Future[Any]] = deque()
    for part in parts:
        on_their_way.append(place.executor.submit(call, of_all[0], of_all[1], part))
        if len(on_their_way) > ahead * place.n_threads:
            yield on_their_way.popleft().result()
    while on_their_way:
        yield on_their_way.popleft().result()


def _as_a_part(function: Any, shared: Any, part: Any) -> Any:
    token = _in_a_part.set(True)
    try:
        return function(shared, part)
    finally:
        _in_a_part.reset(token)


def _alone(function: Any, shared: Any, part: Any) -> Any:
    """In another process, where nobody limits BLAS."""
    with threadpool_limits(limits=1):
        return _as_a_part(function, shared, part)
