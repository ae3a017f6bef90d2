"""One error handler: a line on stderr and an exit code, whatever happens."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sprint import cli
from sprint.cli import work_commands as work
from sprint.cli.options import configuration
from sprint.domain.service_records import Grade
from sprint.errors import ForgeError, ModelError, SandboxError, SprintError
from sprint.surroundings import Surroundings


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (SprintError("no such thing"), 2, "sprint: no such thing\n"),
        (ForgeError("the forge is away"), 3, "sprint: the forge is away\n"),
        (SandboxError("no bwrap"), 4, "sprint: no bwrap\n"),
        (ModelError("no model"), 5, "sprint: no model\n"),
        (KeyboardInterrupt(), 130, "sprint: interrupted; the next tick goes on from here\n"),
        (
            PermissionError(13, "Permission denied", "/r/x"),
            2,
            "sprint: cannot use /r/x: Permission denied; let the user that runs sprint do so\n",
        ),
        (OSError("nameless"), 70, None),
        (KeyError("\x1b[31mx\ny"), 70, None),
    ],
)
def test_every_end_is_one_line(
    error: BaseException,
    code: int,
    says: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> int:
        raise error

    monkeypatch.setattr(work, "_clean", fail)
    assert cli.main(["clean"]) == code
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Traceback" not in said
    assert "\x1b" not in said
    if says is not None:
        assert said == says
    assert cli.main(["-v", "clean"]) == code
    if code != 130:
        assert "Traceback" in capsys.readouterr().err


def test_help_names_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    assert end.value.code == 0
    told = capsys.readouterr().out
    for code in (0, 1, 2, 3, 4, 5, 70, 130):
        assert f"\n  {code} " in told


def _commands() -> dict[str, argparse.ArgumentParser]:
    (commands,) = (one for one in cli._parser()._actions if isinstance(one, argparse._SubParsersAction))
    return dict(commands.choices)


@pytest.mark.parametrize("command", ["", *_commands()])
def test_help_fits_a_narrow_terminal_and_has_examples(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        cli.main([*command.split(), "--help"])
    told = capsys.readouterr().out
    assert [line for line in told.splitlines() if len(line) > 80] == []
    assert ("\nexamples:\n" if command else "\nfirst steps:\n") in told


def test_the_examples_of_help_are_understood() -> None:
    """As far as parsing goes; what a pipe makes of it is not."""
    texts = [cli._FIRST_STEPS, *(str(command.epilog) for command in _commands().values())]
    examples = re.findall(r"^  (sprint .+?)(?:   .*)?$", "\n".join(texts), re.MULTILINE)
    assert len(examples) > len(texts)
    for example in examples:
        argv = shlex.split(re.split(r" [|>] ", example)[0], comments=False)[1:]
        if argv[-1] != "--help":
            cli._parser().parse_args(argv)


def test_what_doctors_example_looks_for_is_what_it_writes() -> None:
    assert f"grep {Grade.FAULT}" in str(_commands()["doctor"].epilog)


def test_wrong_usage_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["run", "--issue", "nought"])
    assert end.value.code == 2


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["rnu"], "invalid choice: 'rnu'"),
        (["rnu"], "'completion'); see `sprint --help`"),
        ([], "COMMAND"),
        (["show"], "RUN; see `sprint show --help`"),
        (
            ["run", "--issue", "x"],
            "argument --issue: 'x' is not a number, 1 or more; see `sprint run --help`",
        ),
        (["run", "--jobs", "0"], "argument --jobs: '0' is not a number, 1 or more"),
        (["monitor", "--watch", "x"], "argument --watch: 'x' is not a number between 0.1 and 86400"),
        (["run", "--no\x1b[31m\nsuch"], "unrecognized arguments"),
        (["run", "--nope"], "unrecognized arguments: --nope; see `sprint run --help`"),
        (["fleet", "status", "--nope"], "--nope; see `sprint fleet status --help`"),
        (["sprite", "list", "--nope"], "--nope; see `sprint sprite list --help`"),
    ],
)
def test_wrong_usage_is_one_line(args: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(args)
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("sprint: ")
    assert says in said
    assert (said.count("\n"), said.endswith("\n"), "\x1b" in said) == (1, True, False)


def test_a_terminal_that_is_closed_is_no_defect(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    watching = subprocess.Popen(
        [sys.executable, "-m", "sprint", "monitor", "--watch", "0.1"],
        cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)}, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    assert os.read(ours, 1)
    os.close(ours)
    try:
        assert watching.wait(timeout=60) == 0
    finally:
        watching.kill()
    assert not (tmp_path / "results" / "defects").exists()


def test_a_defect_leaves_its_traceback_in_a_file_that_the_line_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(args: argparse.Namespace, around: Surroundings) -> int:
        configuration(args, around)
        raise KeyError("gone")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(work, "_clean", broken)
    assert cli.main(["clean"]) == 70
    said = capsys.readouterr().err
    (path,) = (tmp_path / "results" / "defects").iterdir()
    assert str(path) in said
    assert said.count("\n") == 1
    assert "in broken" in path.read_text()
    for _ in range(25):
        cli.main(["clean"])
    assert len(list(path.parent.iterdir())) == 20
