"""Where leafwise keeps its own files: the user's cache and state directories, made on demand.

Downloaded models are not here: they live in the cache of `huggingface_hub`, shared with every other program
that uses it.
"""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import platformdirs

from leafwise.runtime.errors import UsageError

APP_NAME = "leafwise"


def cache_dir() -> Path:
    """The directory of what can be computed again, such as probe verdicts; made with mode 0700 if it is missing.

    Raises:
        UsageError: it cannot be made or written.
    """
    return _writable(platformdirs.user_cache_path(APP_NAME, appauthor=False), "XDG_CACHE_HOME")


def state_dir() -> Path:
    """The directory of what a user would miss, such as runs to resume; made with mode 0700 if it is missing.

    Raises:
        UsageError: it cannot be made or written.
    """
    return _writable(platformdirs.user_state_path(APP_NAME, appauthor=False), "XDG_STATE_HOME")


def _writable(path: Path, variable: str) -> Path:
    elsewhere = f"or set {variable} to a directory that you can write to"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        fix = "free some disk space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "check what is in the way"
        raise UsageError(f"cannot make the directory {path}: {error.strerror}", f"{fix}, {elsewhere}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write to the directory {path}", f"check its owner and permissions, {elsewhere}")
    return path


def write_whole(target: Path, data: bytes) -> None:
    """Write a file beside its place and rename it: there is never half a file, and writers can't damage each other's.

    Raises:
        OSError: it can't be written.
    """
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)
