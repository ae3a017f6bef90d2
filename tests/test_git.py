"""The door to git, against git over HTTP on loopback."""

from __future__ import annotations

import base64
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from sprint import git
from sprint.beside import Beside
from sprint.domain import Completed, Secret
from sprint.errors import ForgeError, SprintError, Stopped
from sprint.git.server_errors import remote_fault
from tests.servers.forge import DemoForge, Fault
from tests.servers.loopback import Answer, LoopbackServer

REPO = "octo/widgets"
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def forge(gitea: DemoForge) -> DemoForge:
    gitea.add_repo(REPO, {"README.md": "widgets\n"}, "trunk", private=True)
    return gitea


@pytest.fixture
def store(tmp_path: Path) -> Path:
    git.init_bare(tmp_path / "store.git")
    return tmp_path / "store.git"


def remote_of(forge: DemoForge, token: str | None = None, repo: str = REPO) -> git.Remote:
    return git.Remote(f"{forge.url}/{repo}.git", Secret(forge.token if token is None else token))


def make(store: Path, message: str = "one", *parents: str) -> str:
    return git.commit_tree(store, git.EMPTY_TREE, parents, message, "Ann", "ann@example.org", WHEN)


# --- servers ---


def test_reads_and_fetches_a_private_repository(forge: DemoForge, store: Path) -> None:
    remote = remote_of(forge)
    refs = git.ls_remote(remote, "refs/heads/*")
    assert list(refs) == ["refs/heads/trunk"]
    git.fetch(store, remote, "+refs/heads/*:refs/heads/*")
    assert git.resolve(store, "refs/heads/trunk") == refs["refs/heads/trunk"]
    assert git.ls_remote(remote, "refs/sprint/*") == {}
    assert "HEAD" in git.ls_remote(remote)


def test_many_refs_are_fetched_as_one_file(forge: DemoForge, store: Path, tmp_path: Path) -> None:
    remote, pattern = remote_of(forge), "refs/sprint/*"
    for number in range(3):
        sha = make(store, f"state {number}", make(store))
        git.push(store, remote, sha, f"refs/sprint/issue-{number}", expected="")
    for name in ("one", "other"):
        git.init_bare(tmp_path / name)
    assert not git.fetch_many(tmp_path / "one", remote, pattern, fewest=4)
    assert git.read_refs(tmp_path / "one", "refs/") == {}
    assert git.fetch_many(tmp_path / "one", remote, pattern, fewest=3)
    assert not (tmp_path / "one/refs/sprint").exists()
    git.fetch(tmp_path / "other", remote, f"+{pattern}:{pattern}")
    found = git.read_refs(tmp_path / "one", "refs/")
    assert (len(found), found) == (3, git.read_refs(tmp_path / "other", "refs/"))
    assert git.git("fsck", "--strict", git_dir=tmp_path / "one").ok


def test_the_tail_of_a_name_is_not_the_name(forge: DemoForge, store: Path) -> None:
    remote = remote_of(forge)
    git.push(store, remote, make(store), "refs/x/refs/heads/trunk", expected="")
    assert list(git.ls_remote(remote, "refs/heads/trunk")) == ["refs/heads/trunk"]


def test_push_is_a_compare_and_swap(forge: DemoForge, store: Path) -> None:
    remote, ref = remote_of(forge), "refs/sprint/issue-1"
    one, other = make(store), make(store, "other")
    assert git.push(store, remote, one, ref, expected="") == (git.PushResult.OK, "")
    assert git.push(store, remote, other, ref, expected="")[0] is git.PushResult.LOST_RACE
    assert git.push(store, remote, other, ref, expected=one)[0] is git.PushResult.OK
    assert git.ls_remote(remote, ref) == {ref: other}


