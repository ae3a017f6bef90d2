"""What git and the forge know of an issue before anybody works on it, in three lines.

Whether a bug is fixed already, or somebody tried, is looked up by the runner once, and not by each model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from sprint import git
from sprint.beside import Beside
from sprint.clean_text import safe_line
from sprint.domain import Issue
from sprint.errors import ForgeError
from sprint.forge import Forge

_SHOWN = 4  # of each kind
_LOOKED_AT = 20
_LONGEST = 110  # characters of a title
_PAGE = {"state": "all", "limit": "50", "per_page": "100"}  # by either forge's word for it
_BEFORE = timedelta(days=1)  # clocks differ
_SECONDS = 20


def history(forge: Forge, repo: str, issue: Issue, mirror: Path, base: str, branch: str) -> tuple[str, ...]:
    """Commits that name the issue, branches named after it, pull requests about it; a line each.

    `base` is the commit that the work begins at, of `branch`. Empty where the mirror has no history. What
    the forge does not tell is said to be unknown.
    """
    if not base or (mirror / "shallow").exists():
        return ()
    refs = git.git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/", git_dir=mirror, check=False)
    others = [name for name in refs.out.splitlines() if name != branch]
    pulls = Beside(lambda _watch: _listed(_pulls(forge, repo, issue.number)))
    return (
        f"Commits that name it: {_listed(_commits(mirror, issue, base, branch, has_others=bool(others)))}",
        f"Branches named after it: {_listed(_branches(mirror, issue.number, base, others))}",
        f"Pull requests about it: {pulls.result()}",
    )


def _listed(found: Iterator[str]) -> str:
    entries = list(found)
    shown = "; ".join(entries[:_SHOWN]) or "none"
    return shown + (f"; and {len(entries) - _SHOWN} more" if len(entries) > _SHOWN else "")


def _commits(mirror: Path, issue: Issue, base: str, branch: str, *, has_others: bool) -> Iterator[str]:
    """None can be older than the issue, which spares git the long history before it."""
    since = f"--since={(issue.created_at - _BEFORE).isoformat()}"
    names = rf"(#|GH-|\bissues?[-_/ ])0*{issue.number}([^0-9]|$)"

    def found(watch: Callable[[], str] | None, where: str, *revisions: str) -> Iterator[str]:
        done = git.git(
            *("log", "--no-merges", "-i", "-E", f"--grep={names}", since, f"--max-count={_LOOKED_AT}"),
            *("--format=%h%x00%cs%x00%s", *revisions, "--"),
            git_dir=mirror,
            check=False,
            timeout=_SECONDS,
            watch=watch,
        )
        for line in done.out.splitlines():
            if line.count("\0") == 2:
                sha, day, subject = line.split("\0")
                yield f'{sha} of {day} ({where}) "{safe_line(subject, _LONGEST)}"'

    if not has_others:
        yield from found(None, branch, base)
        return
    elsewhere = Beside(lambda watch: list(found(watch, f"not in {branch}", "--branches", "--not", base)))
    try:
        yield from found(None, branch, base)
        yield from elsewhere.result()
    finally:
        elsewhere.stop()


def _branches(mirror: Path, number: int, base: str, others: Sequence[str]) -> Iterator[str]:
    """How far each is ahead of the base says more than its name."""
    words = r"(^|[/_-])(issues?|gh|fix|bug|feat|feature)[-_/#]?|(^|/)#?"
    named = re.compile(rf"({words})0*{number}(?![\d.])", re.IGNORECASE)
    for name in [name for name in others if named.search(name)][:_LOOKED_AT]:
        done = git.git(
            *("rev-list", "--left-right", "--count", f"{base}...refs/heads/{name}", "--"),
            git_dir=mirror,
            check=False,
            timeout=_SECONDS,
        )
        behind, _, ahead = done.out.strip().partition("\t")
        far = f"{ahead} ahead, {behind} behind" if done.ok and ahead != "0" else "all of it is in the base"
        yield f"origin/{safe_line(name, _LONGEST)} ({far})"


def _pulls(forge: Forge, repo: str, number: int) -> Iterator[str]:
    try:
        pulls = forge.read(repo, "pulls", _PAGE)
    except ForgeError:
        yield "unknown, the forge did not tell"
        return
    about = re.compile(rf"(#|\bGH-|/issues/|\bissues?[-_ ]){number}(?!\d)", re.IGNORECASE)
    for pull in pulls if isinstance(pulls, list) else ():
        if not isinstance(pull, Mapping) or pull.get("number") == number:
            continue
        head = pull.get("head")
        name = str(head.get("ref") or "") if isinstance(head, Mapping) else ""
        texts = (str(pull.get("title") or ""), str(pull.get("body") or "")[:20_000], name)
        if any(about.search(text) for text in texts):
            yield _pull(pull, name)


def _pull(pull: Mapping[str, Any], head: str) -> str:
    is_merged = bool(pull.get("merged_at") or pull.get("merged"))
    state = "merged" if is_merged else "open" if pull.get("state") == "open" else "closed without merging"
    about = f'#{pull.get("number")} "{safe_line(str(pull.get("title") or ""), _LONGEST)}"'
    return f"{about} {state}" + (f", from {safe_line(head, _LONGEST)}" if head else "")
