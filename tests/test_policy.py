"""What may be pushed, judged on real trees."""

from __future__ import annotations

import base64
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from sprint import git
from sprint.clean_text import code_cell, quote_block
from sprint.config import PublishConfig
from sprint.domain import Refusal, Secret
from sprint.policy import ScanUnfinished, judge, public
from sprint.policy.protected import PROTECTED
from sprint.policy.scanner import Scanner
from tests.tree_store import BASE_FILES, GITHUB, Store

# Made up here in pieces, so that no scanner takes this file for a leak.
FINE = "github_pat_" + "11ABCDEFG0123456789abc" + "_" + "aB3" * 19 + "zz"
AWS = "AKIA" + "QWERTYUIOPASDFGH"
SLACK = "xoxb-" + "123456789012-123456789012-" + "aB3dE5gH7jK9mN1pQ3sT5vW7"
STRIPE = "sk_live_" + "aB3dE5gH7jK9mN1pQ3sT5vW7"
PASSWORD = "Tr0ub4dor" + "xKq9-vv"
KEY = (
    "-----BEGIN RSA PRIVATE "
    + "KEY-----\n"
    + "MIIEpAIBAAKCAQEA7bq9S4nXk2uQpZ\nq8Hv"
    + "aB3dE5gH7jK9" * 20
    + "\n"
)

PEM_END = "-----END RSA PRIVATE " + "KEY-----"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    git.init_bare(tmp_path / "store.git")
    return Store(tmp_path / "store.git")


def test_ordinary_work_may_be_pushed(store: Store) -> None:
    work = {
        "lib/a.py": b"A = 2\n",
        "lib/new.py": "Text with ümläuts and emoji 🎉\n".encode(),
        "lib/link": "a.py",
        "up": "lib/../README.md",
        "docs/.github-notes.md": b"x\n",
        ".github/ISSUE_TEMPLATE.md": b"x\n",
        "image.png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20,
        ".gitignore": b"*.log\n",
        ".gitattributes": b"* text=auto\n",
        "naïve name ü.txt": b"x\n",
    }
    assert store.judge(work) == ()


def test_nothing_is_refused(store: Store) -> None:
    assert store.judge({}) == (Refusal("", "nothing was changed"),)


@pytest.mark.parametrize(
    "work",
    [
        {".github/workflows/ci.yml": b"evil\n"},
        {".github/workflows/ci.yml": None},
        {".github/workflows/new.yml": b"x\n"},
        {".github/workflows/sub/new.yml": b"x\n"},
        {".GitHub/Workflows/new.yml": b"x\n"},
        {".github/workflows/ci.yml": None, "ci.yml": b"on: push\n"},
        {".gitea/workflows/x.yml": b"x\n"},
        {".gitea/workflows": "../lib"},
        {".forgejo": "lib"},
        {".github/workflows/ci.yml": None, ".github": b"a file now\n"},
    ],
)
def test_protected_paths_stay_as_they_are(store: Store, work: Mapping[str, object]) -> None:
    assert "protected" in store.judge(work)[0].reason


ACTING = """
    .github/workflows/ci.yml .github/actions/x/index.js .gitea/workflows/x.yml
    .forgejo/workflows/x.yml .gitlab-ci.yml .woodpecker.yml .woodpecker/test.yaml .drone.yml
    .drone.star .circleci/config.yml .travis.yml Jenkinsfile ci/Jenkinsfile azure-pipelines.yml
    .azure-pipelines/x.yml .buildkite/pipeline.yml action.yml tools/my-action/action.yaml CODEOWNERS
    docs/CODEOWNERS .gitlab/CODEOWNERS .github/dependabot.yml renovate.json .github/renovate.json5
    .renovaterc .husky/pre-commit lefthook.yml .lefthook.toml .pre-commit-config.yaml
    .vscode/tasks.json web/.vscode/tasks.json .devcontainer/devcontainer.json .devcontainer.json
    .envrc sub/.envrc .npmrc web/.npmrc AGENTS.md CLAUDE.md sub/AGENTS.md .cursor/rules/x.mdc
    .claude/settings.json skills/debugging/SKILL.md
"""


