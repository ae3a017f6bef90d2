"""Which issues a pull request closes once merged: ours tell by their branch, anyone's by their words."""

from __future__ import annotations

import re
from functools import cache

from sprint.domain import PullRequest

_TEXT_CAP = 100_000
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_COMMENT = re.compile(r"<!--(?:(?!-->|<!--).)*-->", re.DOTALL)
_SPAN = re.compile(r"(?<!`)(`+)(?!`)[^\n]{0,500}?(?<!`)\1(?!`)")
_KEYWORD = re.compile(
    r"(?<![\w/-])(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?[ \t]+"
    r"(?:(?P<url>https?://[^\s()<>\]]+?/issues/(?P<in_url>[1-9]\d{0,17}))"
    r"|(?P<repo>[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+)?#(?P<number>[1-9]\d{0,17})|GH-(?P<gh>[1-9]\d{0,17}))(?![\w-])",
    re.IGNORECASE,
)


def closed_by(pull: PullRequest, repo: str) -> set[int]:
    """The issues of `repo` (OWNER/REPO) that title and body close by keyword; code does not count."""
    numbers = set()
    for match in _KEYWORD.finditer(f"{pull.title[:_TEXT_CAP]}\n\n{_prose(pull.body[:_TEXT_CAP])}"):
        if match["url"]:
            if match["url"].rpartition("/issues/")[0].lower().endswith(f"/{repo.lower()}"):
                numbers.add(int(match["in_url"]))
        elif match["repo"] is None or match["repo"].lower() == repo.lower():
            numbers.add(int(match["number"] or match["gh"]))
    return numbers


def _prose(body: str) -> str:
    """The body without code blocks, code spans, indented code and hidden comments."""
    lines, fence = [], ""
    for line in _COMMENT.sub("", body.replace("\r\n", "\n")).split("\n"):
        match = _FENCE.match(line)
        if fence:
            if match and match[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif match:
            fence = match[1]
        elif not line.startswith(("    ", "\t")):
            lines.append(line)
    return _SPAN.sub("", "\n".join(lines))


def is_at_home(pull: PullRequest, repo: str, me: str) -> bool:
    """Whether its branch is where ours are: in `repo` itself, or, proposed by our account, in our fork."""
    if pull.head_repo.lower() == repo.lower():
        return True
    fork_owner = pull.head_repo.partition("/")[0].lower()
    return bool(me) and fork_owner == me.lower() == pull.author.lower()


def own_branch(pull: PullRequest, repo: str, branch_pattern: str, me: str) -> int | None:
    """The issue's number where the head is named as we name ours, in `repo` or in our fork, else None."""
    if not is_at_home(pull, repo, me):
        return None
    match = _branch_names(branch_pattern).fullmatch(pull.head)
    return int(match["number"]) if match else None


def is_by(pull: PullRequest, me: str) -> bool:
    """Whether the account `me` opened it; of an account that is not known, all may be."""
    return not me or pull.author.lower() == me.lower()


@cache
def _branch_names(branch_pattern: str) -> re.Pattern[str]:
    """Matches the pattern's names, also with the "-2" of a second choice."""
    first, *others = branch_pattern.split("{number}")
    again = "".join(f"(?P=number){re.escape(part)}" for part in others[1:])
    return re.compile(rf"{re.escape(first)}(?P<number>[1-9]\d{{0,17}}){re.escape(others[0])}{again}(?:-\d+)?")
