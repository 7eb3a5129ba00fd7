"""Seconds that multiplying with a matrix takes on this machine, by type and shape; measured once and kept.

Measured in a process of its own, with the buffers that llama.cpp would choose: types whose weights it repacks for this
processor are several times faster on prompts than their bits say.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, ValidationError

from leafwise.quant.errors import QuantizeError
from leafwise.quant.native_ggml import libraries_digest
from leafwise.quant.tensor_types import fits, type_named
from leafwise.runtime.contracts import Contract
from leafwise.runtime.cpu import read_cpu
from leafwise.runtime.paths import cache_dir, write_whole

_ROUNDS = 8


class Shape(NamedTuple):
    """Of a matrix."""

    columns: int
    """A row's length: the inputs."""
    rows: int
    """The outputs."""


class Speed(Contract):
    """Of one type and shape: a low one of many samples, as what else runs mostly adds."""

    type: str
    columns: int
    rows: int
    prefill_seconds: float = Field(gt=0)
    """To multiply with 512 columns of float32."""
    decode_seconds: float = Field(gt=0)
    """With one, the weights from memory: they were not used just before."""
    batch_seconds: float = Field(gt=0)
    """With 16, likewise."""
    buffer: str
    """Where llama.cpp puts such weights: `CPU_REPACK` in another order, made for this processor; `CPU` as they are."""
    clock: Literal["wall", "processor"]
    """`processor` where other programs kept the machine busy: the processor time of all threads, divided by these."""


class SpeedTable(Contract):
    """What was measured on a machine."""

    processor: str
    """Its name."""
    fingerprint: str
    """Equal for processors that run the same code."""
    threads: int
    llama_cpp: str
    """The version of llama-cpp-python, and a digest of its libraries: builds differ."""
    speeds: tuple[Speed, ...] = ()

    @property
    def machine(self) -> str:
        """Processor and threads, for people."""
        return f"{self.processor or 'unknown processor'}, {self.threads} thread{'s' if self.threads > 1 else ''}"

    def find(self, type_: str, shape: Shape) -> Speed | None:
        """The speed of a type and shape; None if it was not measured."""
        return self._by_key().get((type_, *shape))

    def _by_key(self) -> dict[tuple[str, int, int], Speed]:
        return {(speed.type, speed.columns, speed.rows): speed for speed in self.speeds}


def measure(
    wanted: Mapping[Shape, Sequence[str]],
    *,
    threads: int,
    again: bool = False,
    rounds: int = _ROUNDS,
    progress: Callable[[int, int], None] | None = None,
) -> SpeedTable:
    """Measure what the cache does not know yet; whatever is measured is kept at once, shape by shape.

    Args:
        wanted: shapes, and the types of each: `costs.shapes_to_measure`.
        threads: to multiply with; as many as the model will get.
        again: measure all of it anew, for example because the machine was busy the last time.
        rounds: every type takes its turn this often.
        progress: told the number of shapes done, and of all.

    Returns:
        All that is known of this machine, with these threads and this llama.cpp.

    Raises:
        UsageError: there is no such type, or rows cannot have it.
        QuantizeError: the measuring process failed.
    """
    table = _load(threads)
    todo: dict[Shape, list[str]] = {}
    for shape, types in wanted.items():
        _check(shape, types)
        missing = [name for name in types if again or table.find(name, shape) is None]
        if missing:
            todo[shape] = missing
    if not todo:
        return table
    for done, speeds in enumerate(_run(todo, threads, rounds), 1):
        table = _merged(table, speeds)
        _save(table)
        if progress:
            progress(done, len(todo))
    return table


def _check(shape: Shape, types: Sequence[str]) -> None:
    for name in types:
        if not fits(type_named(name), shape.columns) or shape.rows < 1:
            raise QuantizeError(f"a matrix of {shape.rows} x {shape.columns} cannot be {name}", "")


def _merged(table: SpeedTable, speeds: Sequence[Speed]) -> SpeedTable:
    known = {(s.type, s.columns, s.rows): s for s in (*table.speeds, *speeds)}
    return table.model_copy(update={"speeds": tuple(known[key] for key in sorted(known))})


def _load(threads: int) -> SpeedTable:
    cpu = read_cpu()
    empty = SpeedTable(
        processor=cpu.model,
        fingerprint=cpu.fingerprint,
        threads=threads,
        llama_cpp=f"{version('llama-cpp-python')} {libraries_digest()}",
    )
    try:
        known = SpeedTable.model_validate_json(_path(empty).read_bytes())
    except (OSError, ValidationError):  # not there, or of another version of this program
        return empty
    return known if known.model_copy(update={"speeds": ()}) == empty else empty


def _path(table: SpeedTable) -> Path:
    name = f"{table.fingerprint}-{table.llama_cpp.replace(' ', '-')}-{table.threads}.json"
    return cache_dir() / "speeds" / name


def _save(table: SpeedTable) -> None:
    path = _path(table)
    try:
        path.parent.mkdir(exist_ok=True)
        write_whole(path, table.model_dump_json().encode())
    except OSError as error:
        raise QuantizeError(f"cannot write {path}: {error.strerror}", "free some disk space") from error


def _run(todo: Mapping[Shape, Sequence[str]], threads: int, rounds: int) -> Iterator[list[Speed]]:
    """Runs the measuring process; gives the speeds of each shape when they arrive."""
    asked = {
        "threads": threads,
        "rounds": rounds,
        "shapes": [[shape.columns, shape.rows, list(types)] for shape, types in todo.items()],
    }
    command = [sys.executable, "-P", "-m", "leafwise.quant.native_speed", json.dumps(asked)]  # `-P`: see `logits`
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace")
    came = 0
    with child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                yield [Speed.model_validate(speed) for speed in json.loads(line)]
                came += 1
        except ValueError as error:
            child.kill()
            raise QuantizeError(
                "measuring speeds gave no usable answer", "is llama.cpp's build sound? see `leafwise doctor`"
            ) from error
        except BaseException:
            child.kill()
            raise
    if child.returncode or came < len(todo):
        how = f"died of {signal.Signals(-child.returncode).name}" if child.returncode < 0 else "failed"
        raise QuantizeError(f"measuring speeds {how}", "is llama.cpp's build sound? see `leafwise doctor`")
