"""What is imported while something else is waited for."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from sprint import early_imports


def test_a_package_is_imported_with_all_that_is_in_it_whatever_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"rules_{tmp_path.name}".replace("-", "_")
    (tmp_path / name).mkdir()
    for module, text in {"__init__": "", "broken": "raise RuntimeError", "one": "", "two": ""}.items():
        (tmp_path / name / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    early_imports.load("no_such_module", f"{name}.*")
    for thread in [thread for thread in threading.enumerate() if thread.name == "imports"]:
        thread.join()
    assert {one for one in sys.modules if one.startswith(name)} == {name, f"{name}.one", f"{name}.two"}
