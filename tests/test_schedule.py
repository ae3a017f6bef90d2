"""What is started when, and how cron and systemd are told: nothing is started here."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from sprint.config import load, resolve
from sprint.cron_times import POSSIBLE_MINUTES
from sprint.errors import SprintError
from sprint.schedule import Options, crontab, schedule, systemd
from sprint.schedule.plan import Entry, Plan, plan, staggered
from tests.around import around

PROGRAM = ("/opt/sprint/bin/sprint",)


def minutes_of(period: int, offset: int) -> set[int]:
    return set(range(offset, 24 * 60, period))


def make_plan(folder: Path, repos: str, every: int | None = None, forges: str = "") -> Plan:
    folder.mkdir(parents=True, exist_ok=True)
    forges = forges or "{home: {kind: gitea, url: 'http://127.0.0.1:1', token_file: token}}"
    (folder / "sprint.yaml").write_text(f"forges: {forges}\nrepos: {repos}\n")
    config = load(folder / "sprint.yaml", around(folder))
    return plan(config, PROGRAM, every)


@pytest.mark.parametrize(
    "periods",
    [[10, 15, 20, 30], [10] * 9 + [30], [5, 5, 5, 30], [1440, 60, 720, 30], [60] * 40 + [30]],
    ids=lambda periods: "-".join(map(str, periods[:4])),
)
def test_no_two_start_in_the_same_minute(periods: list[int]) -> None:
    offsets = staggered(periods)
    taken = [minutes_of(period, offset) for period, offset in zip(periods, offsets, strict=True)]
    assert all(0 <= offset < period for offset, period in zip(offsets, periods, strict=True))
    assert not any(one & other for one, other in combinations(taken, 2))


def test_ticks_are_spread_over_the_time_there_is() -> None:
    assert staggered([10, 10]) == [0, 5]
    assert staggered([60, 60, 60]) == [0, 30, 15]


def test_another_repository_moves_none_of_those_before_it() -> None:
    assert staggered([10, 15, 20])[:2] == staggered([10, 15])


def test_more_than_there_are_minutes_still_get_a_time() -> None:
    offsets = staggered([2, 2, 2, 30])
    assert sorted(offsets[:2]) == [0, 1]


def test_each_repository_has_its_own_time_or_the_one_asked_for(tmp_path: Path) -> None:
    repos = "[{name: a/home, every: 10}, {name: a/beacon, every: 15}, a/config]"
    assert [(e.what, e.every) for e in make_plan(tmp_path, repos, 20).entries] == [
        ("a/home", 10),
        ("a/beacon", 15),
        ("a/config", 20),
        ("monitor", 30),
    ]
    assert make_plan(tmp_path, "[a/home]").entries[0].every == 10


def test_names_tell_the_forge_where_that_is_needed(tmp_path: Path) -> None:
    forges = "{home: {kind: gitea, url: 'http://127.0.0.1:1'}, github: {kind: github}}"
    repos = "[{name: a/b, forge: home}, {name: a/b, forge: github}, {name: a/c, forge: github}]"
    repos = repos[:-1] + ", {name: a/d, forge: home, every: 30}]"
    first, last, _ = make_plan(tmp_path, repos, forges=forges).entries
    names = [*first.argv[4:-2], last.argv[-1]]
    assert names == ["home:a/b", "github:a/b", "a/c", "a/d"]
    config = load(tmp_path / "sprint.yaml", around(tmp_path))
    assert [resolve(config, name) for name in names] == list(config.repos)


def test_repositories_of_one_interval_are_started_together(tmp_path: Path) -> None:
    def commands(repos: list[str], more: str = "") -> list[str]:
        return [" ".join(e.argv[3:]) for e in make_plan(tmp_path, f"[{', '.join(repos)}]{more}").entries[:-1]]

    names = [f"acme/repository-{number}" for number in range(50)]
    assert commands(names[:2]) == ["run --all --jobs 2"]
    assert commands(names) == ["run --all --jobs 8"]
    assert commands(names, "\nschedule: {jobs: 20}") == ["run --all --jobs 20"]
    other = "{name: a/b, every: 30}"
    assert commands([*names[:2], other]) == [f"run {names[0]} {names[1]} --jobs 2", "run a/b"]
    *many, last = commands([*names, other])
    assert len(many) > 1, "cron takes no more than 1,000 characters"
    assert max(map(len, many)) < 300
    assert [word for line in many for word in line.split()[1:-2]] == names
    assert last == "run a/b"


@pytest.mark.parametrize(
    ("minutes", "remedy"), [(7, "6 or 10"), (45, "30 or 60"), (90, "60 or 120"), (5000, "1440")]
)
def test_a_time_that_cron_cannot_keep_is_refused(tmp_path: Path, minutes: int, remedy: str) -> None:
    with pytest.raises(SprintError, match=rf"a/b: every {minutes} minutes .* {remedy}"):
        make_plan(tmp_path, f"[{{name: a/b, every: {minutes}}}]")
    with pytest.raises(SprintError, match=remedy):
        make_plan(tmp_path, "[a/b]", minutes)


@pytest.mark.parametrize("repos", ["[]", "null"])
def test_nothing_to_schedule_is_said(tmp_path: Path, repos: str) -> None:
    with pytest.raises(SprintError, match="sprint init"):
        make_plan(tmp_path, repos)


@pytest.mark.parametrize("name", ["a\nb", "a\\b", "a\x7fb"])
def test_a_path_that_cron_would_read_otherwise_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SprintError, match="cron cannot be told"):
        make_plan(tmp_path / name, "[a/b]")


def fields(text: str, count: int) -> set[int]:
    """The values that a crontab's field of our kinds stands for."""
    span, _, step = text.partition("/")
    low, _, high = span.partition("-")
    first = 0 if low == "*" else int(low)
    last = int(high) if high else first if low != "*" and not step else count - 1
    return set(range(first, last + 1, int(step or 1)))


