"""`sprint schedule` with Debian's real crontab program and cron daemon, away from the machine's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.own_cron import OwnCron, Step
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import call, finish
from tests.site import Site
from tests.waiting import wait_until

pytestmark = pytest.mark.machine

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="cron, and a spool of one's own, are root's only")

CONFIG = """\
forges: {home: {kind: gitea, url: "http://127.0.0.1:1", token_file: token}}
repos: [acme/widgets, {name: acme/gears, every: 30}]
"""
README = Path(__file__).parent.parent / "README.md"
A_TEST = (
    "import unittest\n\n\nclass Readme(unittest.TestCase):\n"
    "    def test_it_is_there(self):\n        self.assertTrue(open('README').read())\n"
)
THEIRS = (
    b"# my jobs\n# second comment\n# third\n\nMAILTO=ops@example.org\n"
    b"5 4 * * 0 /usr/bin/backup --name=$(date +\\%F) 'a  b'\t# weekly\n"
    b"* * * * * cat%first line%second line\n"
)
AWKWARD = {
    "nothing": None,
    "an empty file": b"",
    "lines of others": THEIRS,
    "comments only, on top": b"# one\n# two\n# three\n# four\n",
    "Windows line ends": b"# dos\r\n0 1 * * * true\r\n",
    "no newline after a comment": b"1 * * * * true\n# the end",
    "one Windows line end, below an escape": b"1 * * * * printf 'a\\r'\n# end\r\n",
    "Windows comments on top": b"# a\r\n# b\r\n1 * * * * printf '\\r'\r\n",
    "empty lines at the end": b"1 * * * * true\n\n\n",
    "other bytes than UTF-8": b"# \xff\xfe caf\xe9\n1 * * * * echo \xe9\n",
    "somebody's >>> marks": b"# >>> conda >>>\n1 * * * * true\n# <<< conda <<<\n",
    "another sprint's block": b"# >>> sprint /other.yaml >>>\n1 * * * * true\n# <<< sprint /other.yaml <<<\n",
}


class Place:
    """A configuration's folder, with an environment that has nothing else."""

    def __init__(self, path: Path, cron: OwnCron, config: str = CONFIG) -> None:
        self.path, self.cron = path, cron
        path.mkdir(parents=True)
        (path / "sprint.yaml").write_text(config)
        (path / "token").write_text("secret-token-1")
        (path / "token").chmod(0o600)
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(path / "home")}

    def command(self, option: str) -> list[str]:
        return ["--config", str(self.path / "sprint.yaml"), "schedule", option]

    def schedule(self, option: str, environ: Mapping[str, str] | None = None) -> Step:
        (step,) = self.cron.sprints(self.command(option), environ=environ or self.environ)
        return step


@pytest.fixture
def cron(workspaces: Path) -> OwnCron:
    return OwnCron(workspaces / "cron")


@pytest.fixture
def place(workspaces: Path, cron: OwnCron) -> Place:
    return Place(workspaces / "site", cron)


@pytest.mark.parametrize("before", AWKWARD.values(), ids=AWKWARD.keys())
def test_other_peoples_lines_survive(place: Place, before: bytes | None) -> None:
    """Install, again, with another block below, and remove: byte for byte what was there before."""
    place.cron.crontab = before
    other = Place(place.path.parent / "other", place.cron)
    first, again, below, upper, last, gone = place.cron.sprints(
        place.command("--install"),
        place.command("--install"),
        other.command("--install"),
        place.command("--remove"),
        other.command("--remove"),
        place.command("--remove"),
        environ=place.environ,
    )
    assert [(step.code, step.err) for step in (first, again, below, upper, last, gone)] == [(0, "")] * 6
    assert first.crontab is not None
    assert first.crontab.startswith(before or b"")
    assert first.crontab.count(b"run acme/widgets >>") == first.crontab.count(b"run acme/gears >>") == 1
    assert again.out.startswith("already in your crontab")
    assert again.crontab == first.crontab
    assert below.crontab is not None
    assert below.crontab.startswith(first.crontab)
    assert upper.crontab is not None
    assert upper.crontab.count(b"run acme/gears >>") == 1
    assert last.crontab == before
    assert "no lines for" in gone.out
    assert gone.crontab == before


