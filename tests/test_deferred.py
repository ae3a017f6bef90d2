"""Packages that are imported whole only when something in them is asked for."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from sprint import deferred


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """`drawing` with `drawing.shapes`, whose own code notes each time that it runs."""
    name = f"drawing_{tmp_path.name}".replace("-", "_")
    folder = tmp_path / name
    (folder / "shapes").mkdir(parents=True)
    (folder / "__init__.py").write_text("from .shapes.kinds import Circle\n")
    (folder / "shapes" / "kinds.py").write_text("class Circle: ...\n")
    (folder / "shapes" / "__init__.py").write_text(
        "from .kinds import Circle\nfrom . import kinds\nRUNS = 1\nAGAIN = kinds.Circle\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    deferred.defer(f"{name}.shapes")
    return name


def test_its_modules_are_there_and_its_own_code_runs_when_a_name_of_it_is_wanted(package: str) -> None:
    drawing = importlib.import_module(package)
    shapes = sys.modules[f"{package}.shapes"]
    assert "RUNS" not in vars(shapes)
    assert not hasattr(shapes, "__all__")  # what looks at each module does not count
    assert drawing.Circle is shapes.Circle
    assert vars(shapes)["RUNS"] == 1
    assert shapes.kinds is sys.modules[f"{package}.shapes.kinds"]
    with pytest.raises(AttributeError, match="has no attribute 'Square'"):
        shapes.Square  # noqa: B018


def test_to_import_a_module_from_it_has_its_own_code_not_run(package: str) -> None:
    deferred.defer(f"{package}.tools")
    (Path(sys.path[0]) / package / "tools").mkdir()
    (Path(sys.path[0]) / package / "tools" / "__init__.py").write_text("raise RuntimeError\n")
    (Path(sys.path[0]) / package / "tools" / "saw.py").write_text("TEETH = 20\n")
    given: dict[str, Any] = {}
    exec(f"from {package}.tools import saw", given)
    assert given["saw"].TEETH == 20
    with pytest.raises(RuntimeError):
        sys.modules[f"{package}.tools"].HAMMER  # noqa: B018


def test_threads_that_want_it_at_once_all_get_it(package: str) -> None:
    importlib.import_module(package)
    shapes = sys.modules[f"{package}.shapes"]
    got = []
    threads = [threading.Thread(target=lambda: got.append(shapes.AGAIN)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [shapes.Circle] * 8


def test_what_stands_in_for_a_name_gives_way_to_it(package: str) -> None:
    deferred.defer(f"{package}.tools", RUNS=0)
    (Path(sys.path[0]) / package / "tools").mkdir()
    (Path(sys.path[0]) / package / "tools" / "__init__.py").write_text("RUNS = 1\nOTHER = 2\n")
    tools = importlib.import_module(f"{package}.tools")
    assert tools.RUNS == 0
    assert tools.OTHER == 2
    assert tools.RUNS == 1


def test_rules_for_secrets_bring_no_http_and_what_they_left_can_be_had() -> None:
    code = (
        "import sys\nfrom sprint.policy.scanner import Scanner\n"
        "secret = b'k = \"AKIA' + b'QWER' * 4 + b'\"'\n"
        "print(len(list(Scanner(cpu_seconds=60).scan('x', secret))), 'charset_normalizer' in sys.modules)\n"
        "from detect_secrets.plugins import aws\n"
        "print(aws.requests.Session.__name__, 'charset_normalizer' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "False", "Session", "True"]