def test_what_acts_before_anybody_has_looked_is_protected(store: Store) -> None:
    paths = ACTING.split()
    assert protected_in(store, dict.fromkeys(paths, b"x\n")) == set(paths)
    base = {**BASE_FILES, **dict.fromkeys(paths, b"x\n")}
    for change in (b"y\n", None, "README.md"):
        assert protected_in(store, dict.fromkeys(paths, change), base=base) == set(paths)
    allowed = {"max_files": 1000, "allow": tuple(paths)}
    assert store.judge(dict.fromkeys(paths, b"y\n"), base=base, **allowed) == ()


def test_each_protected_entry_is_one(store: Store) -> None:
    entries = [entry for entries in PROTECTED.values() for entry in entries]
    paths = {entry.replace("**/", deep).replace("*", "x") for entry in entries for deep in ("", "deep/er/")}
    paths = {f"{path}x" if path.endswith("/") else path for path in paths}
    assert protected_in(store, dict.fromkeys(paths, b"x\n")) == paths


def protected_in(
    store: Store, new: Mapping[str, object], base: Mapping[str, object] = BASE_FILES
) -> set[str]:
    refused = store.judge(new, base=base, max_files=1000)
    return {refusal.path for refusal in refused if "is protected: " in refusal.reason}


def test_protection_is_added_to_and_taken_out_of_by_configuration(store: Store) -> None:
    protected = ("CODEOWNERS", "./lib/", "/settings.py", "**/secret*.txt")
    for path in ("CODEOWNERS", "lib/a.py", "settings.py", "codeowners", "a/b/secrets.txt", "lib"):
        new = {name: None for name in BASE_FILES if name.startswith(f"{path}/")} | {path: b"# changed\n"}
        assert "protected" in store.judge(new, protected=protected)[-1].reason, path
    assert "protected" in store.judge({".github/workflows/ci.yml": b"x\n"}, protected=protected)[0].reason
    assert store.judge({"CODEOWNERS2": b"x\n", "a/secret/txt": b"x\n"}, protected=protected) == ()
    assert store.judge({"lib/a.py": b"# changed\n"}, protected=protected, allow=("lib/a.py",)) == ()
    allow = (".github/workflows/", "**/AGENTS.md")
    work = {".github/workflows/new.yml": b"x\n", "AGENTS.md": b"x\n", "sub/AGENTS.md": b"x\n"}
    assert store.judge(work, allow=allow) == ()
    assert store.judge({".github/actions/x/action.yml": b"x\n"}, allow=allow)


@pytest.mark.parametrize(
    "path",
    [
        "agents.md",
        "Agents.MD",
        "CLAUDE.md.",
        "CLAUDE.md ",
        "claude.md::$DATA",
        ".GitHub/WORKFLOWS/ci.yml",
        ".github/wor\u212aflows/x.yml",  # the sign of kelvin
        ".github/workflow\u017f/x.yml",  # the long s
        "C\uff2cAUDE.md",  # as wide as a Chinese letter
        ".g\u0131thub/workflows/x.yml",  # the i without a dot, whose capital is I
        ".git\u200bhub/workflows/x.yml",
        "GITHUB~1/workflows/x.yml",
        ".github/WORKFL~1/x.yml",
        "CODEOW~1",
    ],
)
def test_other_spellings_of_a_protected_path_are_refused(store: Store, path: str) -> None:
    assert store.judge({path: b"x\n"})
    assert store.judge({path: b"x\n"}, allow=("AGENTS.md", "CLAUDE.md", ".github/workflows/ci.yml"))


def test_protection_follows_links(store: Store) -> None:
    """The file that is read where CLAUDE.md is a link is the one that instructs."""
    base = {
        **BASE_FILES,
        "CLAUDE.md": "docs/for-agents.txt",
        "docs/for-agents.txt": b"be careful\n",
        ".claude": "tools/claude",
        "tools/claude/settings.json": b"{}\n",
        ".github/workflows/x.yml": "../../ci/x.yml",
        "ci/x.yml": b"on: push\n",
        "conf": ".config",
        "sub/all": "..",
        ".cursor": "sub/all/rules",
        "rules/a.mdc": b"x\n",
    }
    for path in (
        "docs/for-agents.txt",
        "tools/claude/settings.json",
        "tools/claude/new",
        "ci/x.yml",
        "rules/a.mdc",
    ):
        refused = store.judge({path: b"evil\n"}, base=base)
        assert [(r.path, "is protected as" in r.reason) for r in refused] == [(path, True)]
    assert store.judge({"docs/more.txt": b"x\n", "lib/a.py": b"A = 2\n"}, base=base) == ()
    assert store.judge({"ci/x.yml": b"x\n"}, base=base, allow=("ci/x.yml",)) == ()
    both = {"CLAUDE.md": "notes.txt", "notes.txt": b"evil\n"}
    assert {refusal.path for refusal in store.judge(both)} == {"CLAUDE.md", "notes.txt"}
    # What does not exist yet can be put there by way of a link to a folder above.
    assert store.judge({".github/instructions": "../lib"})
    assert store.judge({".vscode": "lib"}), "a link in the place of a folder above"


