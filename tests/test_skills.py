"""The skills are valid for hermes and as Agent Skills, and the crontab works in cron's bare environment."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from sprint.errors import SprintError
from sprint.outcomes import Outcome
from sprint.resources import OFFERED_SKILLS, Skill, folder, offered_skills, read_skill_file, skills
from tests.around import around

ROOT = Path(__file__).parent.parent
ALL = skills()


def test_the_four_skills_are_there() -> None:
    assert set(ALL) == {"sprint-backlog-burner", *OFFERED_SKILLS}
    assert list(offered_skills()) == list(OFFERED_SKILLS)


@pytest.mark.parametrize("name", ALL)
def test_a_skill_is_valid(name: str) -> None:
    skill = ALL[name]
    fields = skill.frontmatter
    assert skill.name == name
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert len(name) <= 64
    assert 40 <= len(skill.description) <= 1024
    assert not re.search(r"[<>\n]", skill.description)
    assert set(fields) <= {"name", "description", "version", "author", "license", "metadata"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", fields["version"])
    assert fields["author"]
    assert fields["license"] == "MIT"
    hermes = fields["metadata"]["hermes"]
    assert hermes["tags"]
    assert set(hermes["related_skills"]) <= set(ALL) - {name}
    assert skill.text.startswith("# ")
    assert len(skill.text.split("\n")) < 500


def test_the_main_skill_names_the_three_others() -> None:
    assert set(ALL["sprint-backlog-burner"].frontmatter["metadata"]["hermes"]["related_skills"]) == set(
        OFFERED_SKILLS
    )


def test_the_main_skill_says_what_to_do_for_every_outcome() -> None:
    table = ALL["sprint-backlog-burner"].text.split("| outcome | means | do |")[1].split("\n\n")[0]
    first_cells = re.findall(r"^\| (.+?) \|", table, re.MULTILINE)
    named = [name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(named) == sorted(outcome.value for outcome in Outcome)


@pytest.mark.parametrize("name", ALL)
def test_its_configuration_examples_load(name: str, tmp_path: Path) -> None:
    from sprint.config import load

    for block in re.findall(r"```yaml\n(.*?)```", ALL[name].text, re.DOTALL):
        (tmp_path / "sprint.yaml").write_text(block)
        assert load(None, around(tmp_path)).repos


@pytest.mark.parametrize(
    "text", ["", "# no frontmatter", "---\nname: x\n---\n", "---\n- a\n---\n", "---\nname: x\n"]
)
def test_a_broken_skill_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "SKILL.md"
    file.write_text(text)
    with pytest.raises(SprintError, match=str(file)):
        read_skill_file(file)
    with pytest.raises(SprintError, match="cannot be read"):
        read_skill_file(tmp_path / "gone")


def test_a_skill_reads_back(tmp_path: Path) -> None:
    file = tmp_path / "SKILL.md"
    file.write_text("---\nname: x\ndescription: d\n---\n\n# X\n\n---\nrest\n")
    assert read_skill_file(file) == Skill("x", "d", "# X\n\n---\nrest", {"name": "x", "description": "d"})
    assert folder("skills").is_dir()


# --- crontab.example ---------------------------------------------------------------------------


def crontab() -> tuple[dict[str, str], list[tuple[str, str]]]:
    settings: dict[str, str] = {}
    jobs = []
    for line in (ROOT / "crontab.example").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if setting := re.fullmatch(r"([A-Z]+)=(.*)", line):
            settings[setting[1]] = setting[2]
        else:
            *when, command = line.split(" ", 5)
            jobs.append((" ".join(when), command))
    return settings, jobs


def test_the_crontab_has_three_repositories_and_a_monitor() -> None:
    settings, jobs = crontab()
    assert [when.split()[0] for when, _ in jobs] == ["*/10", "*/15", "*/20", "5-59/30"]
    assert all(Path(part).is_absolute() for part in [settings["SPRINT"], *settings["PATH"].split(":")])
    assert not [command for _, command in jobs if re.search(r"(?<!\\)%", command)], (
        "cron ends a command at a %"
    )


def test_its_lines_run_as_cron_runs_them(tmp_path: Path) -> None:
    """/bin/sh, cron's few variables, the home directory as working directory, no terminal."""
    settings, jobs = crontab()
    program = tmp_path / "with space" / ".venv" / "bin" / "sprint"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$PWD: $*"; echo "to stderr" >&2\n')
    program.chmod(0o755)
    (tmp_path / "with space" / "results").mkdir()
    for _, command in jobs:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env={
                **settings,
                "SPRINT": str(tmp_path / "with space"),
                "SHELL": "/bin/sh",
                "HOME": str(tmp_path),
            },
            cwd=tmp_path,
            capture_output=True,
            check=True,
        )
        assert done.stderr == b"to stderr\n", "cron mails what needs a person"
        assert ("--quiet" in command) == bool(done.stdout), "and alarms, but not what a tick did"
    log = (tmp_path / "with space" / "results" / "cron.log").read_text()
    assert [line.split(": ")[1] for line in log.splitlines()] == [
        "run Timmy_Foundation/timmy-home",
        "run Timmy_Foundation/the-beacon",
        "run Timmy_Foundation/timmy-config",
    ]
