"""The one door to reading into types: msgspec's, made safe for threads."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Any, TypeVar, overload

import msgspec

T = TypeVar("T")

_lock = threading.RLock()  # a hook may read again
_known: set[object] = set()


@overload
def decode(data: bytes | str, kind: type[T]) -> T: ...


@overload
def decode(data: bytes | str, kind: UnionType) -> Any: ...


def decode(data: bytes | str, kind: Any) -> Any:
    """JSON as a `kind`. Raises msgspec.DecodeError (ValidationError is one) and UnicodeDecodeError."""
    with _first_alone(kind):
        return msgspec.json.decode(data, type=kind)


def convert(
    value: object,
    kind: type[T],
    *,
    strict: bool = True,
    dec_hook: Callable[[type, Any], Any] | None = None,
) -> T:
    """A plain value as a `kind`; see msgspec.convert. Raises msgspec.ValidationError."""
    with _first_alone(kind):
        return msgspec.convert(value, kind, strict=strict, dec_hook=dec_hook)


@contextlib.contextmanager
def _first_alone(kind: object) -> Iterator[None]:
    """msgspec 0.22 works out at a type's first use what it is made of, and hands out what is half made to
    another thread that comes meanwhile: the process dies of it."""
    if kind in _known:
        yield
        return
    with _lock:
        try:
            yield
        finally:
            _known.add(kind)
