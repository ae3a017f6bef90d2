"""Proven work becomes a pull request, if it is still wanted."""

from __future__ import annotations

from sprint import prompts
from sprint.context import Context
from sprint.domain import Outcome, ProofVerdict, PullRequest, Run
from sprint.publish import Proposal, PullRefused, PushRefused, publish
from sprint.settle import repository
from sprint.settle.prove import UNFINISHED
from sprint.settle.under_way import UnderWay


def propose(current: UnderWay) -> UnderWay:
    """Phase verified. Raises ForgeError where the forge is away: the work waits for a later tick."""
    run, context = current.run, current.context
    current.held_lease.confirm()
    if reason := current.held_lease.reason_to_stop():
        pull = _handed_in(context, run)
        return _concluded_with(current, pull) if pull else current.concluded(Outcome.CANCELLED, reason)
    is_unfinished = run.result is not None and run.result.ending in UNFINISHED
    is_unproven = run.proof is not None and run.proof.verdict is ProofVerdict.UNPROVEN
    publishing = context.repo_config.publish
    proposal = Proposal(
        commit=run.commit,
        branch=run.branch,
        base=run.base_branch,
        title=prompts.pull_request_title(run.title, run.number, run.labels),
        body=prompts.pull_request_body(run),
        draft=publishing.draft or is_unfinished or (is_unproven and publishing.unproven == "draft"),
    )
    try:
        pull = publish(context.forge, context.repository, current.mirror, proposal)
    except PushRefused as error:
        if fault := repository.push_refused(current, str(error)):
            raise fault from error
        return current.concluded(Outcome.POLICY_REFUSED, str(error))
    except PullRefused as error:
        return current.concluded(Outcome.ERROR, str(error))
    repository.push_works(current)
    return _concluded_with(current, pull)


def _handed_in(context: Context, run: Run) -> PullRequest | None:
    """The pull request of a tick that died right after it made it; it may be merged by now."""
    pulls = context.forge.pulls_of_branch(context.repository.name, run.branch)
    return next((pull for pull in pulls if pull.head_sha == run.commit), None)


def _concluded_with(current: UnderWay, pull: PullRequest) -> UnderWay:
    outcome, detail = Outcome.PR_OPENED, ""
    if (result := current.run.result) is not None and result.ending in UNFINISHED:
        outcome, detail = UNFINISHED[result.ending], f"{result.detail}; handed in as a draft"
    return current.concluded(outcome, detail, pr_url=pull.html_url, pr_number=pull.number, branch=pull.head)
