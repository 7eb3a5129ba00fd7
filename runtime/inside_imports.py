"""Finds the packages that programs may import, and only those: no folder with other packages is on `sys.path`.

Runs inside the sandbox, standard library only.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from os.path import isdir, isfile, join
from typing import Any


class AllowedPackages:
    """A finder for `sys.meta_path`.

    Args:
        paths: file or folder of each top-level module.
    """

    def __init__(self, paths: dict[str, str]) -> None:
        self._paths = {name.partition(".")[0]: path for name, path in paths.items() if not name.endswith(".libs")}

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """The spec of an allowed top-level module; None for any other, and for submodules, which need no help."""
        place = self._paths.get(fullname)
        if place is None:
            return None
        if not isdir(place):
            return importlib.util.spec_from_file_location(fullname, place)
        start = join(place, "__init__.py")
        if isfile(start):
            return importlib.util.spec_from_file_location(fullname, start, submodule_search_locations=[place])
        spec = ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = [place]
        return spec


def allow_packages(paths: dict[str, str], modules: list[str]) -> None:
    """Let programs import packages, and import those that were asked for now.

    Args:
        paths: file or folder of each top-level module.
        modules: the ones asked for; the rest is what they need.

    Raises:
        ImportError: one of them can't be imported in here.
    """
    if not paths:
        return
    sys.meta_path.append(AllowedPackages(paths))
    for module in modules:
        importlib.import_module(module)