def test_a_plain_push_is_never_forced(forge: DemoForge, store: Path) -> None:
    remote, ref = remote_of(forge), "refs/heads/feat"
    one = make(store)
    two = make(store, "two", one)
    assert git.push(store, remote, two, ref, expected=None)[0] is git.PushResult.OK
    assert git.push(store, remote, one, ref, expected=None)[0] is git.PushResult.LOST_RACE
    assert (
        git.push(store, remote, make(store, "aside", one), ref, expected=None)[0] is git.PushResult.LOST_RACE
    )
    assert git.ls_remote(remote, ref) == {ref: two}


def test_deleting_needs_to_know_what(forge: DemoForge, store: Path) -> None:
    remote, ref = remote_of(forge), "refs/sprint/issue-1"
    one, other = make(store), make(store, "other")
    git.push(store, remote, one, ref, expected="")
    assert git.delete_ref(store, remote, ref, expected=other) is git.PushResult.LOST_RACE
    with pytest.raises(git.GitError, match="refusing to delete"):
        git.delete_ref(store, remote, ref, expected="")
    assert git.ls_remote(remote, ref)
    assert git.delete_ref(store, remote, ref, expected=one) is git.PushResult.OK
    assert git.delete_ref(store, remote, ref, expected=one) is git.PushResult.LOST_RACE
    assert not git.ls_remote(remote, ref)


@pytest.mark.parametrize("sha", ["", "HEAD", "trunk", "abc123", "0" * 39, "-d", "--mirror", "g" * 40])
def test_only_a_full_commit_id_is_pushed(forge: DemoForge, store: Path, sha: str) -> None:
    with pytest.raises(git.GitError, match="refusing to push"):
        git.push(store, remote_of(forge), sha, "refs/heads/trunk", expected=None)
    assert git.ls_remote(remote_of(forge), "refs/heads/trunk")


@pytest.mark.parametrize(
    "ref", ["trunk", "refs/heads/a b", "refs/heads/../x", "--all", "refs/heads/x:y", "+refs/x"]
)
def test_only_a_full_ref_name_is_pushed_to(store: Path, ref: str) -> None:
    with pytest.raises(git.GitError, match="refusing to push"):
        git.push(store, git.Remote("http://127.0.0.1:1/a/b.git"), make(store), ref, expected=None)


def test_a_hook_of_the_server_says_why(forge: DemoForge, store: Path) -> None:
    hook = forge.path(REPO) / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nprintf '\\033[31mGitea: branch trunk is protected\\033[0m\\n' >&2; exit 1\n")
    hook.chmod(0o755)
    result, why = git.push(store, remote_of(forge), make(store), "refs/heads/x", expected="")
    assert result is git.PushResult.REJECTED
    assert why == "Gitea: branch trunk is protected; pre-receive hook declined"


def test_what_gitea_says_is_told_without_its_frame(forge: DemoForge, store: Path) -> None:
    forge.protect(REPO, "x")
    result, why = git.push(store, remote_of(forge), make(store), "refs/heads/x", expected="")
    assert result is git.PushResult.REJECTED
    assert why == "Not allowed to push to protected branch x; pre-receive hook declined"


def test_a_missing_workflow_scope_is_recognised(forge: DemoForge, store: Path) -> None:
    hook = forge.path(REPO) / "hooks/update"
    hook.parent.mkdir(exist_ok=True)
    words = (
        "refusing to allow a Personal Access Token to create or update workflow `x` without `workflow` scope"
    )
    hook.write_text(f"#!/bin/sh\necho '{words}' >&2; exit 1\n")
    hook.chmod(0o755)
    result, why = git.push(store, remote_of(forge), make(store), "refs/heads/x", expected="")
    assert result is git.PushResult.REJECTED
    assert git.is_workflow_refusal(why)
    assert not git.is_workflow_refusal("pre-receive hook declined")


