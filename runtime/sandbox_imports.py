"""Installed packages that programs may import: what has to be shown inside, and nothing else of site-packages."""

from __future__ import annotations

import functools
import importlib.metadata
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from packaging.requirements import Requirement

from leafwise.runtime.errors import UsageError

PACKAGES = "/packages"
"""Where they are mounted inside bubblewrap's namespaces."""
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_SHOWN = re.compile(r".*\.(dist-info|egg-info|pth)|__pycache__|bin")


def resolve_imports(modules: Sequence[str]) -> dict[str, Path]:
    """Find packages and all that they need.

    Args:
        modules: names as in `import NAME`.

    Returns:
        Name beside the others -> file or folder on this machine, for each that has to be there: the modules asked for,
        those of the distributions they require, and folders of shared libraries such as `numpy.libs`.

    Raises:
        UsageError: no such module is installed, or it is not installed as files.
    """
    found: dict[str, Path] = {}
    waiting = [distribution for module in modules for distribution in _distributions_of(module)]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if (canonical := re.sub(r"[-_.]+", "-", name).lower()) in seen:
            continue
        seen.add(canonical)
        distribution = importlib.metadata.distribution(name)
        found |= _entries(distribution)
        waiting += _needs(distribution)
    for module in modules:
        if not any(entry.partition(".")[0] == module for entry in found):
            raise UsageError(f"{module} is not installed as files that programs could be shown", "install its wheel")
    return found


def _distributions_of(module: str) -> list[str]:
    if not _MODULE.fullmatch(module):
        raise UsageError(f"{module!r} is not the name of a module", "name it as after `import`, for example numpy")
    if module in sys.stdlib_module_names:
        raise UsageError(f"{module} is in the standard library", "programs may import that anyway")
    try:
        return _packages_distributions()[module]
    except KeyError:
        raise UsageError(
            f"no module {module} is installed beside leafwise", f"install it there first: pip install {module}"
        ) from None


@functools.cache
def _packages_distributions() -> dict[str, list[str]]:
    return {module: list(names) for module, names in importlib.metadata.packages_distributions().items()}


def _entries(distribution: importlib.metadata.Distribution) -> dict[str, Path]:
    """The top-level files and folders that a distribution put into site-packages."""
    tops = {file.parts[0] for file in distribution.files or () if file.parts and file.parts[0] not in ("..", "/")}
    shown = (top for top in sorted(tops) if not _NOT_SHOWN.fullmatch(top))
    paths = {top: Path(str(distribution.locate_file(top))).resolve() for top in shown}
    return {top: path for top, path in paths.items() if path.exists()}


def _needs(distribution: importlib.metadata.Distribution) -> Iterator[str]:
    for text in distribution.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            try:
                importlib.metadata.distribution(requirement.name)
            except importlib.metadata.PackageNotFoundError:
                continue  # then the package does without it here too
            yield requirement.name