def test_protected_files_do_not_leave_by_a_new_name(store: Store) -> None:
    base = {**BASE_FILES, "AGENTS.md": b"be careful\n"}
    refused = store.judge({"AGENTS.md": None, "notes.md": b"be careful\n"}, base=base)
    assert [refusal.path for refusal in refused] == ["AGENTS.md"]


def test_a_thicket_of_links_is_refused_and_not_walked(store: Store) -> None:
    base = {**BASE_FILES, **{f"l{n}": "." for n in range(100)}}
    started = time.monotonic()
    refused = store.judge({"lib/a.py": b"A = 2\n"}, base=base)
    assert [(r.path, "more names by links" in r.reason) for r in refused] == [("lib/a.py", True)]
    assert time.monotonic() - started < 10


def test_submodules_are_refused(store: Store) -> None:
    commit = ("160000", "1" * 40)
    assert "submodule" in store.judge({"sub": commit})[0].reason
    assert "submodule" in store.judge({".gitmodules": b"[submodule]\n"})[0].reason
    base = {**BASE_FILES, "sub": commit}
    assert "submodule" in store.judge({"sub": ("160000", "2" * 40)}, base=base)[0].reason
    assert "submodule" in store.judge({"sub": None}, base=base)[0].reason
    assert store.judge({"lib/a.py": b"A = 2\n"}, base=base) == ()


@pytest.mark.parametrize(
    "links",
    [
        {"l": "/etc/passwd"},
        {"l": "../outside"},
        {"lib/l": "../../outside"},
        {"l": "lib/../../outside"},
        {"d": "lib", "d2": "d/../../x"},
        {"d": ".", "l": "d/../x"},
        {"l": ".git/config"},
        {"lib/l": "../.GIT/hooks"},
        {"a": "b", "b": "a"},
        {"l": "l"},
        {"l": "x/" * 3000},
    ],
)
def test_links_out_of_the_tree_are_refused(store: Store, links: Mapping[str, object]) -> None:
    refused = store.judge(links)
    assert refused
    assert all("leads out" in refusal.reason for refusal in refused)


def test_a_link_that_begins_to_lead_out_through_another_is_refused(store: Store) -> None:
    base = {"deep/er/f": b"f\n", "l": "deep/er/../../x", "old": "/was/always/so"}
    assert store.judge({"n": b"n\n"}, base=base) == ()
    refused = store.judge({"deep/er/f": None, "deep/er": "../x", "x": b"x\n"}, base=base)
    assert [refusal.path for refusal in refused] == ["l"]


@pytest.mark.parametrize(
    "name",
    [
        "a/.gi\u200dt/config",
        "git~1",
        "x/GIT~1/config",
        ".git \u200c/x",
        ".git::$INDEX_ALLOCATION/x",
        "line\nbreak",
        "bell\x07",
        "rtl\u202etxt.exe",
        "back\\slash",
        "broken\udcff",
    ],
)
def test_dangerous_names_are_refused(store: Store, name: str) -> None:
    refused = store.judge({name: b"x\n"})
    assert len(refused) == 1
    assert "name" in refused[0].reason
    assert refused[0].path.isprintable()


def test_too_many_files_are_refused(store: Store) -> None:
    assert store.judge({f"f{n}": b"x\n" for n in range(50)}) == ()
    refused = store.judge({f"f{n}": b"x\n" for n in range(51)})
    assert "51 files" in refused[0].reason


