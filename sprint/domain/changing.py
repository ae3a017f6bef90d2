"""A record like another one: of a Struct as of a dataclass, the one door to both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

if TYPE_CHECKING:
    from dataclasses import replace as replace  # whose fields mypy checks, also for Structs
else:

    def replace(record: Any, /, **changes: Any) -> Any:
        """A copy of `record` with those fields changed."""
        if isinstance(record, Struct):
            return structs.replace(record, **changes)
        import dataclasses  # which takes longer to import than most of a tick's modules together

        return dataclasses.replace(record, **changes)
