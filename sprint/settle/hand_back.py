"""A follow-up's proven commit goes onto the pull request's branch, and those who spoke are answered.

Each step looks at the forge first: done again after a kill, it pushes and says nothing twice.
"""

from __future__ import annotations

import logging

from sprint import prompts, publish
from sprint.domain import Outcome, PublicText, PullRequest, Remark, Trigger
from sprint.errors import ForgeError
from sprint.settle import merged_base, repository
from sprint.settle.public_text import public_text, with_public_words
from sprint.settle.under_way import UnderWay

_TRIGGERS = {
    Trigger.REVIEWS: "answers a review",
    Trigger.CI: "answers CI",
    Trigger.CONFLICT: "answers a conflict with the base",
    Trigger.UPDATE: "merges the base in",
}
_log = logging.getLogger(__name__)


def hand_back(current: UnderWay) -> UnderWay:
    """Phase verified. Raises ForgeError where the forge is away: the work waits for a later tick."""
    run, context = current.run, current.context
    current.held_lease.confirm()
    pull = current.pull
    if pull.head_sha != run.commit:
        if reason := current.held_lease.reason_to_stop():
            return current.concluded(Outcome.CANCELLED, reason)
        try:
            home = merged_base.home_of(current, pull.head_repo)
            publish.push_on(context.forge.remote(home), current.objects, run.commit, pull.head, run.head_sha)
        except merged_base.CannotBegin as error:
            return current.concluded(Outcome.ERROR, str(error))
        except publish.MovedOn:
            return current.concluded(Outcome.CANCELLED, "somebody pushed to its branch meanwhile")
        except publish.PushRefused as error:
            if fault := repository.push_refused(current, str(error)):
                raise fault from error
            return current.concluded(Outcome.POLICY_REFUSED, str(error))
    repository.push_works(current)
    _renew_body(current, pull)
    if not run.is_update:  # nobody is told of what nobody asked for
        _answer(current, pull)
    return current.concluded(Outcome.PR_UPDATED, _TRIGGERS[Trigger(run.trigger)])


def _renew_body(current: UnderWay, pull: PullRequest) -> None:
    """The table of checks, in a body that is still as ours are; what people wrote stays."""
    body = prompts.renewed_body(pull.body, current.run)
    if body != pull.body:
        name = current.context.repository.name
        said = public_text(current.context, current.run, body)
        current.context.forge.update_pull(name, pull.number, title=_as_it_is(current, pull), body=said)


def _as_it_is(current: UnderWay, pull: PullRequest) -> PublicText:
    return public_text(current.context, current.run, pull.title)


def _answer(current: UnderWay, pull: PullRequest) -> None:
    """One short answer in each thread, one comment for all else, and those who asked for changes are asked
    to look again. What the forge refuses of it costs the run its words and no more."""
    run, forge, name = current.run, current.context.forge, current.context.repository.name
    occasion = current.context.store.occasion(run.id)
    said = [remark.body for remark in forge.remarks(name, pull.number)]
    for remark in occasion.remarks:
        if remark.is_thread:
            _say_once(current, pull, said, remark)
    _say_once(current, pull, said, None)
    asking = sorted({remark.author for remark in occasion.remarks if remark.asks})
    if asking:
        try:
            forge.ask_for_review(name, pull.number, asking)
        except ForgeError as error:
            if _is_away(error):
                raise
            _log.info("#%s: nobody can be asked to look again: %s", run.issue, error)


def _say_once(current: UnderWay, pull: PullRequest, said: list[str], remark: Remark | None) -> None:
    run, context = current.run, current.context
    marker = prompts.follow_up_marker(run, remark)
    if any(marker in body for body in said):
        return
    text = public_text(
        context, run, prompts.follow_up_answer(with_public_words(context, run), remark, marker)
    )
    name = context.repository.name
    try:
        if remark is None:
            context.forge.add_comment(name, pull.number, text)
        else:
            context.forge.answer(name, pull.number, remark, text)
    except ForgeError as error:
        if _is_away(error):
            raise
        _log.info("#%s: no answer at the pull request: %s", run.issue, error)


def _is_away(error: ForgeError) -> bool:
    """A server that fails at our words (500) would do so again; the round is done without them."""
    return error.status is None or error.status > 500 or error.status == 429
