"""Where leafwise keeps its own files: the user's cache and state directories, made on demand.

Downloaded models are not here: they live in the cache of `huggingface_hub`, shared with every other program
that uses it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
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


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal; takes seconds for a large one.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(target: Path, data: bytes, *, private: bool = False) -> None:
    """Write a file beside its place and rename it: there is never half a file, and writers can't damage each other's.

    Args:
        target: the file; a link is replaced, not what it points to. What is there and is no file, such as a named
            pipe, `/dev/null` or `/dev/stdout`, stays and is written into: a named pipe waits for its reader.
        data: what it will hold.
        private: only the owner may read it; otherwise the process's umask decides, as for every new file.

    Raises:
        OSError: it can't be written.
    """
    special = _open_special(target)
    if special is not None:
        with os.fdopen(special, "wb") as file:
            file.write(data)
        return
    # not of the target's name, which may be as long as names can be
    part = target.with_name(f".leafwise-{secrets.token_hex(8)}.tmp")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 if private else 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def expanded(path: Path | str) -> Path:
    """A path with `~` and `~user` replaced by the folders that they stand for.

    Raises:
        UsageError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{path}: there is no such user here", "write the path out") from error


def check_writable(target: Path) -> None:
    """Try before long work whether `write_whole` is going to find a place; nothing is changed.

    Args:
        target: the file, there or not.

    Raises:
        OSError: nothing can be written there.
    """
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if _is_special(target):  # opening a pipe would wait for its reader
        if not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return
    with tempfile.TemporaryFile(dir=target.parent):  # for root all permissions are there, on a read-only disk too
        pass


def _open_special(target: Path) -> int | None:
    """A descriptor to write what a new file must not take the place of; None for files, folders and free places."""
    if not _is_special(target):
        return None
    number = _own_descriptor(target)
    if number is not None:
        return os.dup(number)  # opened anew, a redirected file would be overwritten from its beginning
    return os.open(target, os.O_WRONLY | os.O_CLOEXEC)


def _is_special(target: Path) -> bool:
    if not target.exists() or target.is_dir():
        return False
    return not target.is_file() or _own_descriptor(target) is not None


def _own_descriptor(target: Path) -> int | None:
    """The number of the open file of this process that a path stands for: `/dev/stdout`, `/dev/fd/3`."""
    own = Path(f"/proc/{os.getpid()}/fd")
    for place in (target.absolute(), target.readlink()) if target.is_symlink() else ():
        if place.is_absolute() and place.parent.resolve() == own and place.name.isdigit():
            return int(place.name)
    return None
