"""Packages that are imported whole only when something in them is asked for."""

from __future__ import annotations

import importlib
import subprocess
import sys
import threading
from pathlib import Path

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


def test_a_model_s_client_brings_no_more_than_it_needs() -> None:
    code = (
        "import sys\nimport sprint.model.connection\nimport openai\n"
        "print(sum(name.startswith('openai.types') for name in sys.modules))\n"
        "print(openai.types.responses.Response.__name__, openai.types.CompletionUsage.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, *names = done.stdout.split()
    assert int(count) < 150
    assert names == ["Response", "CompletionUsage"]
