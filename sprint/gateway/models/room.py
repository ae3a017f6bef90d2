"""How many requests, and how large ones, one run may have in hand at once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from sprint.gateway.exchange import Exchange, Refused

REQUEST_BYTES = 32_000_000
AT_ONCE = 64
BYTES_AT_ONCE = 4 * REQUEST_BYTES


class Room:
    """For all threads of one route."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests = self._bytes = 0

    @contextlib.contextmanager
    def taken(self, exchange: Exchange) -> Iterator[None]:
        """Raises Refused where there is none; a request that does not tell its size counts as the largest."""
        told = exchange.headers.get("content-length", "")
        size = int(told) if told.isdecimal() else REQUEST_BYTES
        if size > REQUEST_BYTES:
            raise Refused(413, f"a request may have {REQUEST_BYTES} bytes at most")
        with self._lock:
            if self._requests >= AT_ONCE or self._bytes + size > BYTES_AT_ONCE:
                raise Refused(429, "too many requests at once")
            self._requests += 1
            self._bytes += size
        try:
            yield
        finally:
            with self._lock:
                self._requests -= 1
                self._bytes -= size
