"""Context files: Python files of the user's whose functions an answer may call. Parsed, never imported here."""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from leafwise.agents.contracts import ContextRoot
from leafwise.agents.errors import RunError, TaskError
from leafwise.runtime.paths import expanded
from leafwise.runtime.sandbox_modules import check_module_name, resolve_modules
from leafwise.runtime.syntax import parse

_LARGEST_FILE = 512 << 10
_MOST_FILES = 500
_BY_NAME = "give the files that are needed by name"
_PACKAGE = "__init__.py"


def read_context(paths: Sequence[str | Path]) -> tuple[ContextRoot, ...]:
    """What `--context` names, as modules that can be imported.

    A file is a module; one that lies in a package (beside an `__init__.py`) belongs to that package. A folder with an
    `__init__.py` is a package; of any other folder, every file and package directly in it is a module.

    Args:
        paths: files and folders.

    Returns:
        The modules at the top, in the order given; each once.

    Raises:
        TaskError: a path does not exist, or a file is no Python, not in UTF-8, or too large.
        UsageError: a module can't be imported under its name.
    """
    told: dict[Path, list[str]] = {}
    for path in paths:
        for root, files in _roots_of(expanded(path).absolute()):
            told.setdefault(root, [])
            told[root] += [file for file in files if file not in told[root]]
    resolve_modules([*told])
    roots: list[ContextRoot] = []
    for root, files in told.items():
        contents = _read(root)
        for file in files:
            _parse(contents[file], root.parent / file)
        roots.append(ContextRoot(path=str(root), files=tuple(files), sha256=_hash(contents)))
    return tuple(roots)


def load_context(roots: Sequence[ContextRoot]) -> dict[str, bytes]:
    """The Python files of all modules: path below the folder that holds the module, with slashes -> content.

    Raises:
        RunError: a file is gone or not the same any more.
    """
    found: dict[str, bytes] = {}
    for root in roots:
        try:
            contents = _read(Path(root.path))
        except TaskError as error:
            hint = "put it back, or start a new run"
            raise RunError(f"a context file of this run is gone: {error.message}", hint) from error
        if _hash(contents) != root.sha256:
            hint = "put it back as it was, or start a new run"
            raise RunError(f"the context {root.path} has changed since the run was started", hint)
        found |= contents
    return found


def parse_context(roots: Sequence[ContextRoot], contents: Mapping[str, bytes]) -> dict[str, ast.Module]:
    """Module name, such as `shop.prices` -> its tree, for the files whose functions are told to the model."""
    trees: dict[str, ast.Module] = {}
    for root in roots:
        for file in root.files:
            trees[_module_of(file)] = _parse(contents[file], Path(root.path).parent / file)
    return trees


def _module_of(file: str) -> str:
    parts = file.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# --- which files -----------------------------------------------------------------------------------------------------


def _roots_of(path: Path) -> Iterator[tuple[Path, list[str]]]:
    """The modules that a path stands for, each with the files that are told of."""
    if not path.exists():
        raise TaskError(f"there is no context {path}", "give a Python file or a folder of Python files")
    if path.is_file():
        if path.suffix != ".py":
            raise TaskError(f"the context {path} is no Python file", "its name has to end in .py")
        root = _top(path)
        yield root, [path.relative_to(root.parent).as_posix()]
        return
    inside = _python_files(path)
    if (path / _PACKAGE).is_file():
        root = _top(path)
        yield root, [file.relative_to(root.parent).as_posix() for file in inside]
        return
    roots = [entry for entry in sorted(path.iterdir()) if _is_module(entry)]
    if not roots:
        raise TaskError(f"the context {path} holds no Python file that can be imported", "give Python files by name")
    for root in roots:
        files = [root] if root.is_file() else _python_files(root)
        yield root, [file.relative_to(path).as_posix() for file in files]


def _top(path: Path) -> Path:
    """The file itself, or the outermost package that holds it."""
    while (path.parent / _PACKAGE).is_file():
        path = path.parent
    return path


def _is_module(path: Path) -> bool:
    """Whether somebody could import it; scripts with a dash in their name are no modules."""
    is_file = path.suffix == ".py" and path.is_file()
    name = path.stem if is_file else path.name
    if not (is_file or (path / _PACKAGE).is_file()) or not name.isidentifier():
        return False
    check_module_name(name, path)
    return True


def _python_files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        paths = [Path(place) / name for name in sorted(files) if name.endswith(".py") and not name.startswith(".")]
        found += [path for path in paths if path.is_file()]
        if len(found) > _MOST_FILES:
            raise TaskError(f"the context {folder} has more than {_MOST_FILES} Python files", _BY_NAME)
    return found


# --- their content ---------------------------------------------------------------------------------------------------


def _read(root: Path) -> dict[str, bytes]:
    files = [root] if root.suffix == ".py" else _python_files(root)
    contents: dict[str, bytes] = {}
    for path in files:
        try:
            if path.stat().st_size > _LARGEST_FILE:
                raise TaskError(f"the context file {path} is larger than {_LARGEST_FILE >> 10} KiB", _BY_NAME)
            contents[path.relative_to(root.parent).as_posix()] = path.read_bytes()
        except OSError as error:
            raise TaskError(f"cannot read the context file {path}: {error.strerror}", "give a readable file") from error
    if not contents:
        raise TaskError(f"there is no context {root}", "give a Python file or a folder of Python files")
    return contents


def _parse(content: bytes, path: Path) -> ast.Module:
    try:
        return parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise TaskError(f"the context file {path} is not text in UTF-8", "save it as UTF-8") from error
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        where = f", line {line}" if line else ""
        raise TaskError(f"the context file {path} has a syntax error{where}", f"mend it, or {_BY_NAME}") from error


def _hash(contents: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(contents):
        digest.update(f"{name}\0{len(contents[name])}\0".encode())
        digest.update(contents[name])
    return digest.hexdigest()
