"""What was said at a pull request, from the three lists in which forges keep it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from sprint.domain import Comment, Remark, Status
from sprint.forge import wire

MayWrite = Callable[[wire.User | None, str], bool | None]
"""Of an account, with its author_association ("" where the forge has none)."""

_ASKING = ("REQUEST_CHANGES", "CHANGES_REQUESTED")
_SETTLING = (*_ASKING, "APPROVED", "DISMISSED")
_SAYING = (*_ASKING, "COMMENT", "COMMENTED")
_STATES = {
    "success": "success",
    "warning": "success",
    "skipped": "success",
    "neutral": "success",
    "pending": "pending",
    "failure": "failure",
    "error": "failure",
    "timed_out": "failure",
    "startup_failure": "failure",
    "cancelled": "skipped",
    "stale": "skipped",
}


def of_reviews(
    reviews: Sequence[wire.ReviewWire],
    lines: Mapping[int, Sequence[wire.LineCommentWire]],
    may_write: MayWrite,
) -> Iterator[Remark]:
    """Reviews that say something or ask for changes, and what they say at lines, by the review's id.

    An approval is a person's word that it is good: what it says besides is nothing to push for.
    """
    in_force = _in_force(reviews)
    officials = {wire.login(review.user) for review in reviews if review.official}
    for review in reviews:
        if review.state not in _SAYING or review.submitted_at is None:
            continue
        author = wire.login(review.user)
        may = True if author in officials else may_write(review.user, review.author_association)
        asks = in_force.get(author) == review.id
        if asks or (review.body or "").strip():
            yield Remark(
                id=review.id,
                author=author,
                body=review.body or "",
                updated_at=wire.utc(review.updated_at or review.submitted_at),
                review=review.id,
                may_write=may,
                is_bot=wire.is_bot(review.user),
                asks=asks,
            )
        for said in sorted(lines.get(review.id, ()), key=lambda line: line.id):
            # A reply in somebody's thread is its writer's own word, whosever review it is in.
            own = wire.login(said.user) == author
            yield _at_line(said, review.id, may if own else may_write(said.user, said.author_association))


def _in_force(reviews: Iterable[wire.ReviewWire]) -> dict[str, int]:
    """The review by which each person asks for changes now: their last word, unless it was dismissed."""
    last: dict[str, wire.ReviewWire] = {}
    for review in sorted(reviews, key=lambda review: review.id):
        if review.state in _SETTLING:
            last[wire.login(review.user)] = review
    return {
        who: review.id for who, review in last.items() if review.state in _ASKING and not review.dismissed
    }


def _at_line(said: wire.LineCommentWire, review: int, may: bool | None) -> Remark:
    return Remark(
        id=said.id,
        author=wire.login(said.user),
        body=said.body or "",
        updated_at=wire.utc(said.updated_at),
        review=review,
        path=said.path,
        line=said.line or said.position or 0,
        old_line=said.original_position or 0 if said.position == 0 else 0,
        hunk=said.diff_hunk or "",
        may_write=may,
        is_bot=wire.is_bot(said.user),
    )


def of_comment(comment: Comment, may: bool | None, *, is_bot: bool) -> Remark:
    return Remark(comment.id, comment.author, comment.body, comment.updated_at, may_write=may, is_bot=is_bot)


def status(found: wire.StatusWire) -> Status:
    return Status(
        context=found.context,
        state=_STATES.get(found.status or found.state, "pending"),
        description=found.description or "",
        url=found.target_url or "",
    )


def check_run(found: wire.CheckRunWire) -> Status:
    """A check of GitHub's; one that waits for a person (`action_required`) is pending as one that runs."""
    state = _STATES.get(found.conclusion or "pending", "pending")
    is_held = found.conclusion == "action_required"
    said = "waits for a person to let it run" if is_held else found.conclusion or found.status
    return Status(found.name, state, said, found.html_url or "", is_held=is_held)
