"""A folder for large files that nobody wants afterwards: gone when its user is done, or later if that was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

_PREFIX = "perturbed-"


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Give a new folder; it is removed when the block ends.

    Its user holds a lock on it, and the kernel lets go of that when the process is gone, however it went: folders that
    nobody holds are removed first.

    Args:
        parent: where to make it.

    Raises:
        OSError: it cannot be made.
    """
    with _held(parent.resolve()):  # nobody cleans up between a folder's making and its lock
        _remove_leftovers(parent)
        folder = Path(mkdtemp(prefix=_PREFIX, dir=parent))
        lock = _open(folder)
        with suppress(OSError):  # a file system without locks: then nobody can mistake it for a leftover either
            fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    handle = _open(folder)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _remove_leftovers(parent: Path) -> None:
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # somebody holds it, or it is gone, or no folder
            handle = _open(folder)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)


def _open(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
