"""A record like another one: of a Struct as of a dataclass, the one door to both."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

if TYPE_CHECKING:
    from dataclasses import replace as replace  # whose fields mypy checks, also for Structs
else:

    def replace(record: Any, /, **changes: Any) -> Any:
        """A copy of `record` with those fields changed."""
        replaced = structs.replace if isinstance(record, Struct) else dataclasses.replace
        return replaced(record, **changes)
