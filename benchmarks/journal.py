"""A file of JSON lines that only grows: whole lines or nothing, whatever kills the process that writes."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import Generic, Self, TypeVar

from pydantic import ValidationError

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.runtime.contracts import Contract

_C = TypeVar("_C", bound=Contract)


class Journal(Generic[_C]):
    """Appends contracts to a file, one per line; also a context manager.

    A process that is killed loses at most the line that it was writing: such a torn line, one without its line break,
    is cut off when the file is opened again.

    Args:
        path: the file; made if it is not there.
        kind: what its lines hold.
        go_on: how its owner's command goes on after a full disk, for the hint.

    Raises:
        BenchmarkError: it can't be opened, is no file, a line can't be read, or another process writes it.
    """

    def __init__(self, path: Path, kind: type[_C], go_on: str = "go on with --resume") -> None:
        self.path = path
        self._go_on = go_on
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise BenchmarkError(f"cannot open {path}: {error.strerror}", "choose another place") from error
        try:
            if not stat.S_ISREG(os.fstat(self._file).st_mode):  # reading a pipe would wait for ever
                raise BenchmarkError(f"{path} is no file", "choose a place that keeps what is written")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            data = path.read_bytes()
            self._size = data.rfind(b"\n") + 1
            self.found: list[_C] = _read(path, data[: self._size], kind)
            """The lines that were there when it was opened, in order."""
            os.ftruncate(self._file, self._size)  # only now: a file of another kind stays as it is
        except OSError as error:
            self.close()
            why = "another process writes it" if isinstance(error, BlockingIOError) else error.strerror
            raise BenchmarkError(f"cannot write {path}: {why}", "wait for it, or choose another place") from error
        except BenchmarkError:
            self.close()
            raise

    def append(self, item: _C) -> None:
        """Write one line.

        Raises:
            BenchmarkError: the line can't be written; what was there before is there still.
        """
        line = item.model_dump_json().encode() + b"\n"
        left = memoryview(line)
        try:
            while left:  # a nearly full disk takes a part, and refuses the rest
                left = left[os.write(self._file, left) :]
        except OSError as error:
            os.ftruncate(self._file, self._size)
            hint = f"make room and {self._go_on}: everything before is kept"
            raise BenchmarkError(f"cannot write {self.path}: {error.strerror}", hint) from error
        self._size += len(line)

    def close(self) -> None:
        """Close the file. Closing twice is fine."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_journal(path: Path, kind: type[_C]) -> list[_C]:
    """The lines of a journal that nobody needs to write; a torn last line is left out.

    Raises:
        BenchmarkError: it can't be read, or a line has another form.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BenchmarkError(f"cannot read {path}: {error.strerror}", "is this the directory of a run?") from error
    return _read(path, data[: data.rfind(b"\n") + 1], kind)


def _read(path: Path, data: bytes, kind: type[_C]) -> list[_C]:
    found: list[_C] = []
    for number, line in enumerate(data.splitlines(), 1):
        try:
            found.append(kind.model_validate_json(line))
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"]))
            said = f"{path}, line {number}: {where + ': ' if where else ''}{problem['msg']}"
            raise BenchmarkError(said, "it was written by another version, or changed; start in a new place") from None
    return found
