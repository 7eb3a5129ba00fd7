"""Reading files of JSON lines: each line an object, with every fault found at once and named by its line number.

A file that is one JSON array of objects, as some data sets are published, is read too; its faults name items. So is one
that is a single object, over any number of lines.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from leafwise.benchmarks.errors import BenchmarkError

_MOST_TOLD = 10
_GZIP_MAGIC = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_MBPP = "Mbpp/"
_MORE_FOLLOWS = "Extra data"
"""How `json` calls it that a value has ended and the file has not."""
HALF_CHARACTER = "half a character (a lone surrogate)"
"""What a text has that cannot be written."""


class Line(NamedTuple):
    """One line of a file."""

    number: int
    """From 1; of an array's object, its place in the array."""
    data: dict[str, Any]
    """The object on it."""

    def has(self, field: str) -> bool:
        """Whether a field is there; one that is null is not."""
        return self.data.get(field) is not None

    def is_for(self, ids: Collection[str]) -> bool:
        """Whether its `task_id` names one of these tasks; one of MBPP may be named by its number alone."""
        given = self.data.get("task_id")
        return str(given) in ids or f"{_MBPP}{given}" in ids


class Faults:
    """What is wrong with a file; raised together, so that it can be mended in one go.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.place = "line"
        """What the numbers count."""
        self._found: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._found)

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
        told = [f"{self.place} {number}: {what}" for number, what in found[:_MOST_TOLD]]
        more = len(found) - len(told)
        told += [f"and {more} more"] if more else []
        raise BenchmarkError(f"{self._path} cannot be used: {'; '.join(told)}", hint)

    def unread(self, hint: str, ids: Mapping[int, str], read: Collection[str], *, leave_out: bool) -> dict[str, str]:
        """What is wrong, for who goes on without these lines: by the task's id, or by the line where that has none.

        Args:
            hint: what a good line looks like.
            ids: of tasks, by the lines' numbers.
            read: ids of the tasks that are left: what is wrong with a further line of such a task is told by the line.
            leave_out: whether to go on was asked for.

        Raises:
            BenchmarkError: the file has faults, and they are not left out.
        """
        if not (leave_out and read):
            self.raise_any(f"{hint}; to go on without them: --leave-out-broken" if read else hint)
        lost = {number: name for number, name in ids.items() if name not in read}
        found: dict[str, list[str]] = {}
        for number, what in sorted(self._found):
            found.setdefault(lost.get(number, f"{self.place} {number}"), []).append(what)
        return {name: "; ".join(what) for name, what in found.items()}

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
        elif not is_whole(value):
            self.add(line.number, f"{field!r} has {HALF_CHARACTER}")
        else:
            return value
        return None

    def task(self, line: Line, known: Collection[str]) -> str | None:
        """The id of the problem that a line is for; None, and a fault, if there is none.

        MBPP's own tools number its problems: for its data set `2` and `"2"` are `Mbpp/2`.

        Args:
            line: has a `task_id`.
            known: the ids that there are.
        """
        given = line.data.get("task_id")
        if type(given) in (int, str) and (numbered := f"{_MBPP}{given}") in known and given not in known:
            return numbered
        if type(given) is int and any(name.startswith(_MBPP) for name in known):
            self.add(line.number, f"there is no task {_MBPP}{given} in the data set")
            return None
        task_id = self.text(line, "task_id")
        if task_id is not None and task_id not in known:
            self.add(line.number, f"there is no task {task_id!r} in the data set")
            return None
        return task_id


def is_whole(text: str) -> bool:
    """Whether a text can be written: one with half a surrogate pair, which JSON can hold, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def ids_hint(known: Collection[str]) -> str:
    """What ids look like, for who wrote others."""
    ids = list(known)
    told = f"tasks {ids[0]} to {ids[-1]}" if len(ids) > 1 else f"task {ids[0]}"
    return f"the data set that --dataset names has the {told}"


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
    """The objects of a file's lines, or of its one array; what is none becomes a fault. Empty lines are passed over.

    Args:
        path: `.jsonl` or `.json`, packed with gzip or not.
        faults: is told of broken lines.

    Raises:
        BenchmarkError: the file cannot be read, or has nothing in it.
    """
    data = read_bytes(path).removeprefix(_BOM)
    values = list(_items(data, faults) if data.lstrip().startswith((b"[", b"{")) else _lines(data, faults))
    if not values and not faults:
        raise BenchmarkError(f"{path} is empty", "it should have one JSON object per line")
    for number, value in values:
        if not isinstance(value, dict):
            faults.add(number, f"{kind_of(value)}, not an object")
    return [Line(number, value) for number, value in values if isinstance(value, dict)]


def _items(data: bytes, faults: Faults) -> Iterator[tuple[int, Any]]:
    """A file that may be one array or object: its items, or itself; its lines where only the first is an array."""
    try:
        whole = json.loads(data.decode())
    except json.JSONDecodeError as error:
        if error.msg == _MORE_FOLLOWS or data.lstrip().startswith(b"{"):
            yield from _lines(data, faults)
        else:
            faults.add(error.lineno, f"not JSON ({error.msg}, column {error.colno})")
    except (ValueError, RecursionError):  # told by line
        yield from _lines(data, faults)
    else:
        if isinstance(whole, dict):
            yield 1, whole
            return
        faults.place = "item"
        yield from enumerate(whole, 1)


def _lines(data: bytes, faults: Faults) -> Iterator[tuple[int, Any]]:
    for number, raw in enumerate(data.split(b"\n"), 1):
        if not raw.strip():
            continue
        try:
            yield number, json.loads(raw.decode())  # of bytes it would guess the encoding
        except UnicodeDecodeError:
            faults.add(number, "not text in UTF-8")
        except json.JSONDecodeError as error:
            faults.add(number, f"not JSON ({error.msg}, column {error.colno})")
        except (ValueError, RecursionError) as error:  # an integer of too many digits, or too deep
            faults.add(number, f"not JSON that can be read ({error})")