def test_a_token_is_sent_at_once_and_to_no_other_server(forge: DemoForge, store: Path) -> None:
    git.push(store, remote_of(forge), make(store), "refs/heads/x", expected="")
    first = [seen for seen in forge.requests if seen.path.endswith("info/refs")]
    assert [(seen.status, seen.has_token) for seen in first] == [(200, True)]
    with LoopbackServer(lambda request: Answer(404)) as elsewhere:
        moved = {"Location": f"{elsewhere.url}/octo/widgets.git/info/refs"}
        forge.faults.append(Fault("info/refs", status=302, headers=moved, times=None))
        with pytest.raises(ForgeError, match="moved"):
            git.ls_remote(remote_of(forge))
        assert elsewhere.requests == []


# --- what fails ---

FAULTS = {
    "forbidden": (Fault("info/refs", status=403), 403, "forbids"),
    "gone": (Fault("info/refs", status=404), 404, "no repository octo/widgets"),
    "moved": (Fault("info/refs", status=302, headers={"Location": "http://127.0.0.1:1/x"}), 301, "moved"),
    "busy": (Fault("info/refs", status=429), 429, "limits our requests"),
    "failing": (Fault("info/refs", status=503), 503, "HTTP 503"),
    "hung up": (Fault("info/refs", drop=True), None, "broke off|cannot reach"),
    "cut": (Fault("git-upload-pack", truncate=True), None, "broke off|not git"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_one_clear_sentence(
    forge: DemoForge, store: Path, name: str, slept: list[float]
) -> None:
    fault, status, sentence = FAULTS[name]
    fault.times = None
    forge.faults.append(fault)
    with pytest.raises(ForgeError, match=sentence) as caught:
        git.fetch(store, remote_of(forge), "+refs/heads/*:refs/heads/*", timeout=30)
    assert caught.value.status == status
    said = str(caught.value)
    assert "\n" not in said
    assert forge.token not in said
    assert "127.0.0.1" in said


@pytest.mark.parametrize("token", ["", "wrong-token"])
def test_a_refused_token_is_named_as_such(forge: DemoForge, token: str) -> None:
    with pytest.raises(ForgeError, match="does not accept") as caught:
        git.ls_remote(remote_of(forge, token))
    assert caught.value.status == 401
    assert "wrong-token" not in str(caught.value)


def test_a_missing_repository_is_named(forge: DemoForge) -> None:
    with pytest.raises(ForgeError, match="no repository octo/nothing"):
        git.ls_remote(remote_of(forge, repo="octo/nothing"))


def test_a_missing_branch_is_named(forge: DemoForge, store: Path) -> None:
    with pytest.raises(ForgeError, match=r"octo/widgets .* has no refs/heads/nope"):
        git.fetch(store, remote_of(forge), "+refs/heads/nope:refs/heads/x")


def test_a_login_page_has_no_branch(forge: DemoForge, store: Path) -> None:
    page = {"Content-Type": "text/html"}
    forge.faults.append(Fault("info/refs", status=200, headers=page, body="<html>Log in</html>", times=None))
    with pytest.raises(ForgeError, match=r"has no refs/heads/trunk.* that the address is git's"):
        git.fetch(store, remote_of(forge), "+refs/heads/trunk:refs/heads/trunk")


def test_nobody_listening_is_named(slept: list[float]) -> None:
    with pytest.raises(ForgeError, match=r"cannot reach 127\.0\.0\.1:1"):
        git.ls_remote(git.Remote("http://127.0.0.1:1/a/b.git"))


def test_a_silent_server_ends_with_the_time_limit(forge: DemoForge, slept: list[float]) -> None:
    forge.faults.append(Fault("info/refs", hang=4, times=None))
    with pytest.raises(ForgeError, match="did not answer in time"):
        git.ls_remote(remote_of(forge), timeout=0.5)


@pytest.mark.parametrize("url", ["ext::sh -c id", "ssh://x/y", "-u", "git@host:a/b", "relative/path"])
def test_other_transports_are_refused(url: str) -> None:
    with pytest.raises(SprintError, match="cannot use"):
        git.Remote(url)


def test_credentials_in_an_address_are_refused() -> None:
    with pytest.raises(SprintError, match="credentials") as caught:
        git.Remote("https://me:hunter2@example.org/a/b.git")
    assert "hunter2" not in str(caught.value)


def test_a_token_with_a_line_break_is_refused() -> None:
    with pytest.raises(SprintError, match="characters that no token has"):
        git.ls_remote(git.Remote("http://127.0.0.1:1/a/b.git", Secret("a\nhost=evil")))


# --- the token ---


def forms(token: str) -> list[bytes]:
    data = token.encode()
    return [data, base64.b64encode(data), data.hex().encode(), quote(token, safe="").encode()]


@contextmanager
def sampling(own: int) -> Iterator[dict[str, bytes]]:
    """Arguments and environment of every process but this one, as often as can be read meanwhile."""
    seen: dict[str, bytes] = {}
    stop = threading.Event()

    def sample() -> None:
        while not stop.is_set():
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit() and int(entry.name) != own:
                    for name in ("cmdline", "environ"):
                        try:
                            content = (entry / name).read_bytes()
                        except OSError:
                            continue
                        seen[f"{name} {content[:4000]!r}"] = content

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def test_the_token_shows_in_no_argument_environment_or_file(
    forge: DemoForge, store: Path, tmp_path: Path
) -> None:
    remote = remote_of(forge)
    forge.faults.append(Fault("git-receive-pack", hang=0.3, times=None))
    with sampling(os.getpid()) as seen:
        assert git.push(store, remote, make(store), "refs/heads/x", expected="")[0] is git.PushResult.OK
    sampled = b"\n".join(seen.values())
    assert b"git-remote-http" in sampled or b"remote-http" in sampled  # the sampling did see it at work
    kept = b"".join(path.read_bytes() for path in store.rglob("*") if path.is_file())
    for form in forms(forge.token):
        assert form not in sampled
        assert form not in kept
    authorized = [seen for seen in forge.requests if seen.headers.get("authorization")]
    assert authorized  # and yet it was sent


def test_the_sampling_finds_a_token_that_is_passed_carelessly(forge: DemoForge, store: Path) -> None:
    careless = forge.url.replace("://", f"://x:{forge.token}@") + f"/{REPO}.git"
    forge.faults.append(Fault("info/refs", hang=0.3, times=None))
    with sampling(os.getpid()) as seen:
        git.git("ls-remote", careless, git_dir=store, env={"GIT_ALLOW_PROTOCOL": "http"})
    assert forge.token.encode() in b"\n".join(seen.values())


def test_the_token_goes_to_its_own_host_only(forge: DemoForge, github: DemoForge, store: Path) -> None:
    github.add_repo(REPO, {"a": "a"}, private=True)
    forge.faults.append(
        Fault("info/refs", status=302, headers={"Location": f"{github.url}/{REPO}.git/info/refs"})
    )
    with pytest.raises(ForgeError):
        git.ls_remote(remote_of(forge))
    assert not [seen for seen in github.requests if "git" in seen.path]


def test_the_credential_helper_answers_for_one_host_and_port(forge: DemoForge) -> None:
    from sprint.git.remote import _credentials

    remote = git.Remote("https://git.example.org:8443/a/b.git", Secret("t0ken"))
    with _credentials(remote) as (options, fds):

        def ask(origin: str) -> str:
            protocol, _, host = origin.partition("://")
            question = f"protocol={protocol}\nhost={host}\n\n".encode()
            return git.git(*options, "credential", "fill", stdin=question, pass_fds=fds, check=False).out

        assert "password=t0ken" in ask("https://git.example.org:8443")
        assert "password=t0ken" in ask("https://git.example.org:8443")  # and again
        for other in (
            "http://git.example.org:8443",
            "https://git.example.org",
            "https://git.example.org.evil.com:8443",
            "https://evil.org:8443",
        ):
            assert "t0ken" not in ask(other)


def test_nothing_of_the_runners_environment_reaches_git(
    forge: DemoForge, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = tmp_path / "canary"
    config = tmp_path / "evil.config"
    config.write_text(f'[url "http://127.0.0.1:1/"]\n\tinsteadOf = {forge.url}/\n')
    for name, value in {
        "GIT_CONFIG_GLOBAL": str(config),
        "GIT_TRACE": str(canary),
        "GIT_TRACE_CURL": str(canary),
        "GIT_ASKPASS": "/bin/false",
        "GIT_DIR": "/nonexistent",
        "GIT_PROXY_COMMAND": "/bin/false",
    }.items():
        monkeypatch.setenv(name, value)
    assert git.ls_remote(remote_of(forge))
    assert not canary.exists()


def test_the_operators_proxy_is_used(
    forge: DemoForge, monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with pytest.raises(ForgeError, match="cannot reach"):
        git.ls_remote(remote_of(forge))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert git.ls_remote(remote_of(forge))


# --- our own repositories ---


def test_init_bare_is_idempotent_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.git"
    git.init_bare(path)
    one = make(path)
    git.init_bare(path)
    assert git.resolve(path, one) == one
    assert [entry.name for entry in path.parent.iterdir()] == ["b.git"]
    assert not (path / "hooks").exists()


def test_init_bare_from_many_threads_gives_one_repository(tmp_path: Path) -> None:
    path = tmp_path / "b.git"
    threads = [threading.Thread(target=git.init_bare, args=(path,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [entry.name for entry in tmp_path.glob("*.git")] == ["b.git"]
    assert make(path)
    assert not list(tmp_path.glob(".b.git*"))


def test_the_same_commit_twice_has_one_id(store: Path) -> None:
    assert make(store) == make(store)
    text = git.git("cat-file", "commit", make(store), git_dir=store).out
    assert "author Ann <ann@example.org> 1767323045 +0000" in text


@pytest.mark.parametrize("message", ["one", "two\n\nbody\n", "grüße \u2028 \ud800", "m\0x", ""])
def test_a_commit_without_files_is_the_one_that_git_would_make(
    store: Path, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make(store)
    ours = [
        make(store, message),
        make(store, message, first),
        make(store, message, first, make(store, "two")),
    ]
    monkeypatch.setattr("sprint.git.objects._are_loose_commits", lambda *_: False)
    gits = [
        make(store, message),
        make(store, message, first),
        make(store, message, first, make(store, "two")),
    ]
    assert ours == gits
    assert git.git("fsck", "--strict", git_dir=store).ok


def test_the_digest_of_a_change_ends_once_nobody_waits_for_it(store: Path, tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("new\n")
    git.git("add", "new.txt", git_dir=store, work_tree=tmp_path)
    tree = git.git("write-tree", git_dir=store).out.strip()
    (store / "info").mkdir(exist_ok=True)
    os.mkfifo(store / "info/attributes")  # where git waits
    digest = Beside(lambda watch: git.patch_id(store, git.EMPTY_TREE, tree, watch))
    digest.stop()
    assert digest.is_done
    with pytest.raises(Stopped):
        digest.result()


@pytest.mark.parametrize(
    ("name", "email"),
    [("Ann B.", "a@b"), ("'Ann', \"B\" ", ".a@b;"), ("\\ann\\", "a b"), (" . ", "@"), ("\x85B", ",,")],
)
def test_an_author_without_files_is_the_one_that_git_would_write(
    store: Path, name: str, email: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = git.commit_tree(store, git.EMPTY_TREE, [], "m", name, email, WHEN)
    monkeypatch.setattr("sprint.git.objects._are_loose_commits", lambda *_: False)
    assert git.commit_tree(store, git.EMPTY_TREE, [], "m", name, email, WHEN) == ours


def test_what_is_not_there_or_no_commit_is_no_parent(store: Path) -> None:
    blob = git.git("hash-object", "-w", "--stdin", git_dir=store, stdin=b"x").out.strip()
    for parent in (blob, "1" * 40):
        with pytest.raises(git.GitError):
            make(store, "one", parent)


def test_names_and_messages_cannot_forge_a_commit_header(store: Path) -> None:
    sha = git.commit_tree(store, git.EMPTY_TREE, [], "m\0x", "A\nparent 0", "a@b>\ncommitter x <", WHEN)
    text = git.git("cat-file", "commit", sha, git_dir=store).out
    assert re.match(r"tree \w{40}\nauthor [^\n<>]* <[^\n<>]*> \d+ \+0000\ncommitter [^\n]*\n\nmx\n?$", text)


def test_refs_are_read_with_whatever_is_in_their_messages(store: Path) -> None:
    nasty = 'refs/sprint/issue-2\n0123\n{"state": "claimed"}\n\n\x01 \u2028end'
    git.update_ref(store, "refs/sprint/issue-1", make(store, nasty))
    git.update_ref(store, "refs/sprint/issue-2", make(store, "plain"))
    refs = git.read_refs(store, "refs/sprint/")
    assert set(refs) == {"refs/sprint/issue-1", "refs/sprint/issue-2"}
    assert refs["refs/sprint/issue-1"] == (make(store, nasty), nasty)
    git.update_ref(store, "refs/sprint/issue-2", None)
    assert set(git.read_refs(store, "refs/sprint/")) == {"refs/sprint/issue-1"}


def test_log_and_ancestry(store: Path) -> None:
    one = make(store)
    two = make(store, "two\n\nbody", one)
    assert git.log(store, two) == [(two, "two\n\nbody"), (one, "one")]
    assert git.is_ancestor(store, one, two)
    assert git.is_ancestor(store, one[:10].upper(), two)
    assert not git.is_ancestor(store, two, one)
    for odd in ("", "--help", "HEAD", "zzz", "0" * 40, f"{one}^{{tree}}"):
        assert not git.is_ancestor(store, odd, two)


def test_resolve_knows_what_it_does_not_know(store: Path) -> None:
    assert git.resolve(store, "refs/heads/none") is None
    assert git.resolve(store, "--all") is None
    assert git.resolve(store, "") is None
    assert git.resolve(store, make(store), "tree") == git.EMPTY_TREE


def blob(store: Path, data: bytes) -> str:
    return git.git("hash-object", "-w", "--stdin", git_dir=store, stdin=data).out.strip()


def test_blobs_are_read_raw_and_capped(store: Path) -> None:
    small, large, packed = blob(store, b"\0\r\nraw"), blob(store, b"x" * 5000), blob(store, b"packed")
    git.git(
        "pack-objects", "-q", str(store / "objects/pack/pack"), git_dir=store, stdin=f"{packed}\n".encode()
    )
    git.git("prune-packed", "-q", git_dir=store)
    commit = make(store)
    found = git.read_blobs(store, [small, large, packed, commit, "0" * 40], 1000)
    assert found == {small: b"\0\r\nraw", packed: b"packed"}
    assert git.sizes(store, [large, commit, "0" * 40]) == {
        large: git.Blob("blob", 5000),
        commit: git.sizes(store, [commit])[commit],
        "0" * 40: git.Blob("missing", 0),
    }
    assert git.sizes(store, []) == {}


def test_a_local_failure_is_one_line(store: Path) -> None:
    with pytest.raises(git.GitError, match="git write-tree failed") as caught:
        git.git("write-tree", "--no-such-option", git_dir=store)
    assert "\n" not in str(caught.value)


def test_a_server_that_talks_without_end_is_understood_in_time() -> None:
    said = Completed(128, b"", b"remote: " + b"Permission to " * 20_000 + b"\nfatal: the error: 404\n")
    started = time.process_time()
    assert remote_fault("https://h.example/a/b", None, "read", said).status == 404
    assert time.process_time() - started < 2
