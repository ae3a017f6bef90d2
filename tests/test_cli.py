"""One error handler: a line on stderr and an exit code, whatever happens."""

from __future__ import annotations

import pytest

from sprint import cli
from sprint.errors import ForgeError, ModelError, SandboxError, SprintError


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (SprintError("no such thing"), 2, "sprint: no such thing\n"),
        (ForgeError("the forge is away"), 3, "sprint: the forge is away\n"),
        (SandboxError("no bwrap"), 4, "sprint: no bwrap\n"),
        (ModelError("no model"), 5, "sprint: no model\n"),
        (KeyboardInterrupt(), 130, "sprint: interrupted; the next tick goes on from here\n"),
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
    def fail(_args: object) -> int:
        raise error

    monkeypatch.setitem(cli._COMMANDS, "clean", fail)
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


def test_wrong_usage_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["run", "--issue", "nought"])
    assert end.value.code == 2
