"""Whether a repository has room for one more run, whatever its backlog holds."""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import UTC, datetime, timedelta

from sprint.config import RepoConfig
from sprint.domain import Claim, Repository
from sprint.sharing import Sharing

_FARTHEST = timedelta(days=30)


def why_not_now(shared: Sharing, repo: RepoConfig, repository: Repository) -> str:
    """Why no new run may start whatever the backlog holds, or ""."""
    if repository.open_issues == 0:
        return "no open issues"
    return ceiling_reached(shared, repo)


def ceiling_reached(shared: Sharing, repo: RepoConfig) -> str:
    """Why no run at all may start today, or ""."""
    ceiling = repo.limits.usd_per_day
    if ceiling is not None:
        return shared.why_not_now(ceiling)
    return ""


def worked_on(claims: Mapping[int, Claim], own: Set[int | None]) -> Set[int | None]:
    """The issues that are worked on, on all hosts. A claim for longer than any run lasts is a forged one."""
    now = datetime.now(UTC)
    claimed = {
        number
        for number, claim in claims.items()
        if claim.state == "claimed" and now < claim.expires < now + _FARTHEST
    }
    return claimed | (own - {None})  # an operator's own task takes no issue's place


def crowd(claims: Mapping[int, Claim], unsettled: Set[int | None]) -> str:
    """Why there is no room, in words."""
    said = []
    for number in sorted(number for number in unsettled if number):
        claim = claims.get(number)
        until = f", claimed by {claim.host} until {claim.expires:%Y-%m-%d %H:%M} UTC" if claim else ""
        said.append(f"#{number}{until}")
    return f"as many runs are under way as pick.at_once allows: {'; '.join(said)}"
