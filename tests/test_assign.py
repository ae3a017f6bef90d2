"""Who works on an issue: the command line, a label, the configuration; and who takes over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sprint.config import CodexWorkerConfig, HermesWorkerConfig, load
from sprint.errors import ConfigError
from tests.around import around
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.site import Site
from tests.widgets import CHECK, FILES, REPO

FIX = "sed -i 's/n + n + 1/n + n/' widgets.py && echo {name} did. >$SPRINT_SUMMARY"


@pytest.fixture
def site(gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel]) -> Site:
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.", labels=["worker:second"])
    scripts = {
        name: {"kind": "command", "command": FIX.format(name=name)} for name in ("first", "second", "third")
    }
    return Site(
        workspaces / "site",
        gitea,
        model_server([]),
        workers={
            **scripts,
            "careful": {"kind": "claude", "program": "/nowhere/claude", "fallbacks": ["quick", "third"]},
            "quick": {"kind": "codex", "program": "/nowhere/codex", "fallbacks": ["careful"]},
        },
        repos=[{"name": REPO, "checks": [CHECK], "worker": "first"}],
    )


def did(site: Site, *options: str) -> str:
    done = site.sprint("run", REPO, *options)
    assert done.returncode == 0, done.stderr
    (row,) = site.rows()
    assert row["outcome"] == "pr_opened"
    return row["worker"]


def test_the_configured_one_unless_labels_may_choose(site: Site) -> None:
    assert did(site) == "first"


def test_a_label_chooses_where_it_may(site: Site) -> None:
    site.settings["pick"] = {"worker_labels": True}
    site.write()
    assert did(site) == "second"


def test_the_command_line_outweighs_a_label(site: Site) -> None:
    site.settings["pick"] = {"worker_labels": True}
    site.write()
    assert did(site, "--worker", "third") == "third"


def test_a_fallback_takes_over_and_the_ledger_names_it(site: Site) -> None:
    assert did(site, "--worker", "careful") == "third"


def test_without_a_fallback_that_can_begin_nothing_is_claimed(site: Site) -> None:
    site.settings["workers"]["careful"]["fallbacks"] = ["quick"]
    site.write()
    done = site.sprint("run", REPO, "--worker", "careful")
    assert done.returncode == 2
    assert "worker claude: there is no /nowhere/claude" in done.stderr
    assert (site.rows(), site.runs()) == ([], [])


def test_a_kind_of_agent_needs_no_section(site: Site) -> None:
    done = site.sprint("run", REPO, "--worker", "codex")
    assert (done.returncode, site.runs()) == (2, [])
    assert "worker codex: codex is not on the PATH; install it with" in done.stderr


def test_no_such_worker(site: Site) -> None:
    done = site.sprint("run", REPO, "--worker", "nobody")
    assert done.returncode == 2
    assert "--worker: no worker is called 'nobody'" in done.stderr


@pytest.mark.parametrize(
    ("worker", "fault"),
    [
        ({"kind": "claude", "fallbacks": ["nobody"]}, "workers.w.fallbacks: no worker is called 'nobody'"),
        ({"kind": "claude", "colour": "red"}, "workers.w: unknown key colour"),
        ({"kind": "gemini"}, "workers.w.kind"),
        ({"kind": "hermes", "via": "server"}, "workers.w.via"),
    ],
)
def test_what_a_worker_may_not_be(tmp_path: Path, worker: dict[str, Any], fault: str) -> None:
    path = tmp_path / "sprint.yaml"
    path.write_text(yaml.safe_dump({"workers": {"w": worker}}))
    with pytest.raises(ConfigError, match=fault):
        load(path, around(tmp_path))


def test_a_repository_may_name_a_kind_of_agent(tmp_path: Path) -> None:
    path = tmp_path / "sprint.yaml"
    told = {"repos": [{"name": REPO, "worker": "hermes"}], "forges": {"github": {"kind": "github"}}}
    path.write_text(yaml.safe_dump(told))
    config = load(path, around(tmp_path))
    assert isinstance(config.workers["hermes"], HermesWorkerConfig)
    assert "codex" not in config.workers  # which doctor would look for
    assert isinstance(config.worker("codex"), CodexWorkerConfig)
    assert config.worker("command") is None
