"""Why people did not want an earlier attempt's pull request."""

from __future__ import annotations

from collections.abc import Sequence

from sprint.context import Context
from sprint.domain import Claim, Remark
from sprint.errors import ForgeError
from sprint.prompts import OWN_MARKER
from sprint.task import ClosedPull


def closed_pull(context: Context, attempts: Sequence[Claim]) -> ClosedPull | None:
    """The newest pull request of earlier attempts, where it was closed without being merged.

    Costs nothing where there was none. Raises ForgeError where the forge is away.
    """
    number = next((claim.pr for claim in reversed(attempts) if claim.pr), None)
    if number is None:
        return None
    forge, name = context.forge, context.repository.name
    try:
        pull = forge.pull(name, number)
        if pull.is_open or pull.merged_at is not None:
            return None
        said = forge.remarks(name, number)
    except ForgeError as error:
        if error.status in (404, 410):
            return None
        raise
    trusted = [login.casefold() for login in context.repo_config.pick.trusted]

    def has_a_say(remark: Remark) -> bool:
        is_known = remark.may_write is True or remark.author.casefold() in trusted
        return is_known and not remark.is_bot and OWN_MARKER not in remark.body and bool(remark.body.strip())

    return ClosedPull(number, tuple(sorted(filter(has_a_say, said), key=lambda remark: remark.updated_at)))
