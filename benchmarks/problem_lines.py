"""Reading files of JSON lines: each line an object, with every fault found at once and named by its line number."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from leafwise.benchmarks.errors import BenchmarkError

_MOST_TOLD = 10
_GZIP_MAGIC = b"\x1f\x8b"


class Line(NamedTuple):
    """One line of a file."""

    number: int
    """From 1."""
    data: dict[str, Any]
    """The object on it."""


class Faults:
    """What is wrong with a file; raised together, so that it can be mended in one go.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: list[tuple[int, str]] = []

    def add(self, number: int, what: str) -> None:
        """Note a fault on a line."""
        self._found.append((number, what))

    def raise_any(self, hint: str) -> None:
        """Do nothing if the file is fine.

        Args:
            hint: what a good line looks like.

        Raises:
            BenchmarkError: names the first ten faults, and how many more there are.
        """
        if not self._found:
            return
        found = sorted(self._found)
        told = [f"line {number}: {what}" for number, what in found[:_MOST_TOLD]]
        more = len(found) - len(told)
        told += [f"and {more} more"] if more else []
        raise BenchmarkError(f"{self._path} cannot be used: {'; '.join(told)}", hint)

    def text(self, line: Line, field: str, *, filled: bool = True) -> str | None:
        """A field that has to be text; None, and a fault, if it is not.

        Args:
            line: the line.
            field: the field's name.
            filled: whether empty text is a fault too.
        """
        if field not in line.data:
            self.add(line.number, f"no {field!r}")
        elif not isinstance(value := line.data[field], str):
            self.add(line.number, f"{field!r} is {kind_of(value)}, not text")
        elif filled and not value.strip():
            self.add(line.number, f"{field!r} is empty")
        else:
            return value
        return None


def kind_of(value: object) -> str:
    """What a JSON value is, in words."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "an object"


def read_bytes(path: Path) -> bytes:
    """A file's content, unpacked if it is gzip's, whatever its name.

    Raises:
        BenchmarkError: it cannot be read.
    """
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data.startswith(_GZIP_MAGIC) else data
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BenchmarkError(f"cannot read {path}: {reason}", "give a .jsonl or .jsonl.gz file") from error


def read_lines(path: Path, faults: Faults) -> list[Line]:
    """The lines of a file that are objects; others become faults. Empty lines are passed over.

    Args:
        path: `.jsonl`, packed with gzip or not.
        faults: is told of broken lines.

    Raises:
        BenchmarkError: the file cannot be read, or has no line at all.
    """
    data = read_bytes(path)
    if not data.strip():
        raise BenchmarkError(f"{path} is empty", "it should have one JSON object per line")
    return list(_objects(data, faults))


def _objects(data: bytes, faults: Faults) -> Iterator[Line]:
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not raw.strip():
            continue
        try:
            value = json.loads(raw.decode())  # of bytes it would guess the encoding
        except UnicodeDecodeError:
            faults.add(number, "not text in UTF-8")
        except json.JSONDecodeError as error:
            faults.add(number, f"not JSON ({error.msg}, column {error.colno})")
        except (ValueError, RecursionError) as error:  # an integer of too many digits, or too deep
            faults.add(number, f"not JSON that can be read ({error})")
        else:
            if isinstance(value, dict):
                yield Line(number, value)
            else:
                faults.add(number, f"{kind_of(value)}, not an object")