@pytest.mark.parametrize("every", POSSIBLE_MINUTES)
def test_crontab_fields_are_every_so_many_minutes(tmp_path: Path, every: int) -> None:
    for offset in {0, 1, every // 2, every - 1} & set(range(every)):
        entry = Entry("a/b", ("sprint",), every, offset)
        line = crontab.lines(Plan(tmp_path / "c", tmp_path / "l", (entry,)), mails=True)[1]
        minute, hour, *rest = line.split()[:5]
        assert rest == ["*"] * 3
        assert {60 * h + m for h in fields(hour, 24) for m in fields(minute, 60)} == minutes_of(every, offset)


def test_what_goes_where(tmp_path: Path) -> None:
    """With mail, a person gets errors and alarms, the log the rest; without, the log has it all."""
    made = make_plan(tmp_path, "[a/b]")
    log = tmp_path / "results" / "cron.log"
    _, run, monitor = crontab.lines(made, mails=True)
    assert run.endswith(f" run a/b >>{log}")
    assert monitor.endswith(" monitor --quiet")
    _, run, monitor = crontab.lines(made, mails=False)
    assert run.endswith(f" run a/b >>{log} 2>&1")
    assert monitor.endswith(f" monitor --quiet >>{log} 2>&1")
    made = make_plan(tmp_path, "[a/b]\nmonitor: {share: www}")
    assert crontab.lines(made, mails=True)[2].endswith(f" monitor --quiet --share {tmp_path / 'www'}")


def test_awkward_paths_reach_the_program_whole(tmp_path: Path) -> None:
    folder = tmp_path / '100% o\'my "$HOME" `x`; rm -rf ~'
    made = make_plan(folder, "[a/b]")
    command = crontab.lines(made, mails=True)[1].split(None, 5)[5]
    assert "%" not in command.replace("\\%", "")
    as_cron_runs_it = command.replace("\\%", "%").replace(PROGRAM[0], "printf '%s\\n'", 1)
    (folder / "results").mkdir()
    subprocess.run(["/bin/sh", "-c", as_cron_runs_it], check=True, timeout=10)
    printed = (folder / "results" / "cron.log").read_text()
    assert printed == "".join(f"{word}\n" for word in made.entries[0].argv[1:])


def run_schedule(folder: Path, chosen: Options, environ: dict[str, str] | None = None) -> str:
    out = io.StringIO()
    variables = {"PATH": os.environ["PATH"], **(environ or {})}
    code = schedule(folder / "sprint.yaml", chosen, around(folder / "home", variables, cwd=folder, out=out))
    assert code == 0
    return out.getvalue()


def test_ticks_find_what_this_path_leads_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_plan(tmp_path, "[a/b]")
    (tmp_path / "token").write_text("t")
    tools = tmp_path / "my 100% tools"
    tools.mkdir()
    (tools / "hermes").write_text("#!/bin/sh\necho it is here\n")
    (tools / "hermes").chmod(0o755)
    path = f"{tools}:/usr/bin:relative:{tmp_path}/none:/usr/bin:/bin"
    line = run_schedule(tmp_path, Options(), {"PATH": path}).splitlines()[2]
    assert line.count("/usr/bin") == 1
    assert f"{tmp_path}/none" not in line
    command = line.split(None, 5)[5].partition(" >>")[0].replace("\\%", "%")
    kept, *_ = shlex.split(command)
    found = subprocess.run(
        ["/bin/sh", "-c", f"export {shlex.quote(kept)}; hermes"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert found.stdout == "it is here\n"
    long = ":".join([str(tools)] + [str(tmp_path / f"{number:0200}") for number in range(4)])
    for folder in long.split(":"):
        Path(folder).mkdir(exist_ok=True)
    assert "PATH=" not in run_schedule(tmp_path, Options(), {"PATH": long})
    assert "too long for a crontab" in caplog.text


def test_it_prints_the_lines_and_touches_nothing(tmp_path: Path) -> None:
    make_plan(tmp_path, "[a/b]")
    (tmp_path / "token").write_text("t")
    before = sorted(tmp_path.rglob("*"))
    printed = run_schedule(tmp_path, Options()).splitlines()
    assert printed[0] == f"# >>> sprint {tmp_path}/sprint.yaml >>>"
    assert printed[-1] == f"# <<< sprint {tmp_path}/sprint.yaml <<<"
    path, program, *_ = shlex.split(printed[2].split(None, 5)[5])
    assert path.startswith("PATH=/")
    assert os.access(program, os.X_OK)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_cron_would_lack_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_plan(tmp_path, "[a/b]", forges="{home: {kind: gitea, url: 'http://127.0.0.1:1'}}")
    environ = {"GITEA_TOKEN": "secret-token", "OPENAI_API_KEY": "secret-key"}
    printed = run_schedule(tmp_path, Options(), environ)
    said = [record.getMessage() for record in caplog.records]
    assert any("forges.home" in line and "in the environment" in line for line in said)
    assert any("$OPENAI_API_KEY" in line for line in said)
    assert "secret" not in printed + "".join(said)
    caplog.clear()
    (tmp_path / "home" / ".hermes").mkdir(parents=True)
    (tmp_path / "home" / ".hermes" / "gitea_token_vps").write_text("another")
    (tmp_path / "home" / ".hermes" / "gitea_token_vps").chmod(0o600)
    run_schedule(tmp_path, Options(), {"GITEA_TOKEN": "secret-token"})
    assert caplog.records == []


CRON_LACKS = {
    "a token": ({"GITEA_TOKEN": "secret-token"}, "its token (forges.home)"),
    "a key": ({"OPENAI_API_KEY": "secret-key"}, "$OPENAI_API_KEY (model)"),
    "a model's address": (
        {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "SPRINT_MODEL": "m"},
        "$OPENAI_BASE_URL",
    ),
    "where hermes is": ({"HERMES_HOME": "elsewhere"}, "$HERMES_HOME (model)"),
}


@pytest.mark.parametrize(("environ", "named"), CRON_LACKS.values(), ids=CRON_LACKS)
def test_lines_that_would_fail_in_cron_are_not_installed(
    tmp_path: Path, environ: dict[str, str], named: str
) -> None:
    make_plan(tmp_path, "[a/b]", forges="{home: {kind: gitea, url: 'http://127.0.0.1:1'}}")
    if "HERMES_HOME" in environ:
        environ = {"HERMES_HOME": str(tmp_path / "elsewhere")}
        (tmp_path / "elsewhere").mkdir()
        model = {"provider": "custom", "base_url": "http://127.0.0.1:9/v1", "default": "m", "api_key": "k"}
        (tmp_path / "elsewhere" / "config.yaml").write_text(yaml.safe_dump({"model": model}))
    with pytest.raises(SprintError, match="nothing is installed: cron has no environment") as refused:
        run_schedule(tmp_path, Options(install=True), {"OLLAMA_HOST": "127.0.0.1:1", **environ})
    assert named in str(refused.value)
    assert "secret" not in str(refused.value)


def test_the_address_of_a_forge_has_to_be_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "sprint.yaml").write_text("repos: [a/b]\n")
    environ = {"GITEA_URL": "http://127.0.0.1:1", "OLLAMA_HOST": "127.0.0.1:1"}
    with pytest.raises(SprintError, match=r"\$GITEA_URL \(forges\)"):
        run_schedule(tmp_path, Options(systemd=True), environ)


# --- systemd -----------------------------------------------------------------------------------


@pytest.mark.machine
@pytest.mark.parametrize("every", POSSIBLE_MINUTES)
def test_calendars_are_every_so_many_minutes(tmp_path: Path, every: int) -> None:
    """As systemd itself counts them: the first two ticks of a day, and of the next."""
    offset = every - 1
    entry = Entry("a/b", PROGRAM, every, offset)
    units = systemd.units(Plan(tmp_path / "c", tmp_path / "l", (entry,)))
    text = next(text for name, text in units.items() if name.endswith(".timer"))
    calendar = text.split("OnCalendar=")[1].split("\n")[0]
    done = subprocess.run(
        ["systemd-analyze", "calendar", "--base-time=2026-03-01 00:00:00 UTC", "--iterations=2", calendar],
        env={"PATH": os.environ["PATH"], "TZ": "UTC"},
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    times = re.findall(r"(\d\d:\d\d:\d\d) UTC$", done.stdout, re.MULTILINE)
    expected = [m for m in sorted(minutes_of(every, offset)) if m > 0] + [offset]
    assert times[:2] == [f"{m // 60:02}:{m % 60:02}:00" for m in expected[:2]]


@pytest.mark.parametrize("name", ["plain", '100% o\'my "$HOME" x'])
def test_systemd_takes_the_units_as_they_are(tmp_path: Path, name: str) -> None:
    """`verify` finds nothing, where it does find what is wrong with a broken one."""
    folder = tmp_path / name
    program = tmp_path / "bin dir %" / "sprint"
    program.parent.mkdir()
    shutil.copy("/bin/true", program)
    made = make_plan(folder, "[a/b, {name: c/d, every: 120}]")
    made = Plan(
        made.source,
        made.log,
        tuple(Entry(e.what, (str(program), *e.argv[1:]), e.every, e.offset) for e in made.entries),
        f"{program.parent}:/usr/bin",
    )
    units = tmp_path / "units"
    timers = systemd.write(units, made)
    assert len(timers) == 3
    assert systemd.complaints(units, timers, around(tmp_path)) == ""
    service = units / timers[0].replace(".timer", ".service")
    service.write_text(service.read_text().replace("KillMode=process", "KillMode=sudden"))
    assert "kill mode" in systemd.complaints(units, timers, around(tmp_path))


def test_timers_are_written_kept_up_to_date_and_taken_away(tmp_path: Path) -> None:
    make_plan(tmp_path, "[a/b, {name: a/c, every: 30}]")
    (tmp_path / "token").write_text("t")
    units = tmp_path / "home" / ".config" / "systemd" / "user"
    units.mkdir(parents=True)
    (units / "sprint-other.service").write_text("[Unit]\nDescription=somebody else's\n")
    (units / "backup.timer").write_text("[Timer]\n")
    said = run_schedule(tmp_path, Options(systemd=True))
    first = {path.name for path in units.iterdir()}
    assert len(first) == 2 + 6
    assert "systemctl --user daemon-reload && systemctl --user enable --now sprint-a-b-" in said
    assert (tmp_path / "results").is_dir()
    wants = units / "timers.target.wants"
    wants.mkdir()
    for path in units.glob("sprint-a-*.timer"):
        (wants / path.name).symlink_to(path)
    make_plan(tmp_path, "[a/b]")
    run_schedule(tmp_path, Options(systemd=True))
    assert len(list(units.glob("sprint-a-c-*"))) == 0
    assert [path.name.split("-")[2] for path in wants.iterdir()] == ["b"]
    said = run_schedule(tmp_path, Options(systemd=True, remove=True))
    assert "systemctl --user stop sprint-a-b-" in said
    assert {p.name for p in units.iterdir()} == {
        "sprint-other.service",
        "backup.timer",
        "timers.target.wants",
    }
    assert list(wants.iterdir()) == []
    assert "no timers" in run_schedule(tmp_path, Options(systemd=True, remove=True))


def test_a_file_of_the_same_name_is_not_written_over(tmp_path: Path) -> None:
    made = make_plan(tmp_path, "[a/b]")
    units = tmp_path / "units"
    units.mkdir()
    name = sorted(systemd.units(made))[-1]
    (units / name).write_text("mine\n")
    with pytest.raises(SprintError, match="move it away"):
        systemd.write(units, made)
    assert [path.name for path in units.iterdir()] == [name]
    assert (units / name).read_text() == "mine\n"
