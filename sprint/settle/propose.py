"""Proven work becomes a pull request, if it is still wanted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sprint import git, prompts, workspace
from sprint.context import Context
from sprint.domain import Outcome, PullRequest, Run
from sprint.gateway import journal
from sprint.publish import Proposal, PullRefused, PushRefused, publish
from sprint.settle import repository
from sprint.settle.drafts import is_draft
from sprint.settle.hand_back import hand_back
from sprint.settle.prove import UNFINISHED
from sprint.settle.public_text import public_text, with_public_words
from sprint.settle.under_way import UnderWay

# As GitHub, Gitea and Forgejo look for it, whatever case it is written in.
_TEMPLATE_FOLDERS = (".forgejo/", ".gitea/", ".github/", "", "docs/")
_PLAIN_FILES = ("100644", "100755")
_LARGEST_TEMPLATE = 65_536  # bytes


def propose(current: UnderWay) -> UnderWay:
    """Phase verified. Raises ForgeError where the forge is away: the work waits for a later tick."""
    run, context = current.run, current.context
    if run.is_follow_up:
        return hand_back(current)
    is_pushed = _is_first(current) and current.held_lease.confirm_with(
        current.objects, run.commit, run.branch
    )
    if not is_pushed:
        current.held_lease.confirm()
    if reason := current.held_lease.reason_to_stop():
        pull = _handed_in(context, run)
        return _concluded_with(current, pull) if pull else current.concluded(Outcome.CANCELLED, reason)
    publishing = context.repo_config.publish
    proposal = Proposal(
        commit=run.commit,
        branch=run.branch,
        base=run.base_branch,
        title=public_text(context, run, prompts.pull_request_title(run.title, run.issue, run.labels)),
        body=public_text(
            context, run, prompts.pull_request_body(with_public_words(context, run), _facts(current))
        ),
        draft=is_draft(publishing, run),
    )
    try:
        pull = publish(
            *(context.forge, context.repository, current.objects, proposal),
            via=publishing.via,
            is_pushed=is_pushed,
        )
    except PushRefused as error:
        if fault := repository.push_refused(current, str(error)):
            raise fault from error
        return current.concluded(Outcome.POLICY_REFUSED, str(error))
    except PullRefused as error:
        return current.concluded(Outcome.ERROR, str(error))
    repository.push_works(current)
    return _concluded_with(current, pull)


def _is_first(current: UnderWay) -> bool:
    """Whether there can be no branch of ours yet, under this name or another, and one push makes it.

    A tick that died may have pushed: then all names that it may have taken are looked at first.
    """
    return current.is_just_proven and current.context.repo_config.publish.via == "repository"


def _facts(current: UnderWay) -> prompts.PullRequestFacts:
    run, address = current.run, current.context.config.monitor.address
    seconds = (datetime.now(UTC) - run.started_at).total_seconds() - run.paused_s
    return prompts.PullRequestFacts(
        changes=workspace.diffstat(current.objects, run.base_sha, run.tree),
        seconds=max(seconds, 0.0),
        refused=journal.count_refused(current.folder),
        page=f"{address}/runs/{run.id}/" if address else "",
        template=_template(current.objects, run.base_sha),
    )


def _template(objects: Path, base: str) -> str:
    """What the repository has people begin a pull request with; "" for nothing."""
    files = {path.lower(): found for path, found in git.ls_tree(objects, base).items()}
    for folder in _TEMPLATE_FOLDERS:
        for ending in (".md", ".txt", ""):
            mode, sha = files.get(f"{folder}pull_request_template{ending}", ("", ""))
            if mode in _PLAIN_FILES:
                text = git.read_blobs(objects, [sha], _LARGEST_TEMPLATE).get(sha, b"")
                return text.decode("utf-8", "replace")
    return ""


def _handed_in(context: Context, run: Run) -> PullRequest | None:
    """The pull request of a tick that died right after it made it; it may be merged by now."""
    forge, repository = context.forge, context.repository
    pulls = forge.pulls_of_branch(repository.name, run.branch)
    if context.repo_config.publish.via == "fork" and (fork := forge.find_fork(repository)):
        pulls += forge.pulls_of_branch(repository.name, run.branch, head_repo=fork.name)
    return next((pull for pull in pulls if pull.head_sha == run.commit), None)


def _concluded_with(current: UnderWay, pull: PullRequest) -> UnderWay:
    outcome, detail = Outcome.PR_OPENED, ""
    if (result := current.run.result) is not None and result.ending in UNFINISHED:
        outcome, detail = UNFINISHED[result.ending], f"{result.detail}; handed in as a draft"
    return current.concluded(outcome, detail, pr_url=pull.html_url, pr_number=pull.number, branch=pull.head)