def test_sizes_count_what_is_added(store: Store) -> None:
    assert store.judge({"big.json": BASE_FILES["big.json"] + b"{}\n"}) == ()
    assert store.judge({"a": b"x\n" * 250_000, "b": b"y\n" * 240_000}) == ()
    refused = store.judge({"a": b"x\n" * 250_000, "b": b"y\n" * 260_000})
    assert refused[0].path == "b"
    assert "1020000 bytes" in refused[0].reason
    assert store.judge({"big.json": BASE_FILES["big.json"] * 2})[0].path == "big.json"
    assert store.judge({"big.json": None}) == ()


# --- secrets ---

PLANTED = {
    "a token": {"lib/a.py": f'T = "{GITHUB[:-1]}9"\n'.encode()},
    "a fine-grained token": {"lib/a.py": f"T = '{FINE}'\n".encode()},
    "a cloud key": {"deploy.sh": f"export AWS_ACCESS_KEY_ID={AWS}\n".encode()},
    "a chat token": {"x.yml": f"slack: {SLACK}\n".encode()},
    "a payment key": {"x.txt": f"{STRIPE}\n".encode()},
    "a private key": {"id_rsa": KEY.encode()},
    "a private key in JSON": {"sa.json": ('{"private_key": "' + KEY.replace("\n", "\\n") + '"}').encode()},
    "a password": {"config.py": f'DB_PASSWORD = "{PASSWORD}"\n'.encode()},
    "a password in a URL": {"config.py": f'URL = "postgres://app:{PASSWORD}@db.internal/x"\n'.encode()},
    "in a test": {"tests/test_x.py": f'T = "{GITHUB[:-1]}9"\n'.encode()},
    "UTF-16": {"x.txt": f"token {GITHUB[:-1]}9\n".encode("utf-16")},
    "UTF-16 without its mark": {"x.txt": f"token {GITHUB[:-1]}9\n".encode("utf-16-be")},
    "behind -diff": {".gitattributes": b"* -diff\n", "x.txt": f"{GITHUB[:-1]}9\n".encode()},
    "behind binary": {".gitattributes": b"* binary\n", "x.txt": f"\0\0{GITHUB[:-1]}9\n".encode()},
    "on a long line": {"x.min.js": b"a" * 3990 + f' "{GITHUB[:-1]}9" '.encode() + b"b" * 90_000},
    "with an excuse": {"x.py": f'T = "{GITHUB[:-1]}9"  # pragma: allowlist secret\n'.encode()},
    "in a link": {"l": f"{GITHUB[:-1]}9"},
    "behind carriage returns": {"x.txt": f"a\rtoken {GITHUB[:-1]}9\rb".encode()},
}


@pytest.mark.parametrize("name", PLANTED)
def test_secrets_are_refused_and_not_quoted(store: Store, name: str) -> None:
    refused = store.judge(PLANTED[name])
    assert refused, "not found"
    assert "credential" in refused[0].reason
    told = " ".join(f"{refusal.path} {refusal.reason}" for refusal in refused)
    for secret in (GITHUB[4:20], FINE[11:30], AWS, SLACK[5:20], STRIPE[8:], PASSWORD, "MIIEpAIB"):
        assert secret not in told


def test_a_secret_that_was_there_may_stay_and_move(store: Store) -> None:
    assert store.judge({"settings.py": f'# note\nTOKEN = "{GITHUB}"  # old\n'.encode()}) == ()
    assert store.judge({"settings.py": None, "conf/settings.py": BASE_FILES["settings.py"]}) == ()
    refused = store.judge({"settings.py": f'TOKEN = "{GITHUB[:-1]}9"\n'.encode()})
    assert [refusal.path for refusal in refused] == ["settings.py"]


INNOCENT = {
    "checksums.txt": b"".join(b"%064x  file%d\n" % (n**20, n) for n in range(1, 40)),
    "package-lock.json": b'{"integrity": "sha512-' + base64.b64encode(bytes(range(64))) + b'"}\n',
    "app.py": b'password = os.environ["DB_PASSWORD"]\ntoken = get_token(user)\nsecret = "{{ secret }}"\n'
    b'api_key = "your-api-key-here"\nPASSWORD_FIELD = "password"\npassword: str = ""\n'
    b'url = "https://user:password@localhost/x"\nsecret_name = "my-app/prod/db"\n',
    "tests/test_login.py": f'client.login(password="{PASSWORD}")\n'.encode(),
    "docs/setup.md": b"Set `API_KEY=AKIAIOSFODNN7EXAMPLE` and `postgres://u:p4ssw0rdXyz@db/x`.\n",
    "keys.py": b'if text.startswith("-----BEGIN RSA PRIVATE ' + b'KEY-----"):\n    return parse(text)\n',
    "ids.py": b'KEY_ID = "123e4567-e89b-12d3-a456-426614174000"\nsha = "da39a3ee5e6b4b0d3255bfef9560189"\n',
    "image.svg": b'<path d="' + b"M12.5 3.25L4 9z" * 2000 + b'"/>\n',
    "hosts.txt": b"8.8.8.8 1.1.1.1\n",
}


