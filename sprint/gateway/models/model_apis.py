"""The dialects there are."""

from __future__ import annotations

from sprint.gateway.models import chat, messages, responses
from sprint.gateway.models.dialect import Dialect, Rules

DIALECTS: dict[Dialect, Rules] = {"messages": messages, "responses": responses, "chat": chat}
