"""What both dialects keep of a pull request's reviews, threads, checks and pushes."""

from __future__ import annotations

from typing import Any

from sprint.demo.gitea_api import ApiError, Call, Handler
from sprint.demo.loopback import Answer
from tests.servers.rest import may
from tests.servers.store import StoredIssue, StoredLine, StoredReview


def review_of(call: Call, pull: StoredIssue) -> StoredReview:
    assert pull.pull is not None
    number = int(call.args["id"])
    found = next((review for review in pull.pull.reviews if review.id == number), None)
    if found is None:
        raise ApiError(404, "not found")
    return found


def reply(call: Call, pull: StoredIssue) -> tuple[StoredReview, StoredLine]:
    """One more comment at the line of the one that the path names."""
    assert pull.pull is not None
    for review in pull.pull.reviews:
        for line in review.lines:
            if line.id == int(call.args["id"]):
                body = call.request.json()["body"]
                return review, call.store.add_line(pull, review, call.login or "", body, line.path, line.line)
    raise ApiError(404, "not found")


ACTIONS = "/repos/(?P<repo>[^/]+/[^/]+)/actions"


def logs() -> dict[str, Handler]:
    """Runs, jobs and logs of CI, as both dialects tell of them; a run and a job for each failed commit."""

    def numbered(call: Call) -> list[tuple[int, str]]:
        return list(enumerate(call.repo.logs, 1))

    def runs(call: Call) -> Any:
        found = [{"id": n, "head_sha": sha, "name": "ci", "status": "completed"} for n, sha in numbered(call)]
        held = [
            {"id": 99, "head_sha": sha, "name": "ci.yml", "conclusion": "action_required"}
            for sha in call.repo.held
        ]
        return {"workflow_runs": [*found, *held]}

    def jobs(call: Call) -> Any:
        run = int(call.args["id"])
        names = list(call.repo.logs[dict(numbered(call))[run]])
        found = [{"id": 100 * run + place, "name": name} for place, name in enumerate(names)]
        return {"jobs": [{**job, "conclusion": "failure"} for job in found]}

    def log(call: Call) -> Any:
        run, place = divmod(int(call.args["id"]), 100)
        texts = list(call.repo.logs[dict(numbered(call))[run]].values())
        return Answer(200, texts[place].encode(), {"Content-Type": "text/plain"})

    return {
        f"GET {ACTIONS}/runs": runs,
        f"GET {ACTIONS}/runs/(?P<id>[0-9]+)/jobs": jobs,
        f"GET {ACTIONS}/jobs/(?P<id>[0-9]+)/logs": log,
    }


def ask_for_review(call: Call, pull: StoredIssue) -> Any:
    assert pull.pull is not None
    for login in call.request.json()["reviewers"]:
        if login not in call.store.users:
            raise ApiError(404, "not found")
        pull.pull.asked.append(login)


def create_label(call: Call) -> str:
    if not may(call, "write"):
        raise ApiError(403, "write permission is required")
    name = call.request.json().get("name")
    if not name:
        raise ApiError(422, "[Name]: Required")
    call.store.name_label(call.repo, name)
    return str(name)
