"""Makes a large file so that it is whole or not there, whatever happens on the way."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from leafwise.quant.errors import QuantizeError

_PREFIX, _SUFFIX = ".leafwise-", ".part"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def whole_file(target: Path, *, replace: bool, needed_bytes: int, inputs: Sequence[Path] = ()) -> Iterator[Path]:
    """Give a path beside the target to write to; when the block ends, that file becomes the target.

    It is synced to the disk and then renamed, with the permissions of any new file of this process. Whatever ends the
    block otherwise, an interrupt too, removes it. What a killed process left behind is removed by the next call for the
    same directory.

    Args:
        target: the file to make; where it is a link, the link is replaced and not what it points to.
        replace: let it take the place of a file.
        needed_bytes: about what the file will take, to compare with the free space.
        inputs: files that are read meanwhile: the target must be none of them, by no name.

    Yields:
        The path to write to: an empty file; it may be opened and truncated by other processes, not renamed.

    Raises:
        QuantizeError: the target is an input, exists, or cannot be there; there is no room; an OSError on the way.
    """
    check_target(target, replace=replace, inputs=inputs)
    remove_leftovers(target.parent)
    _check_room(target, needed_bytes)
    try:
        part, lock = _create(target.parent)
    except OSError as error:
        raise _cannot_make(target, error) from error
    try:
        yield part
        _sync(part)
        _publish(part, target, replace=replace)
        _sync_directory(target.parent)
    except OSError as error:
        raise _cannot_make(target, error) from error
    finally:
        part.unlink(missing_ok=True)
        os.close(lock)


def remove_leftovers(directory: Path) -> int:
    """Remove what killed processes left in a directory; gives the number of files.

    Every writer holds a lock on its file, and the kernel lets go of it when the process is gone, however it went.
    """
    removed = 0
    for path in directory.glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError):  # gone already, or not ours to remove
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                removed += 1
            finally:
                os.close(handle)
    return removed


def check_target(target: Path, *, replace: bool, inputs: Sequence[Path] = ()) -> None:
    """Check as `whole_file` does, before the long work whose result goes there.

    Raises:
        QuantizeError: the target is an input, exists, or cannot be there.
    """
    try:
        if not target.parent.is_dir():
            raise QuantizeError(f"there is no directory {target.parent}", "make it first")
        found = target.stat()
    except FileNotFoundError:
        if target.is_symlink() and not replace:  # a link that leads nowhere
            raise _exists(target) from None
        return
    except OSError as error:
        raise _cannot_make(target, error) from error
    except ValueError as error:  # a null byte in the path
        raise QuantizeError(f"cannot make {str(target)!r}: {error}", "choose another name") from error
    _check_found(target, found, replace=replace, inputs=inputs)


def _check_found(target: Path, found: os.stat_result, *, replace: bool, inputs: Sequence[Path]) -> None:
    if any(path.exists() and os.path.samestat(path.stat(), found) for path in inputs):
        raise QuantizeError("input and output are the same file", "give the output another name")
    if not stat.S_ISREG(found.st_mode):
        raise QuantizeError(f"{target} is not a regular file", "give the name of a file")
    if not replace:
        raise _exists(target)


def _check_room(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise QuantizeError(
            f"the output needs about {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free",
            "free some disk space, or choose another place",
        )


def _create(directory: Path) -> tuple[Path, int]:
    """A new empty file, and the handle that holds the lock on it."""
    while True:
        # not of the target's name, which may be as long as names can be
        path = directory / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(6)}{_SUFFIX}"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody who cleans up was quicker
            os.close(handle)
            continue
        except OSError:  # a file system without locks: then nobody can mistake it for a leftover either
            return path, handle
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(handle).st_ino:
                return path, handle
        os.close(handle)


def _publish(part: Path, target: Path, *, replace: bool) -> None:
    if replace:
        part.replace(target)
        return
    try:
        target.hardlink_to(part)  # unlike a rename it fails where a file has appeared meanwhile
    except FileExistsError as error:
        raise _exists(target) from error
    except OSError as error:  # a file system without hard links
        if target.exists() or target.is_symlink():
            raise _exists(target) from error
        part.rename(target)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # some file systems cannot; the file itself is on the disk
            os.fsync(handle)
    finally:
        os.close(handle)


def _exists(target: Path) -> QuantizeError:
    return QuantizeError(f"{target} exists already", "choose another name, or add --force to replace it")


def _cannot_make(target: Path, error: OSError) -> QuantizeError:
    hint = "free some disk space" if error.errno in _FULL else "choose another place"
    return QuantizeError(f"cannot make {target}: {error.strerror or error}", hint)
