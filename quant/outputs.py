"""Whether a command may write the files that it was told to make: asked before its work, not after it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from leafwise.runtime.errors import UsageError
from leafwise.runtime.paths import check_writable


def check_outputs(outputs: Iterable[Path | None], *, inputs: Iterable[Path | None] = (), replace: bool) -> None:
    """Refuse outputs that would destroy something, or that cannot be written.

    Args:
        outputs: the files to make; None for one that was not asked for.
        inputs: the files that are read; None likewise.
        replace: let the outputs replace files, never the inputs.

    Raises:
        UsageError: an output is an input or another output, by whatever name; it exists; nothing can be written
            there; a name is no text.
    """
    read = [path for path in inputs if path is not None]
    made = [path for path in outputs if path is not None]
    for path in (*read, *made):
        check_name(path)
    for number, path in enumerate(made):
        if any(_same(path, other) for other in read):
            raise UsageError(f"{path} is an input too: it would be replaced", "give the output another name")
        if any(_same(path, other) for other in made[:number]):
            raise UsageError(f"{path} is named for two outputs", "give each a name of its own")
        _check_place(path, replace=replace)


def check_name(path: Path) -> None:
    """Refuse a name that can be neither printed nor noted in a file.

    Raises:
        UsageError: it is not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the name {str(path)!a} is not UTF-8", "rename the file") from error


def _same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, which may not be there yet."""
    try:
        return one.samefile(other)
    except OSError:
        return one.resolve() == other.resolve()


def _check_place(path: Path, *, replace: bool) -> None:
    dangling = path.is_symlink() and not path.exists()
    if (path.is_file() or dangling) and not replace:
        raise UsageError(f"{path} exists already", "choose another name, or add --force to replace it")
    if not path.parent.is_dir():
        raise UsageError(f"there is no directory {path.parent}", "make it first")
    try:
        check_writable(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", "choose another place") from error
