"""What an agent's own words say of its model's server, where nobody else saw it."""

from __future__ import annotations

import re

from sprint.clean_text import safe_line
from sprint.errors import ModelError, ModelTrouble

_STATUS = re.compile(
    r"(?:API Error:|status(?: code)?|HTTP|error code:?|Error:|status_code=)\D{0,12}(\d{3})\b", re.IGNORECASE
)
_TROUBLES = {
    401: ModelTrouble.REFUSED,
    402: ModelTrouble.QUOTA,
    403: ModelTrouble.REFUSED,
    404: ModelTrouble.UNKNOWN,
    429: ModelTrouble.BUSY,
    529: ModelTrouble.BUSY,
}
_WORDS = {
    ModelTrouble.REFUSED: re.compile(r"unauthori[sz]ed|invalid (api )?key|authentication", re.I),
    ModelTrouble.QUOTA: re.compile(r"insufficient (quota|credit|balance)|quota exceeded", re.I),
    ModelTrouble.BUSY: re.compile(r"rate.?limit|overloaded|too many requests", re.I),
    ModelTrouble.SLOW: re.compile(r"timed? ?out|timeout", re.I),
    ModelTrouble.AWAY: re.compile(
        r"connection (error|refused|reset|closed)|stream (disconnected|closed|ended)"
        r"|incomplete (stream|response)|terminated|internal server error|bad gateway"
        r"|unable to connect|error sending request|premature",
        re.I,
    ),
}


def told_fault(agent: str, failure: str) -> ModelError | None:
    """The provider's fault that an agent's last words name, None where they name none."""
    trouble = None
    if found := _STATUS.search(failure):
        status = int(found[1])
        trouble = _TROUBLES.get(status) or (ModelTrouble.AWAY if status >= 500 else None)
    trouble = trouble or next((kind for kind, words in _WORDS.items() if words.search(failure)), None)
    return ModelError(f"{agent}: {safe_line(failure, 300)}", trouble) if trouble else None