@pytest.mark.parametrize("name", INNOCENT)
def test_what_only_looks_a_little_like_a_secret_passes(store: Store, name: str) -> None:
    assert store.judge({name: INNOCENT[name]}) == ()


def test_the_runners_own_secrets_are_found_in_any_form(store: Store) -> None:
    own = "gitea/0123+abcdef=token"
    for shift in range(3):
        text = base64.b64encode(b"x" * shift + own.encode() + b" and more").decode()
        assert store.judge({"x": text.encode() + b"\n"}, known=[Secret(own)])
    for text in (own, own.upper(), quote(own, safe=""), own.encode().hex()):
        refused = store.judge({"x": f"a {text} b\n".encode()}, known=[Secret(own), Secret("")])
        assert [refusal.reason for refusal in refused] == ["holds a credential of the runner itself"]
    assert store.judge({"x": own.encode("utf-16")}, known=[Secret(own)])
    assert store.judge({"x": b"harmless\n"}, known=[Secret(own), Secret("")]) == ()


def test_hostile_lines_cost_bounded_time() -> None:
    lines = ["secret" * 66, "password" * 50 + '"', "'" * 399, "secret=" * 57, "eyJ" + "a." * 190]
    data = "\n".join(f"{line}{n}" for n in range(40) for line in lines).encode()
    started = time.thread_time()
    list(Scanner(cpu_seconds=60).scan("x.py", data))
    assert time.thread_time() - started < 30