@pytest.mark.parametrize("ending", [b"7 * * * * echo \\% 100%in", b"LANG=C"], ids=["command", "variable"])
def test_a_last_line_that_the_program_takes_only_with_a_newline_gets_one(place: Place, ending: bytes) -> None:
    """cron runs no crontab that ends in half a line, and Debian's program installs none."""
    place.cron.crontab = ending
    installed, again, removed = place.cron.sprints(
        place.command("--install"),
        place.command("--install"),
        place.command("--remove"),
        environ=place.environ,
    )
    assert installed.crontab is not None
    assert installed.crontab.startswith(ending + b"\n# >>> sprint ")
    assert again.crontab == installed.crontab
    assert (removed.code, removed.crontab) == (0, ending + b"\n")
    assert "newline" in removed.out


def test_lines_added_around_the_block_stay_where_they_are(place: Place) -> None:
    cron = place.cron
    cron.crontab = b"1 * * * * true"
    place.schedule("--install")
    installed = cron.crontab
    assert installed is not None
    cron.crontab = b"2 * * * * true\n" + installed + b"3 * * * * true\n"
    (place.path / "sprint.yaml").write_text(CONFIG.replace("acme/gears", "acme/cogs"))
    assert place.schedule("--install").out.startswith("installed")
    changed = cron.crontab
    assert changed is not None
    assert changed == b"2 * * * * true\n" + installed.replace(b"gears", b"cogs") + b"3 * * * * true\n"
    place.schedule("--remove")
    assert cron.crontab == b"2 * * * * true\n1 * * * * true\n3 * * * * true\n"


@pytest.mark.parametrize("damage", ["begin", "end", "swapped"])
def test_half_a_block_is_left_for_a_person(place: Place, damage: str) -> None:
    source = place.path / "sprint.yaml"
    begin, end = f"# >>> sprint {source} >>>", f"# <<< sprint {source} <<<"
    lines = {"begin": [begin, "1 * * * * true"], "end": ["1 * * * * true", end], "swapped": [end, begin]}
    before = "".join(f"{line}\n" for line in lines[damage]).encode()
    place.cron.crontab = before
    for option in ("--install", "--remove"):
        done = place.schedule(option)
        assert done.code == 2
        assert "crontab -e" in done.err
        assert place.cron.crontab == before


def test_a_crontab_that_is_refused_stays_as_it_was(place: Place) -> None:
    place.cron.crontab = b"this is no crontab line\n"
    done = place.schedule("--install")
    assert done.code == 2
    assert "crontab refuses" in done.err
    assert "nothing is changed" in done.err
    assert place.cron.crontab == b"this is no crontab line\n"


