"""The title of a pull request, which is its commit's first line too, in the form of Conventional Commits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sprint.clean_text import title_line

# The type for each word by which people name one, in a title's prefix or in a label.
_WORDS = {
    "fix": "fix fixes bug bugfix bugs defect regression crash hotfix security",
    "feat": "feat feature features enhancement improvement featurerequest newfeature",
    "docs": "docs doc documentation",
    "refactor": "refactor refactoring cleanup techdebt technicaldebt",
    "perf": "perf performance optimization optimisation",
    "test": "test tests testing",
    "build": "build packaging dependency dependencies deps",
    "ci": "ci",
    "style": "style formatting",
    "chore": "chore maintenance housekeeping",
    "revert": "revert",
}
_TYPES = {word: kind for kind, words in _WORDS.items() for word in words.split()}
# `feat: x`, `Fix(parser)!: x`, `[Bug] x`, `[docs]: x`, `Feature request: x`
_PREFIX = re.compile(
    r"\s*(?:\[(?P<tag>[^\]]{1,30})\]:?"
    r"|(?P<word>[A-Za-z][A-Za-z _-]{0,29}?)(?P<scope>\([\w./ -]{1,40}\))?!?:)\s*"
)


def pull_request_title(title: str, issue: int | None, labels: Sequence[str] = ()) -> str:
    """`fix: TITLE (closes #N)`, or with the type that the issue's own prefix or its labels say.

    A prefix counts before labels; of labels, one that says "bug" counts before all others. A task, which has
    no issue, is a `feat`.
    """
    line = title_line(title)
    kind, scope = "", ""
    while (found := _PREFIX.match(line)) and (said := _TYPES.get(_bare(found["tag"] or found["word"]))):
        kind, scope = kind or said, scope or (found["scope"] or "").lower()
        line = line[found.end() :]
    kind = kind or _of_labels(labels) or ("feat" if issue is None else "fix")
    closes = "" if issue is None else f" (closes #{issue})"
    return f"{kind}{scope}: {line.strip() or 'untitled'}{closes}"


def _of_labels(labels: Iterable[str]) -> str:
    """The type that labels such as `bug`, `kind/feature` or `type: docs` say, "" for none."""
    said = [_TYPES.get(_bare(re.split(r"[/:]", label)[-1]), "") for label in labels]
    return "fix" if "fix" in said else next(filter(None, said), "")


def _bare(word: str) -> str:
    return re.sub(r"[^a-z]", "", word.lower())
