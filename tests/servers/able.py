"""A model that is able to do what doctor asks of it."""

from __future__ import annotations

import re
from typing import Any

from tests.servers import replies


def able(asked: dict[str, Any], number: int) -> replies.Reply:
    """A model that does what it is asked and answers from what reached it."""
    text = "\n".join(str(message["content"]) for message in asked["messages"])
    if asked.get("tools"):
        wanted = re.search(r"number (\d+)", text)
        assert wanted
        return replies.call("report_number", {"number": int(wanted[1])})
    password = re.search(r"password is ([\w-]+)", text)
    return replies.say(password[1] if password else "I do not know.")
