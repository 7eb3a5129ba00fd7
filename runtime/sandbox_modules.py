"""Modules of the caller's own that programs may import: which can be, and copies that the sandbox's user can read."""

from __future__ import annotations

import contextlib
import keyword
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from leafwise.runtime.errors import UsageError
from leafwise.runtime.layer_bubblewrap import unprivileged_user

_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TAKEN = {"solution": "what the program itself is called", "leafwise": "a module of the sandbox's own"}
_FOLDER, _FILE = 0o700, 0o600


def check_module_name(name: str, path: Path) -> None:
    """Refuse a module that programs could not import under its name.

    Raises:
        UsageError: the name is no identifier, or another module has it.
    """
    if not _MODULE.fullmatch(name) or keyword.iskeyword(name) or name == "__init__":
        raise UsageError(f"{path} can't be imported: {name!r} is not the name of a module", "rename it")
    # `test` is missing from the list, and in the library all the same
    if name in sys.stdlib_module_names or name == "test":
        raise UsageError(f"{path} can't be imported: the standard library has a module {name}", "rename it")
    if name in _TAKEN:
        raise UsageError(f"{path} can't be imported: {name} is {_TAKEN[name]}", "rename it")


def resolve_modules(paths: Sequence[Path]) -> dict[str, Path]:
    """Check modules of the caller's.

    Args:
        paths: Python files and folders of packages; each is imported by its own name.

    Returns:
        Name of file or folder -> the path, links resolved.

    Raises:
        UsageError: one does not exist, is neither, or has a name that is no module's or is taken.
    """
    found: dict[str, Path] = {}
    modules: dict[str, Path] = {}
    for path in paths:
        if not path.is_dir() and not (path.is_file() and path.suffix == ".py"):
            what = "is neither a Python file nor a folder" if path.exists() else "does not exist"
            raise UsageError(f"{path} {what}", "give a file whose name ends in .py, or a package's folder")
        name = path.name if path.is_dir() else path.stem
        check_module_name(name, path)
        if modules.setdefault(name, path) != path:
            raise UsageError(f"{modules[name]} and {path} would both be the module {name}", "leave one of them out")
        found[path.name] = path.resolve()
    return found


@contextlib.contextmanager
def staged(files: Mapping[str, bytes]) -> Iterator[list[Path]]:
    """Copies of modules in a temporary folder: programs see these files and nothing that lies beside the originals.

    Only this user can read them, and the user that root's sandbox runs as.

    Args:
        files: path below the folder, with slashes -> content.

    Yields:
        The files and folders at the top, for `SandboxOptions.modules`.
    """
    group = unprivileged_user()
    with tempfile.TemporaryDirectory(prefix="leafwise-modules-") as name:
        top = Path(name)
        _let_read(top, group)
        for place, content in files.items():
            path = top / place
            for folder in reversed(path.parents):
                if folder.is_relative_to(top) and not folder.is_dir():
                    folder.mkdir(_FOLDER)
                    _let_read(folder, group)
            path.write_bytes(content)
            _let_read(path, group)
        yield sorted(top.iterdir())


def _let_read(path: Path, group: int | None) -> None:
    mode = _FOLDER if path.is_dir() else _FILE
    if group is not None:
        os.chown(path, -1, group)
        mode |= 0o050 if path.is_dir() else 0o040
    path.chmod(mode)
