"""Packages of others that are imported whole only once something in them is asked for.

detect-secrets imports requests, by which it would ask servers whether a secret is a live one, and that takes
longer than all its rules. Such a package is put in its place empty: its modules can be imported from it as
ever, and the first name that only its own code gives has that code run. So nobody can tell, but by the time;
unless the package gives another thing the name of one of its modules.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # with it come thirty modules
    from importlib.abc import Loader

_BEGUN = "__sprint_begun__"

_lock = threading.RLock()  # a name may be asked for in two threads at once


def defer(package: str, **meanwhile: Any) -> None:
    """Defer this package and all packages below it, from now on, in this process.

    `meanwhile` stands in for names of its own that are written in annotations, until its code has run.
    """
    sys.meta_path.insert(0, _Finder(package, meanwhile))


class _Finder:
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
            meanwhile = self._meanwhile if fullname == self._package else {}
            spec.loader = _Deferring(spec.loader, meanwhile)  # type: ignore[assignment]
        return spec


class _Deferring:
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
        if not vars(self).get(_BEGUN) and PathFinder.find_spec(f"{self.__name__}.{name}", self.__path__):
            return importlib.import_module(f"{self.__name__}.{name}")  # `from package import module`
        with _lock:
            if not vars(self).get(_BEGUN):
                vars(self)[_BEGUN] = True  # its own code may come back here
                spec = self.__spec__
                assert spec
                assert isinstance(spec.loader, _Deferring)
                spec.loader.real.exec_module(self)
                self.__class__ = ModuleType
        try:
            return vars(self)[name]
        except KeyError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name) from None
