"""The README and the pages that it leads to tell the truth about what can be checked."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from sprint.cli import main
from sprint.config import load, schema
from sprint.outcomes import FACTS, Outcome, Retry
from tests.around import around

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = "\n".join([README, *(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))])
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGES, re.DOTALL | re.MULTILINE)
SAMPLES = [block for block in BLOCKS if "apiVersion:" not in block]  # that one is a cluster's
(SAMPLE,) = (sample for sample in SAMPLES if "\nrepos:" in sample)


def test_the_sample_configuration_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "sprint.yaml"
    path.write_text(SAMPLE)
    config = load(path, around(tmp_path))
    assert [repo.name for repo in config.repos] == ["acme/widgets", "octo/widgets"]


def test_every_piece_of_one_is_valid_by_itself(tmp_path: Path) -> None:
    assert len(SAMPLES) > 1
    for sample in SAMPLES:
        (tmp_path / "sprint.yaml").write_text(sample)
        load(tmp_path / "sprint.yaml", around(tmp_path))


@pytest.mark.parametrize(
    "name",
    [
        "Limits",
        "SandboxConfig",
        "GatewayConfig",
        "PickConfig",
        "PublishConfig",
        "FollowConfig",
        "MonitorConfig",
    ],
)
def test_the_sample_shows_every_key_with_its_default(name: str, tmp_path: Path) -> None:
    path = tmp_path / "sprint.yaml"
    path.write_text(SAMPLE)
    repo = load(path, around(tmp_path)).repos[0]
    structs = [repo.limits, repo.sandbox, repo.gateway, repo.pick, repo.publish, repo.follow]
    for field in msgspec.structs.fields(getattr(schema, name)):
        assert re.search(rf"\b{field.name}:", SAMPLE), f"{name}.{field.name} is told nowhere"
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
    named = set(re.findall(r"[`$] ?sprint ([a-z]+)", PAGES))
    assert named <= offered, named - offered
    assert offered <= named, f"named nowhere: {offered - named}"


def test_its_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for link in re.findall(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
        heads = {re.sub(r"[^a-z ]", "", head.lower()).replace(" ", "-") for head in _heads(page)}
        assert set(re.findall(r"\]\(#([^)]+)\)", page.read_text())) <= heads, page.name


def _heads(page: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)


def test_each_decision_has_a_number_of_its_own() -> None:
    names = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    for name in names:
        first = (ROOT / "docs" / "decisions" / name).read_text().split("\n")[0]
        assert first.startswith(f"# {int(name[:4])}."), name
