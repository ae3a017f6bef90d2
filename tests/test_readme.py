"""The README tells the truth about what can be checked."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from sprint.cli import main
from sprint.config import load, schema
from sprint.outcomes import FACTS, Outcome, Retry

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SAMPLE = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)[0]


def test_the_sample_configuration_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "sprint.yaml"
    path.write_text(SAMPLE)
    config = load(path, environ={}, cwd=tmp_path, home=tmp_path)
    assert [repo.name for repo in config.repos] == ["acme/widgets", "octo/widgets"]


@pytest.mark.parametrize(
    "name",
    ["Limits", "SandboxConfig", "GatewayConfig", "PickConfig", "PublishConfig", "MonitorConfig"],
)
def test_the_sample_shows_every_key_with_its_default(name: str, tmp_path: Path) -> None:
    path = tmp_path / "sprint.yaml"
    path.write_text(SAMPLE)
    repo = load(path, environ={}, cwd=tmp_path, home=tmp_path).repos[0]
    structs = [repo.limits, repo.sandbox, repo.gateway, repo.pick, repo.publish]
    for field in msgspec.structs.fields(getattr(schema, name)):
        assert re.search(rf"\b{field.name}:", SAMPLE), f"{name}.{field.name} is not in the README"
    for struct in structs:
        if type(struct).__name__ == name:
            assert struct == type(struct)()


def test_every_outcome_is_explained_as_it_counts() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (passed|failed|neither) \| (.+) \|$", README, re.MULTILINE)
    assert rows == [(one.value, facts.verdict.value, facts.means) for one, facts in FACTS.items()]
    assert set(FACTS) == set(Outcome)
    assert all(facts.says and facts.means for facts in FACTS.values())
    assert all(bool(facts.why_over) is (facts.retry is Retry.NEVER) for facts in FACTS.values())


def test_every_dependency_has_its_line() -> None:
    wanted = re.findall(
        r'^    "([a-z0-9-]+)>=', (ROOT / "pyproject.toml").read_text().split("dev = [")[0], re.MULTILINE
    )
    table = README.split("## Dependencies")[1]
    assert [name for name in wanted if not re.search(rf"\b{name}\b", table)] == []


def test_the_commands_that_it_names_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    offered = set(re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE))
    named = set(re.findall(r"[`$] ?sprint ([a-z]+)", README))
    assert named <= offered, named - offered
    assert offered <= named, f"not in the README: {offered - named}"
