"""Packages of others that are imported whole only once something in them is asked for.

detect-secrets imports requests, by which it would ask servers whether a secret is a live one, and that takes
longer than all its rules. Such a package is put in its place empty: its modules can be imported from it as
ever, and the first name that only its own code gives has that code run. So nobody can tell, but by the time.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_BEGUN = "__sprint_begun__"

_lock = threading.RLock()  # a name may be asked for in two threads at once


def defer(package: str, **meanwhile: Any) -> None:
    """Defer this package and all packages below it, from now on, in this process.

    `meanwhile` stands in for names of its own that are written in annotations, until its code has run.
    """
    sys.meta_path.insert(0, _Finder(package, meanwhile))


class _Finder(MetaPathFinder):
    def __init__(self, package: str, meanwhile: Mapping[str, Any]) -> None:
        self._package = package
        self._meanwhile = meanwhile

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not f"{fullname}.".startswith(f"{self._package}."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec and spec.loader and spec.submodule_search_locations is not None:
            spec.loader = _Deferring(spec.loader, self._meanwhile if fullname == self._package else {})
        return spec


class _Deferring(Loader):
    def __init__(self, real: Loader, meanwhile: Mapping[str, Any]) -> None:
        self.real = real
        self._meanwhile = meanwhile

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Deferred(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing more, for now."""
        vars(module).update(self._meanwhile)


class _Deferred(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked for by those who look at any module
            raise AttributeError(name)
        with _lock:
            if not vars(self).get(_BEGUN):
                vars(self)[_BEGUN] = True  # its own code may come back here
                spec = self.__spec__
                assert spec
                assert isinstance(spec.loader, _Deferring)
                spec.loader.real.exec_module(self)
                self.__class__ = ModuleType  # type: ignore[assignment]
        try:
            return vars(self)[name]
        except KeyError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name) from None
