"""The key of a run's own that opens its gateway, however a client of a model's API sends one."""

from __future__ import annotations

import hmac
from collections.abc import Mapping


def is_brought(headers: Mapping[str, str], key: str) -> bool:
    """Whether a request, its headers by lower-case name, brings `key`: in a time that tells nothing of it.
    An empty one opens nothing."""
    given = headers.get("authorization", "").partition(" ")[2].strip()
    given = given or headers.get("x-api-key", "").strip()
    return bool(key) and hmac.compare_digest(given.encode("latin-1", "replace"), key.encode())
