"""The forge and the model that are shipped: small, and no more open than real ones."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from sprint.config import ForgeConfig
from sprint.demo.demo_gitea import DemoGitea
from sprint.demo.git_server import Commit
from sprint.demo.model import Reply, ScriptedModel
from sprint.domain import Secret
from sprint.errors import ForgeError
from sprint.forge import connect

REPO = "acme/widgets"


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[DemoGitea]:
    with DemoGitea(tmp_path / "forge") as forge:
        forge.add_repo(REPO, commits=[Commit("Start", {"README.md": "widgets\n"})])
        yield forge


@pytest.mark.parametrize("token", ["", "wrong"])
def test_the_forge_wants_its_token(forge: DemoGitea, tmp_path: Path, token: str) -> None:
    with pytest.raises(ForgeError, match="401"):
        connect(ForgeConfig(kind="gitea", url=forge.url), Secret(token)).repository(REPO)
    own = connect(ForgeConfig(kind="gitea", url=forge.url), Secret(forge.token)).repository(REPO)
    assert (own.private, own.can_push, own.empty) == (True, True, False)
    refused = clone(forge, token, tmp_path)
    assert refused.returncode != 0
    assert "Authentication failed" in refused.stderr or "could not read" in refused.stderr
    assert clone(forge, forge.token, tmp_path).returncode == 0


def clone(forge: DemoGitea, token: str, folder: Path) -> subprocess.CompletedProcess[str]:
    url = forge.url.replace("://", f"://anyone:{token}@") + f"/{REPO}.git"
    argv = ["git", "clone", "-q", url, "clone"]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60)


def test_what_is_not_there_is_not_found(forge: DemoGitea) -> None:
    client = connect(ForgeConfig(kind="gitea", url=forge.url), Secret(forge.token))
    for ask in (lambda: client.repository("acme/none"), lambda: client.issue(REPO, 1)):
        with pytest.raises(ForgeError) as caught:
            ask()
        assert caught.value.status == 404
    headers = {"Authorization": f"token {forge.token}"}
    assert requests.get(f"{forge.url}/api/v1/nonsense", headers=headers, timeout=5).status_code == 404
    assert requests.get(f"{forge.url}/nonsense", headers=headers, timeout=5).status_code == 404


def test_the_model_wants_its_key_and_its_name() -> None:
    with ScriptedModel(lambda _request, _number: Reply("hello")) as model:
        url = f"{model.base_url}/chat/completions"

        def ask(key: str, name: str) -> int:
            headers = {"Authorization": f"Bearer {key}"}
            body = {"model": name, "messages": [], "stream": True}
            return requests.post(url, json=body, headers=headers, timeout=5).status_code

        assert ask(model.key, model.name) == 200
        assert ask("wrong", model.name) == 401
        assert ask(model.key, "absent") == 404
        assert model.answers == 1
