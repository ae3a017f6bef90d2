"""`sprint schedule --actions`: its steps run under bash as they stand, against the embedded forge."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sprint.config import load
from sprint.errors import SprintError
from sprint.schedule import Options, schedule
from tests.around import around
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import finish
from tests.waiting import wait_until
from tests.widgets import CHECK, FILES, FIX, REPO

OPERATIONS = "acme/operations"
CONFIG = """\
forges: {{home: {{kind: {kind}, url: '{url}', token_env: SPRINT_TOKEN}}}}
model: {{name: scripted, base_url: '{model}', api_key_env: MODEL_KEY, price: {{input: 1, output: 1}}}}
repos: [{{name: {repo}, checks: ['{check}'], every: 10}}]
paths: {{results: results, cache: cache, workspaces: '{workspaces}'}}
"""


def configuration(
    kind: str,
    url: str = "http://127.0.0.1:1",
    model: str = "http://127.0.0.1:2/v1",
    workspaces: Path = Path("/tmp"),
) -> str:
    return CONFIG.format(kind=kind, url=url, model=model, repo=REPO, check=CHECK, workspaces=workspaces)


class Runner:
    """A forge's runner as far as a job's steps need one: each job has a folder and a home of its own."""

    def __init__(self, folder: Path, workflow: Mapping[str, Any], values: Mapping[str, str]) -> None:
        self.folder, self.job, self.values = folder, workflow["jobs"]["tick"], values

    def run(self, name: str, before_last: Callable[[], None] = lambda: None) -> list[int]:
        place = self._made(name)
        codes: list[int] = []
        for step in self.job["steps"]:
            if any(codes) and step.get("if") != "always()":
                continue
            if step is self.job["steps"][-1]:
                before_last()
            codes.append(self._step(step, place))
        return codes

    def _made(self, name: str) -> Path:
        place = self.folder / name
        for part in ("work", "home", "bin"):
            (place / part).mkdir(parents=True)
        for program in ("sprint", "sudo"):
            (place / "bin" / program).write_text(self._program(program))
            (place / "bin" / program).chmod(0o755)
        return place

    def _program(self, name: str) -> str:
        if name == "sprint":
            return f'#!/bin/sh\nexec "{sys.executable}" -P -m sprint "$@"\n'
        return "#!/bin/sh\nexit 0\n"

    def killed_in(self, name: str, tick: str, until: Callable[[], bool]) -> None:
        """A job whose tick is that script, ended from outside once it came to that: no step follows."""
        place = self._made(name)
        (place / "bin" / "sprint").write_text(tick)
        steps = self.job["steps"]
        assert [self._step(step, place) for step in steps[:2]] == [0, 0]
        command, options = self._command(steps[2], place)
        tick_step = subprocess.Popen(command, **options, start_new_session=True, stdout=subprocess.DEVNULL)
        try:
            assert wait_until(until)
        finally:
            os.killpg(tick_step.pid, signal.SIGKILL)
            tick_step.wait()

    def keeps(self, name: str, *changed: str) -> int:
        """The last step alone, in a job that was run, with that of its script changed."""
        place = self.folder / name
        script = place / "work" / ".keep"
        whole = script.read_text()
        assert not changed or changed[0] in whole
        script.write_text(whole.replace(*changed) if changed else whole)
        try:
            return self._step(self.job["steps"][-1], place)
        finally:
            script.write_text(whole)

    def results(self, name: str) -> Path:
        return self.folder / name / "work" / "results"

    def add_a_row(self, name: str) -> None:
        """The last row of a job's ledger once more, as another run's."""
        path = self.results(name) / "results.csv"
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines, lines[-1].replace("Z,", f"Z,of-{name}-"), ""]))

    def kept(self) -> str:
        """The ledger as it is in the ref now."""
        git = ["git", "--git-dir", str(self.folder.parent / "look.git")]
        subprocess.run(["git", "init", "-q", "--bare", git[2]], check=True)
        token, server = self.values["github.token"], self.values["github.server_url"]
        url = f"{server.replace('://', f'://x:{token}@')}/{self.values['github.repository']}.git"
        subprocess.run([*git, "fetch", "-q", url, "+refs/sprint/results:refs/seen"], check=True)
        shown = [*git, "show", "refs/seen:results.csv"]
        return subprocess.run(shown, check=True, capture_output=True, text=True).stdout

    def _step(self, step: Mapping[str, Any], place: Path) -> int:
        command, options = self._command(step, place)
        done = subprocess.run(command, **options, capture_output=True, text=True, timeout=300)
        assert self.values["github.token"] not in done.stdout + done.stderr
        return done.returncode

    def _command(self, step: Mapping[str, Any], place: Path) -> tuple[list[str], dict[str, Any]]:
        given = {**self.job["env"], **step.get("env", {})}
        environ = {
            "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
            "HOME": str(place / "home"),
            "GITHUB_PATH": str(place / "path"),
            **{key: self._filled(str(value)) for key, value in given.items()},
        }
        script = place / "step.sh"
        script.write_text(step["run"].replace("sysctl -q -w", ": sysctl").replace("sleep 1", "sleep 0.1"))
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
        return command, {"cwd": place / "work", "env": environ}

    def _filled(self, text: str) -> str:
        def value(match: re.Match[str]) -> str:
            found = self.values.get(match[1].strip().split(" ")[0])
            assert found is not None, match[0]
            return found

        return re.sub(r"\$\{\{(.+?)\}\}", value, text)


@pytest.fixture
def runner(
    gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel], tmp_path: Path
) -> Runner:
    """Of a repository with the configuration and the workflow that is made from it."""
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    model = model_server([FIX, finish("implemented", "Fixed."), finish("implemented", "Fixed.")])
    config = tmp_path / "sprint.yaml"
    config.write_text(configuration(gitea.kind, gitea.url, model.base_url, workspaces))
    assert schedule(config, Options(actions=True), around(tmp_path)) == 0
    workflow = yaml.safe_load((tmp_path / ".gitea" / "workflows" / "sprint.yml").read_text())
    assert workflow[True]["schedule"] == [{"cron": "*/10 * * * *"}]
    gitea.add_repo(OPERATIONS, {"sprint.yaml": config.read_text()})
    values = {
        "github.server_url": gitea.url, "github.repository": OPERATIONS, "github.token": gitea.token,
        "github.ref": "refs/heads/main", "secrets.SPRINT_TOKEN": gitea.token, "secrets.MODEL_KEY": model.key,
        "vars.SPRINT_PACKAGE": "nothing", "vars.SPRINT_TICK_MINUTES": "5",
    }  # fmt: skip
    return Runner(workspaces / "jobs", workflow, values)


def test_its_steps_tick_and_keep_the_results(gitea: DemoForge, runner: Runner) -> None:
    assert runner.run("1") == [0, 0, 0, 0]
    assert len(gitea.pulls(REPO)) == 1
    kept = runner.results("1")
    assert len((kept / "results.csv").read_text().splitlines()) == 2

    # The next job has them, and so the host's name and the day's spending; another one is faster than it.
    def another() -> None:
        assert runner.run("3", lambda: runner.add_a_row("3")) == [0, 0, 0, 0]
        runner.add_a_row("2")

    assert runner.run("2", another) == [0, 0, 0, 0]
    assert runner.run("4") == [0, 0, 0, 0]
    last = runner.results("4")
    lines = (last / "results.csv").read_text().splitlines()
    assert len(lines) == 4, lines
    assert (last / "host-id").read_text() == (kept / "host-id").read_text()
    assert sum(line.startswith("finished_at,") for line in lines) == 1
    assert len(gitea.pulls(REPO)) == 1


def test_a_killed_job_loses_half_a_line_and_puts_nothing_there_twice(runner: Runner) -> None:
    """A job that is ended from outside has no step after that: what it had written is there all the same, but
    for the line that it was at; the job's token is not its tick's."""
    tick = (
        '#!/bin/sh\ntest -z "$JOB_TOKEN" || exit 1\n'
        "last=$(tail -n 1 results/results.csv)\n"
        'echo "of-a-killed-job-$last" >>results/results.csv; printf "half a line" >>results/results.csv\n'
        "sleep 600\n"
    )
    assert runner.run("1") == [0, 0, 0, 0]
    lines = runner.kept().splitlines()
    runner.killed_in("2", tick, lambda: "of-a-killed-job-" in runner.kept())
    assert runner.kept().splitlines()[: len(lines)] == lines
    assert "half a line" not in runner.kept()

    # Killed after its push, before it noted that.
    runner.add_a_row("2")
    assert runner.keeps("2", "is_kept; then note; exit 0", "is_kept; then exit 9") == 9
    before = runner.kept()
    assert len(before.splitlines()) == len(lines) + 3, before
    assert runner.keeps("2") == 0
    assert runner.kept() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("token_env: SPRINT_TOKEN", "token_file: token"), "forges.home.token_file: a job has no such file"),
        (("api_key_env: MODEL_KEY", "api_key_file: key"), "model.api_key_file: a job has no such file"),
        (("results: results", "results: /var/results"), "paths.results: a job has nothing but"),
        (("every: 10", "every: 7"), "every 7 minutes cannot be kept"),
    ],
)
def test_what_a_job_cannot_have_is_told(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    text = CONFIG.format(
        kind="gitea",
        url="http://127.0.0.1:1",
        model="http://127.0.0.1:2/v1",
        repo=REPO,
        check=CHECK,
        workspaces="/tmp",
    )
    (tmp_path / "sprint.yaml").write_text(text.replace(*change))
    load(tmp_path / "sprint.yaml", around(tmp_path))
    with pytest.raises(SprintError, match=said):
        schedule(tmp_path / "sprint.yaml", Options(actions=True), around(tmp_path))


@pytest.mark.parametrize(
    ("kind", "folder", "variable", "hours"),
    [
        ("gitea", ".gitea", "GITEA_TOKEN", 3),
        ("forgejo", ".forgejo", "GITEA_TOKEN", 3),
        ("github", ".github", "GH_TOKEN", 6),
    ],
)
def test_each_forge_has_its_folder_and_no_file_of_others_is_touched(
    tmp_path: Path, kind: str, folder: str, variable: str, hours: int
) -> None:
    text = CONFIG.format(
        kind=kind,
        url="http://127.0.0.1:1",
        model="http://127.0.0.1:2/v1",
        repo=REPO,
        check=CHECK,
        workspaces="/tmp",
    )
    (tmp_path / "sprint.yaml").write_text(
        text.replace(", token_env: SPRINT_TOKEN", "").replace("every: 10", "every: 1")
    )
    for _ in range(2):
        assert schedule(tmp_path / "sprint.yaml", Options(actions=True), around(tmp_path)) == 0
    path = tmp_path / folder / "workflows" / "sprint.yml"
    workflow = yaml.safe_load(path.read_text())
    assert workflow[True]["schedule"] == [{"cron": "*/5 * * * *"}]
    secret = "SPRINT_TOKEN" if kind != "github" else "GH_TOKEN"
    assert workflow["jobs"]["tick"]["steps"][2]["env"][variable] == f"${{{{ secrets.{secret} }}}}"
    # A job that the forge ends runs no step more, not even the one that keeps the results.
    minutes = re.search(r"'(\d+)'", workflow["jobs"]["tick"]["steps"][2]["env"]["TICK_MINUTES"])
    assert minutes is not None
    assert hours * 60 - int(minutes[1]) >= 30
    path.write_text("name: mine\n")
    with pytest.raises(SprintError, match="move it away"):
        schedule(tmp_path / "sprint.yaml", Options(actions=True), around(tmp_path))
