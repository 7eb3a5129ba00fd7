"""What the commands that judge recorded texts do with their results: the places, what Ctrl-C says, the file of JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.report_cli import refuse_missing_folder
from leafwise.runtime.contracts import Contract

STDOUT = Path("-")
"""The place that stands for standard output."""


def refuse_places(places: Mapping[str, Path | None], inputs: Sequence[Path]) -> None:
    """Before anything is run: results must have a place, and nothing that is read may be lost.

    Args:
        places: where results go, by the options that say so; only --json may be standard output.
        inputs: what is read.

    Raises:
        BenchmarkError: a place is one of the inputs or no file, or two places are one.
        UsageError: a place can't be written.
    """
    files = {option: path for option, path in places.items() if path is not None}
    if files.get("--json") == STDOUT:
        del files["--json"]
    if strange := [option for option, path in files.items() if path == STDOUT]:
        raise BenchmarkError(f"{strange[0]} needs a file", "what it keeps is read again: name a file")
    for place in files.values():
        refuse_missing_folder(place)
        if any(place.exists() and path.exists() and place.samefile(path) for path in inputs):
            raise BenchmarkError(f"{place} is what is read", "choose another place for the results")
    for (first, one), (second, other) in combinations(files.items(), 2):
        if one.absolute() == other.absolute():
            raise BenchmarkError(f"{first} and {second} name the same file", "give each a file of its own")


@contextmanager
def interruptible(place: Path | None, kept: str, lost: str) -> Iterator[None]:
    """Ctrl-C says what is kept.

    Args:
        place: the file that keeps what was done, if there is one.
        kept: what to say if something is in it.
        lost: what to say if there is none.
    """
    try:
        yield
    except KeyboardInterrupt:
        if place is None:
            said = lost
        else:
            said = kept if place.exists() and place.stat().st_size else "there was nothing to keep yet"
        print(f"interrupted; {said}", file=sys.stderr)
        raise


def save_json(path: Path | None, content: Contract, hint: str) -> None:
    """Write all numbers; nothing to do without a file.

    Args:
        path: the file; standard output is left to the caller.
        content: the numbers.
        hint: what to do if it can't be written.

    Raises:
        BenchmarkError: it can't be written.
    """
    from leafwise.runtime.paths import write_whole

    if path is None or path == STDOUT:
        return
    try:
        write_whole(path, content.model_dump_json(indent=2).encode() + b"\n")
    except OSError as error:
        raise BenchmarkError(f"cannot write {path}: {error.strerror}", hint) from error
