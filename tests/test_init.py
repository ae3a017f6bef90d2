"""`sprint init`: what it finds, what it writes, and what it never writes."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from sprint.config import Config, ForgeConfig, load
from sprint.domain import Secret
from sprint.errors import ConfigError, SprintError
from sprint.forge import connect
from sprint.init import Named, init
from sprint.init.remotes import found_repos
from tests.around import around
from tests.servers.able import able
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel, OllamaFacts
from tests.site import Site

SECRETS = {
    "GITEA_TOKEN": "gitea-SECRET-1",
    "GITHUB_TOKEN": "github-SECRET-2",
    "OPENAI_API_KEY": "openai-SECRET-3",
}
DEAD_OLLAMA = {"OLLAMA_HOST": "127.0.0.1:1"}  # not this machine's own


def checkout(folder: Path, **remotes: str) -> Path:
    subprocess.run(["git", "init", "-q", str(folder)], check=True, timeout=20)
    for name, url in remotes.items():
        subprocess.run(["git", "-C", str(folder), "remote", "add", name, url], check=True, timeout=20)
    return folder


def run_init(folder: Path, environ: Mapping[str, str] | None = None) -> str:
    out = io.StringIO()
    variables = {"PATH": os.environ["PATH"], **DEAD_OLLAMA, **(environ or {})}
    assert init(folder, None, around(folder.parent / "home", variables, cwd=folder.parent, out=out)) == 0
    return out.getvalue()


def loaded(folder: Path, environ: Mapping[str, str] | None = None) -> Config:
    return load(folder / "sprint.yaml", around(folder.parent / "home", environ, cwd=folder))


def test_everything_that_is_found_is_in_the_file_by_name_only(tmp_path: Path) -> None:
    environ = {"GITEA_URL": "https://git.example.org/api/v1", **SECRETS}
    folder = checkout(
        tmp_path / "site",
        mirror="https://me:remote-SECRET-4@github.com/octo/widgets.git",
        origin="https://token:remote-SECRET-5@git.example.org/acme/widgets.git",
    )
    said = run_init(folder, environ)
    text = (folder / "sprint.yaml").read_text()
    config = loaded(folder, environ)
    assert config.forges == {
        "gitea": ForgeConfig(kind="gitea", url="https://git.example.org", token_env="GITEA_TOKEN"),
        "github": ForgeConfig(kind="github", token_env="GITHUB_TOKEN"),
    }
    assert [(repo.forge, repo.name) for repo in config.repos] == [("gitea", "acme/widgets")]
    assert '# - {name: "octo/widgets", forge: github}' in text
    assert config.model is not None
    assert (config.model.base_url, config.model.api_key_env) == (
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
    )
    assert "SECRET" not in text + said
    for fact in ("git.example.org", "$GITEA_TOKEN", "acme/widgets", "octo/widgets", "$OPENAI_API_KEY"):
        assert fact in said
    assert said.splitlines()[-2:] == [
        f"  sprint --config {folder}/sprint.yaml doctor",
        f"  sprint --config {folder}/sprint.yaml run --dry-run",
    ]


def test_nothing_found_is_still_a_sound_file(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    said = run_init(folder)
    config = loaded(folder)
    assert (config.repos, config.model, list(config.forges)) == ((), None, ["github"])
    assert said.count("none found") == 2
    assert "no model" in said


def uncommented(text: str) -> str:
    return re.sub(r"(?m)^( *)# ( *[a-z_]+:(?: .*)?$|- \{)", r"\1\2", text)


def test_what_is_commented_out_are_all_keys_with_their_defaults(tmp_path: Path) -> None:
    """Taking every comment mark away changes nothing, and no key of a section is missing."""
    folder = checkout(tmp_path / "site", origin="git@github.com:acme/widgets.git")
    run_init(folder, {"OPENAI_API_KEY": "k"})
    path = folder / "sprint.yaml"
    written = loaded(folder)
    path.write_text(uncommented(path.read_text()))
    raw = yaml.safe_load(path.read_text())
    assert loaded(folder) == written
    for section in ("limits", "sandbox"):
        assert set(raw["defaults"][section]) == set(getattr(written.defaults, section).__struct_fields__)
    for section in ("gateway", "pick", "publish", "follow"):
        assert set(raw[section]) == set(getattr(written.defaults, section).__struct_fields__)
    for section in ("monitor", "notify", "paths"):
        assert set(raw[section]) == set(getattr(written, section).__struct_fields__)
    elsewhere = {"name", "gateway", "pick", "publish", "follow"}
    assert set(raw["defaults"]) | elsewhere == set(written.defaults.__struct_fields__)
    assert set(raw["model"]) | {"api_key_file"} == set(written.model.__struct_fields__)  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["file", "link to nowhere", "folder"])
def test_what_is_there_stays_as_it_is(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "sprint.yaml"
    if kind == "file":
        target.write_text("repos: [mine/own]\n")
    elif kind == "folder":
        target.mkdir()
    else:
        target.symlink_to(tmp_path / "elsewhere.yaml")
    with pytest.raises(ConfigError, match="is there already and stays as it is"):
        run_init(tmp_path)
    assert not (tmp_path / "elsewhere.yaml").exists()
    assert kind != "file" or target.read_text() == "repos: [mine/own]\n"


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SprintError, match="there is no directory"):
        run_init(tmp_path / "nowhere")


def test_the_model_of_hermes_is_left_to_be_found_at_each_tick(tmp_path: Path) -> None:
    folder, home = tmp_path / "site", tmp_path / "home" / ".hermes"
    folder.mkdir()
    home.mkdir(parents=True)
    config = {
        "model": {
            "provider": "custom",
            "base_url": "http://127.0.0.1:9/v1",
            "default": "hermes-4",
            "api_key": "SECRET",
        }
    }
    (home / "config.yaml").write_text(json.dumps(config))
    (home / "gitea_token_vps").write_text("SECRET")
    said = run_init(folder, {"GITEA_URL": "https://git.example.org"})
    text = (folder / "sprint.yaml").read_text()
    assert "hermes-4" in said
    assert "hermes-4" in text
    assert "SECRET" not in text + said
    found = loaded(folder)
    assert found.model is None
    assert found.forges["gitea"].token_file == str(tmp_path / "home/.hermes/gitea_token_vps")


def test_ollamas_model_is_named(tmp_path: Path, model_server: Callable[..., DemoModel]) -> None:
    server = model_server([], ollama=OllamaFacts())
    address = server.base_url.removesuffix("/v1")
    said = run_init(tmp_path, {"OLLAMA_HOST": address})
    model = loaded(tmp_path).model
    assert model is not None
    assert (model.name, model.base_url, model.api_key_env) == (server.name, f"{address}/v1", "")
    assert f"{server.name}, from Ollama at {address}" in said


# --- git remotes -------------------------------------------------------------------------------

FORGES = {
    "gitea": ForgeConfig(kind="gitea", url="https://git.example.org"),
    "under": ForgeConfig(kind="gitea", url="http://127.0.0.1:3000/git"),
    "github": ForgeConfig(kind="github"),
}


@pytest.mark.parametrize(
    ("url", "forge", "name"),
    [
        ("https://github.com/acme/widgets", "github", "acme/widgets"),
        ("https://github.com/acme/widgets.git", "github", "acme/widgets"),
        ("https://user:secret@github.com/acme/widgets.git/", "github", "acme/widgets"),
        ("git@github.com:acme/widgets.git", "github", "acme/widgets"),
        ("github.com:acme/widgets", "github", "acme/widgets"),
        ("ssh://git@github.com/acme/widgets.git", "github", "acme/widgets"),
        ("ssh://git@ssh.github.com:443/acme/widgets.git", "github", "acme/widgets"),
        ("git://GitHub.com/acme/widgets.git", "github", "acme/widgets"),
        ("https://git.example.org/acme/widgets.git", "gitea", "acme/widgets"),
        ("https://git.example.org:443/acme/widgets.git", "gitea", "acme/widgets"),
        ("http://git.example.org/acme/widgets.git", "gitea", "acme/widgets"),
        ("git@git.example.org:acme/widgets.git", "gitea", "acme/widgets"),
        ("git@git.example.org:/acme/widgets.git", "gitea", "acme/widgets"),
        ("ssh://git@git.example.org:2222/acme/widgets.git", "gitea", "acme/widgets"),
        ("http://127.0.0.1:3000/git/acme/widgets.git", "under", "acme/widgets"),
        ("ssh://git@127.0.0.1:2222/acme/widgets.git", "under", "acme/widgets"),
        ("https://git.example.org:8443/acme/widgets.git", "", "acme/widgets"),
        ("http://127.0.0.1:3000/other/acme/widgets.git", None, ""),
        ("https://github.com.evil.example/acme/widgets.git", "", "acme/widgets"),
        ("https://github.com@evil.example/acme/widgets.git", "", "acme/widgets"),
        ("https://github.com/acme", None, ""),
        ("https://github.com/acme/widgets/extra", None, ""),
        ("https://github.com/acme/wid gets", None, ""),
        ("/srv/git/acme/widgets.git", None, ""),
        ("../widgets.git", None, ""),
        ("file:///srv/git/acme/widgets.git", None, ""),
        ("ext::sh -c 'touch owned' acme/widgets", None, ""),
        ("https://[::1/acme/widgets", None, ""),
        ("-oProxyCommand=x:acme/widgets", None, ""),
    ],
)
def test_forms_of_addresses(tmp_path: Path, url: str, forge: str | None, name: str) -> None:
    folder = checkout(tmp_path / "c")
    subprocess.run(["git", "-C", str(folder), "config", "remote.origin.url", url], check=True, timeout=20)
    found = [(repo.forge, repo.name) for repo in found_repos(folder, FORGES)]
    assert found == ([] if forge is None else [(forge, name)])


def test_a_hostile_checkout_has_its_remotes_read_and_nothing_run(tmp_path: Path) -> None:
    owned = tmp_path / "owned"
    folder = checkout(tmp_path / "c", origin="https://github.com/acme/widgets.git")
    (tmp_path / "included").write_text('[remote "sneaked"]\n\turl = https://github.com/evil/included.git\n')
    with (folder / ".git" / "config").open("a") as file:
        file.write(
            f'[core]\n\tfsmonitor = "touch {owned}"\n\thooksPath = {tmp_path}\n\tpager = touch {owned}\n'
        )
        file.write(f"[include]\n\tpath = {tmp_path}/included\n")
        file.write(
            '[remote "a\\n- {name: evil/yaml, forge: github}\\n#"]\n\turl = git@github.com:acme/odd.git\n'
        )
    run_init(folder)
    assert [repo.name for repo in loaded(folder).repos] == ["acme/widgets"]
    text = (folder / "sprint.yaml").read_text()
    assert "acme/odd" in text
    assert "evil/included" not in text
    assert not owned.exists()


def test_a_checkout_of_a_worktree_and_a_broken_one(tmp_path: Path) -> None:
    main = checkout(tmp_path / "main", origin="https://github.com/acme/widgets.git")
    subprocess.run(
        ["git", "-C", str(main), "commit", "-q", "--allow-empty", "-m", "one"], check=True, timeout=20
    )
    tree = tmp_path / "tree"
    subprocess.run(["git", "-C", str(main), "worktree", "add", "-q", str(tree)], check=True, timeout=20)
    assert [repo.name for repo in found_repos(tree, FORGES)] == ["acme/widgets"]
    (main / ".git" / "config").write_text("[broken")
    assert found_repos(main, FORGES) == []


# --- the command -------------------------------------------------------------------------------


def test_doctor_is_content_with_what_init_wrote(
    gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    gitea.add_repo("acme/widgets", {"README": "one\n"})
    model = model_server(able)
    site = Site(workspaces / "site", gitea, model)
    (site.path / "sprint.yaml").unlink()
    checkout(site.path, origin=f"{gitea.url}/acme/widgets.git")
    site.environ |= {
        "GITEA_URL": gitea.url,
        "GITEA_TOKEN": gitea.token,
        "OPENAI_BASE_URL": model.base_url,
        "OPENAI_API_KEY": model.key,
        "SPRINT_MODEL": "scripted",
    }
    done = site.sprint("init")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-2:] == ["  sprint doctor", "  sprint run --dry-run"]
    examined = site.sprint("doctor")
    assert "acme/widgets" in examined.stdout
    assert [line for line in examined.stdout.splitlines() if line.startswith("FAIL")] == []
    again = site.sprint("init")
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1
    written = (site.path / "sprint.yaml").read_text()
    assert gitea.token not in written + done.stdout
    assert model.key not in written + done.stdout


@pytest.mark.parametrize(("named", "is_told"), [((), True), (("Acme/Other",), True), (("a/b",), False)])
def test_a_checkouts_checks_are_told_of_its_own_repository_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], named: tuple[str, ...], is_told: bool
) -> None:
    folder = checkout(tmp_path / "here", origin="https://git.example.org/acme/other.git")
    (folder / "go.mod").write_text("module x\n")
    around_it = around(tmp_path, {"GITEA_URL": "https://git.example.org"}, cwd=folder)
    assert init(None, None, around_it, Named(named)) == 0
    assert ("  check       " in capsys.readouterr().out) is is_told


def test_repositories_and_who_works_on_them_may_be_named(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "here", origin="https://github.com/acme/other.git")
    environ = {"GITEA_URL": "https://git.example.org", "GITEA_TOKEN": "t"}
    around_it = around(tmp_path, environ, cwd=folder)
    assert init(None, None, around_it, Named(("acme/widgets", "octo/gears"), "hermes")) == 0
    config = load(folder / "sprint.yaml", around_it)
    assert [(repo.name, repo.forge, repo.worker) for repo in config.repos] == [
        ("acme/widgets", "gitea", "hermes"),
        ("octo/gears", "gitea", "hermes"),
    ]
    (tmp_path / "token").write_text("of-the-file\n")
    (tmp_path / "token").chmod(0o600)
    kept = Named(("acme/widgets",), token_file=tmp_path / "token")
    url = around(tmp_path, {"GITEA_URL": "https://git.example.org"}, cwd=tmp_path)
    assert init(None, tmp_path / "kept.yaml", url, kept) == 0
    written = (tmp_path / "kept.yaml").read_text()
    assert f'token_file: "{tmp_path}/token"' in written
    assert "of-the-file" not in written
    for named, says in (
        (Named(token_file=tmp_path / "none"), "--token-file: cannot read"),
        (Named(("nonsense",)), "--repo: 'nonsense' is no repository"),
        (Named(("a/b",), "command"), "--worker: 'command' is no kind of coding agent"),
    ):
        with pytest.raises(ConfigError, match=says):
            init(None, tmp_path / "other.yaml", around_it, named)
    with pytest.raises(ConfigError, match="on which forge"):
        init(None, tmp_path / "other.yaml", around(tmp_path, cwd=tmp_path), Named(("a/b",)))


def test_another_name_for_the_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sprint", "--config", "my sprint.yaml", "init"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **DEAD_OLLAMA},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert f"sprint --config '{tmp_path}/my sprint.yaml' doctor" in done.stdout
    assert (tmp_path / "my sprint.yaml").is_file()
    assert not (tmp_path / "sprint.yaml").exists()


def test_secrets_of_the_environment_go_into_files_and_ours_stay_out_of_git(
    tmp_path: Path, slept: list[float]
) -> None:
    folder = checkout(tmp_path / "site", origin="https://github.com/acme/widgets.git")
    home = tmp_path / "home"
    out = io.StringIO()
    environ = {"PATH": os.environ["PATH"], **DEAD_OLLAMA, **SECRETS, "GITEA_URL": "http://127.0.0.1:1"}
    here = around(home, environ, cwd=folder, out=out)
    assert init(None, None, here, Named(yes=True)) == 0
    kept = {path.name: path.read_text().strip() for path in (home / ".config" / "sprint").iterdir()}
    assert kept == {
        "gitea.token": SECRETS["GITEA_TOKEN"],
        "github.token": SECRETS["GITHUB_TOKEN"],
        "model.key": SECRETS["OPENAI_API_KEY"],
    }
    bare = around(home, {}, cwd=folder)
    config = load(folder / "sprint.yaml", bare)
    assert config.forges["gitea"].token_file == str(home / ".config" / "sprint" / "gitea.token")
    assert config.model is not None
    assert config.model.api_key_file == str(home / ".config" / "sprint" / "model.key")
    said = out.getvalue()
    assert "may push    not known: " in said
    assert "SECRET" not in said + (folder / "sprint.yaml").read_text()
    assert (
        subprocess.run(
            ["git", "-C", str(folder), "status", "--porcelain"], capture_output=True, check=True, timeout=20
        ).stdout
        == b""
    )
    (folder / "sprint.yaml").unlink()
    assert init(None, None, here, Named(yes=True)) == 0
    other = around(home, {**environ, "GITEA_TOKEN": "another"}, cwd=folder, out=out)
    (folder / "sprint.yaml").unlink()
    with pytest.raises(ConfigError, match=r"gitea\.token is there already, with another secret"):
        init(None, None, other, Named(yes=True))
    assert not (folder / "sprint.yaml").exists()


def test_without_a_person_nothing_is_kept_and_the_remedy_is_named(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "site", origin="https://github.com/acme/widgets.git")
    said = run_init(folder, {"GITHUB_TOKEN": "SECRET"})
    assert "`sprint init --yes` keeps $GITHUB_TOKEN in files" in said
    assert "/results/" not in (folder / ".git" / "info" / "exclude").read_text()
    assert f">> {folder}/.git/info/exclude" in said


def test_what_a_token_may_push_to_is_listed(forge_server: DemoForge) -> None:
    forge_server.add_repo("acme/widgets", {"README": "one\n"})
    forge = connect(ForgeConfig(kind=forge_server.kind, url=forge_server.url), Secret(forge_server.token))
    assert forge.writable() == ["acme/widgets"]