def test_a_scan_that_takes_too_long_says_nothing_of_the_work(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sprint.policy.content._CPU_SECONDS", -1.0)
    with pytest.raises(ScanUnfinished, match="a later tick looks again"):
        store.judge({"x.txt": b"a line of text\n"})


def test_a_scan_counts_the_processors_time_and_not_the_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a loaded machine hours may pass between two lines."""
    hours = iter(range(0, 10**9, 3600))
    monkeypatch.setattr("time.monotonic", lambda: float(next(hours)))
    found = list(Scanner(cpu_seconds=30).scan("x.txt", b"a line of text\n" * 3 + f"{GITHUB}\n".encode()))
    assert [value for _, _, value in found] == [GITHUB]


def test_secrets_in_names_are_refused_and_not_quoted(store: Store) -> None:
    own = Secret("0123456789abcdef" * 2)
    for path in (f"lib/{GITHUB}.txt", f"{GITHUB}/x.txt", f"lib/{own.reveal()}"):
        refused = store.judge({path: b"x\n"}, known=[own])
        assert "name of a file" in refused[0].reason, path
        assert not any(path.split("/")[-1] in f"{one.path}{one.reason}" for one in refused)
    assert store.judge({f"{GITHUB}/y.txt": b"x\n"}, base={**BASE_FILES, f"{GITHUB}/x.txt": b"x\n"}) == ()
    assert store.judge({"lib/harmless": b"x\n"}, known=[own]) == ()
    work = store.work({"lib/a.py": b"A = 2\n"})
    for branch, expected in ((f"feat/{GITHUB}", 1), (f"x/{own.reveal()}", 1), ("feat/issue-7", 0)):
        assert len(judge(store.path, work, PublishConfig(), known=[own], branch=branch)) == expected


# --- texts ---


@pytest.mark.parametrize("secret", [GITHUB, AWS, SLACK, STRIPE, KEY, f"postgres://app:{PASSWORD}@db/x"])
def test_what_is_published_as_text_holds_no_credential(secret: str) -> None:
    text = f"It works now.\n\n```text\nI set {secret} there\n```\nCloses #7\n"
    kept = public(text)
    for part in (secret, GITHUB[4:20], PASSWORD, "aB3dE5gH7jK9"):
        assert part not in kept
    assert kept.startswith("It works now.\n\n```text\nI set ")
    assert kept.endswith("there\n```\nCloses #7\n")


def test_a_credential_longer_than_a_line_leaves_by_no_text() -> None:
    for width in (30, 72):
        wrapped = "\n".join(textwrap.wrap(f"I set {FINE} there", width))
        kept = public(f"Fixed.\n\n{wrapped}\n\nCloses #7\n")
        assert not any(part in kept for part in (FINE[11:30], FINE[40:60], FINE[-20:]))
        assert kept.startswith("Fixed.")
        assert kept.endswith("there\n\nCloses #7\n")
    key = KEY.split("\n")[0] + "\n" + "\n".join(["aB3dE5gH7jK9" * 5] * 20) + "\nq8Hv\n" + PEM_END
    assert public(f"The key is\n{key}\nand so on.") == "The key is\n[withheld]\nand so on."
    assert public(f"no key: {KEY.splitlines()[0]} is what it begins with") != "[withheld]"


@pytest.mark.parametrize(
    "shown", [lambda text: quote_block(text, 5_000), lambda text: code_cell(f"{text} | x", 5_000)]
)
def test_what_markdown_shows_as_a_credential_leaves_by_no_text(shown: Callable[[str], str]) -> None:
    """Escaped, quoted or by its signs' numbers, it is none to whoever searches the text as it is written."""
    own = "ab_cd-ef_gh*ij|kl"
    for secret in (FINE, GITHUB, STRIPE, own):
        kept = public(f"So:\n{shown(f'I set {secret} there')}\nCloses #7", [Secret(own)])
        assert "[withheld]" in kept, secret
        assert "Closes #7" in kept
        for part in (FINE[11:30], GITHUB[4:20], own[:5], own[-4:]):
            assert part not in kept
    key = KEY.split("\n")[0] + "\n" + "\n".join(["aB3dE5gH7jK9" * 5] * 20) + f"\n{PEM_END}"
    assert "aB3dE5" not in public(quote_block(f"It is\n{key}", 5_000))


def test_the_runners_own_secrets_leave_by_no_text_however_they_are_wrapped() -> None:
    own = "gitea/0123+abcdef=token"
    for form in (
        own,
        own.upper(),
        quote(own, safe=""),
        own.encode().hex(),
        " ".join(own),
        own.replace("+", "+\n"),
    ):
        assert "withheld" in public(f"so {form} it is", [Secret(own), Secret("")]), form
    assert "withheld" in public(base64.b64encode(b"xy" + own.encode() + b"more").decode(), [Secret(own)])
    text = "gitea/0123 is a path and abcdef=token is not it"
    assert public(text, [Secret(own), Secret("")]) == text


def test_private_names_leave_by_no_text_and_words_like_them_do() -> None:
    private = ["10.1.2.3:8000", "gpu-7.corp.example", "gpu-7"]
    text = "no answer from http://10.1.2.3:8000/v1 (GPU-7, gpu-7.corp.example.)"
    assert public(text, private=private) == "no answer from http://[private]/v1 ([private], [private].)"
    assert public(quote_block("see box_1, gpu_7", 100), private=["box_1"]) == "> see [private], gpu\\_7"
    other = "110.1.2.3:8000 my-gpu-7 gpu-70 gpu-7.corp.example.org"
    assert public(other, private=private) == other


# --- large files ---


def test_raw_content_in_the_place_of_an_lfs_pointer_is_refused(store: Store) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"
    base = {**BASE_FILES, ".gitattributes": b"*.bin filter=lfs diff=lfs\n", "a.bin": pointer}
    assert store.judge({"b.bin": pointer, "c.txt": b"x\n"}, base=base) == ()
    refused = store.judge({"a.bin": b"raw\n", "c.txt": b"x\n"}, base=base)
    assert [(refusal.path, "LFS" in refusal.reason) for refusal in refused] == [("a.bin", True)]
    assert store.judge({"a.bin": b"raw\n"}) == ()


def test_one_long_line_does_not_outlast_the_limit() -> None:
    started = time.thread_time()
    with pytest.raises(ScanUnfinished):
        list(Scanner(cpu_seconds=0.5).scan("x.py", b"/" * 1_000_000))
    assert time.thread_time() - started < 5