def test_a_crontab_that_cannot_be_read_is_not_an_empty_one(place: Place, tmp_path: Path) -> None:
    """A program that fails otherwise than for want of a crontab: nothing is written over what it has."""
    programs = tmp_path / "bin"
    programs.mkdir()
    said = tmp_path / "said"
    fake = programs / "crontab"
    fake.write_text(f'#!/bin/sh\necho "$@" >>{said}\necho "you are not allowed" >&2\nexit 1\n')
    fake.chmod(0o755)
    environ = {**place.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    done = place.schedule("--install", environ=environ)
    assert done.code == 2
    assert "you are not allowed" in done.err
    assert said.read_text() == "-l\n"


def test_removing_needs_no_sound_configuration(place: Place) -> None:
    place.cron.crontab = THEIRS
    place.schedule("--install")
    (place.path / "sprint.yaml").write_text("repos: {nonsense\n")
    assert place.schedule("--install").code == 2
    assert place.schedule("--remove").code == 0
    assert place.cron.crontab == THEIRS


def set_up_as_the_readme_says(address: str, token: str) -> str:
    """Its lines, but for those that install packages, with this forge and this token."""
    block = README.read_text().split("## Set it up")[1].split("```console\n")[1].split("```")[0]
    lines = [line.removeprefix("$ ").partition("  #")[0].strip() for line in block.splitlines()]
    typed = [line for line in lines if not line.startswith(("sudo ", "pipx "))]
    text = "\n".join(["set -e", *typed[:-1], f"{typed[-1]} || true"])  # there was no tick of cron's yet
    return text.replace("https://git.example.org", address).replace("GITEA_TOKEN=...", f"GITEA_TOKEN={token}")


def test_who_follows_the_readme_has_a_cron_that_works(
    gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path, cron: OwnCron
) -> None:
    """In a fresh folder, from a path with `%`, with a fresh home: the lines as they stand there, and then a
    tick at its own minute in cron's bare environment."""
    gitea.add_repo("acme/widgets", {"README": "one\n", "test_readme.py": A_TEST})
    first = gitea.add_issue("acme/widgets", "Say two", "It must say two.")
    second = gitea.add_issue("acme/widgets", "Say three", "It must say three.")
    model = model_server(
        [
            *(call("write_file", {"path": "README", "content": "two\n"}), finish()),
            *(call("write_file", {"path": "README", "content": "three\n"}), finish()),
        ]
    )
    folder, home = workspaces / "100% my site", workspaces / "home"
    for one in (folder, home):
        one.mkdir(mode=0o711)
    subprocess.run(["git", "init", "-q", str(folder)], check=True, timeout=20)
    environ = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENAI_BASE_URL": model.base_url,
        "OPENAI_API_KEY": model.key,
        "SPRINT_MODEL": model.name,
    }
    cron.crontab = f'MAILTO=""\nHOME={home}\n'.encode()  # cron itself would take the machine's home
    done = subprocess.run(
        cron.argv("bash", "-c", set_up_as_the_readme_says(gitea.url, gitea.token)),
        cwd=folder,
        env=cron.environ(environ),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "  may push    acme/widgets\n" in done.stdout
    assert "tried as cron would: a dry run of its first line works" in done.stdout
    secrets = [home / ".config" / "sprint" / name for name in ("gitea.token", "model.key")]
    assert [path.stat().st_mode & 0o777 for path in secrets] == [0o600, 0o600]
    assert (folder / ".git" / "info" / "exclude").read_text().endswith("/sprint.yaml\n/results/\n")
    assert gitea.token not in done.stdout + (folder / "sprint.yaml").read_text()
    assert [pull.title for pull in gitea.pulls("acme/widgets")] == [f"fix: Say two (closes #{first})"]
    assert cron.crontab is not None
    assert b"\n*/10 * * * * " in cron.crontab
    results = folder / "results"

    def is_settled() -> bool:
        return len(gitea.pulls("acme/widgets")) == 2 and not list((results / "active").iterdir())

    with cron.daemon("2026-03-01 11:49:56") as daemon:
        wait_until(lambda: is_settled() or daemon.poll() is not None, 60)
    titles = {pull.title for pull in gitea.pulls("acme/widgets")}
    assert f"fix: Say three (closes #{second})" in titles
    left = {path.name.removeprefix("sprint-") for path in Path(tempfile.gettempdir()).glob("sprint-*")}
    assert not left & {run.name for run in (results / "runs").iterdir()}


def test_what_outlives_a_tick_outlives_cron_s_job(
    cron: OwnCron, workspaces: Path, gitea: DemoForge, model_server: Callable[..., DemoModel]
) -> None:
    """The tick leaves, cron's job is over, and the agent works on until it is done."""
    gitea.add_repo("acme/widgets", {"README": "one\n"})
    gitea.add_issue("acme/widgets", "Say two", "It must say two.")
    waits = "while [ ! -e ../home/go ]; do sleep 0.1; done; echo two >README; echo Done. >$SPRINT_SUMMARY"
    site = Site(
        workspaces / "site",
        gitea,
        model_server([]),
        backends={"here": {"kind": "local", "path": "sprites"}},
        workers={"far": {"kind": "sprite", "agent": "command", "command": waits}},
        repos=[{"name": "acme/widgets", "worker": "far"}],
    )
    line = f"45 11 * * * cd {site.path} && {sys.executable} -m sprint run acme/widgets >log 2>&1; touch over"
    cron.crontab = f'MAILTO=""\nHOME={site.path}\n{line}\n'.encode()
    with cron.daemon("2026-03-01 11:44:56"):
        assert wait_until((site.path / "over").exists), "cron starts the tick, which leaves"
        assert site.runs()[0]["phase"] == "working", (site.path / "log").read_text()
        home = site.path / "sprites" / "sprint-1" / "home"
        assert not list(home.glob(".sprint/runs/*/ended-0.json"))
        (home / "work" / "acme--widgets" / "home" / "go").touch()
        assert wait_until(lambda: bool(list(home.glob(".sprint/runs/*/ended-0.json"))))
    assert wait_until(lambda: site.sprint("run", "acme/widgets").returncode == 0 and site.rows() != [])
    assert [row["outcome"] for row in site.rows()] == ["pr_opened"]


def test_the_machine_has_what_these_tests_are_about() -> None:
    for program in ("crontab", "cron", "faketime", "unshare"):
        assert shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin"), f"install {program}"
