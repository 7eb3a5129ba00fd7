"""Runs llama.cpp's quantizer as a process of its own, and reads from its log what it does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leafwise.quant.errors import QuantizeError
from leafwise.runtime.crash_signals import signal_name

RESERVE = "leafwise.reserve."
"""Begins the keys of the entries that keep room in the header."""
# An 8B file from F16 to Q4_0, measured: 1.24 GiB at its peak and 60 s of processor time; with llama.cpp's default of
# 8 GiB 3.40 GiB and 56 s.
_BUFFER_BYTES = 256 * 2**20
_TENSOR = re.compile(r"\[\s*(\d+)/\s*(\d+)\]\s+(\S+)\s+-\s+\[[^]]*\], type =\s*(\w+), size = .*?(?:\((\w+)\))?$")
_PROGRESS = re.compile(r"\[\s*(\d+)/\s*(\d+)\]")
_FALLBACK = re.compile(r"(\S+)\s+- ncols .*required for type\s+(\w+)\).*falling back to\s+(\w+)")
_PEAK = "peak resident bytes: "


class Order(NamedTuple):
    """What to have llama.cpp do."""

    source: Path
    """The file to read."""
    target: Path
    """The file to write; it exists and is empty."""
    file_type: int
    """`LLAMA_FTYPE_*`."""
    types: Mapping[str, int] = {}
    """Types of single tensors, `GGML_TYPE_*` by name."""
    importance: Mapping[str, NDArray[np.float32]] = {}
    """For each tensor's name a value per column."""
    pure: bool = False
    """The file type's own type for every tensor."""
    dry_run: bool = False
    """Only say what would be done."""
    threads: int = 0
    """0 for one per core."""
    room: int = 0
    """Bytes of the header to keep free."""


class Report(NamedTuple):
    """What llama.cpp said about it."""

    fallbacks: dict[str, tuple[str, str]]
    """For each tensor whose rows do not fit its type: that type, and the one it got instead."""
    types: dict[str, str]
    """In a dry run: the type that each tensor would have."""
    peak_bytes: int
    """Peak resident memory of the process, the mapped pages of the input among it."""


def run_quantizer(order: Order, progress: Callable[[int, int], None] | None = None) -> Report:
    """Run it to its end.

    Whatever ends the call, the process is gone then; and it goes with this one if that is killed.

    Args:
        order: what to do.
        progress: told the number of tensors done, and of all.

    Raises:
        QuantizeError: it failed or died.
    """
    command = [sys.executable, "-P", "-m", "leafwise.quant.native"]  # `-P`: see `logits`
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines: list[str] = []
    with child:
        try:
            _send(child, order)
            assert child.stdout is not None
            for raw in child.stdout:
                lines.append(raw.decode(errors="replace").strip())
                if progress and (found := _PROGRESS.search(lines[-1])):
                    progress(int(found[1]), int(found[2]))
        except BaseException:
            child.kill()
            raise
    if child.returncode:
        raise _failure(child.returncode, lines, order.target)
    return _read(lines)


def _send(child: subprocess.Popen[bytes], order: Order) -> None:
    arrays = {name: np.ascontiguousarray(values, np.float32) for name, values in order.importance.items()}
    job: dict[str, Any] = {
        "parent": os.getpid(),
        "source": str(order.source),
        "target": str(order.target),
        "file_type": order.file_type,
        "types": dict(order.types),
        "importance": [(name, values.size) for name, values in arrays.items()],
        "pure": order.pure,
        "dry_run": order.dry_run,
        "threads": order.threads,
        "buffer_bytes": _BUFFER_BYTES,
        "room": order.room,
        "reserve": RESERVE,
    }
    assert child.stdin is not None
    with suppress(BrokenPipeError):  # it died: its status says why
        child.stdin.write(json.dumps(job).encode() + b"\n")
        for values in arrays.values():
            child.stdin.write(values.tobytes())
        child.stdin.close()


def _failure(status: int, lines: list[str], target: Path) -> QuantizeError:
    said = [line for line in lines if line][-5:]
    if status < 0:
        return QuantizeError(
            f"llama.cpp's quantizer died of {signal_name(-status)}", "was there memory left? see `leafwise doctor`"
        )
    text = " | ".join(said)
    if "iostream error" in text:  # all that C++ streams say about a failed write
        free = shutil.disk_usage(target.parent).free
        return QuantizeError(
            f"llama.cpp could not write the file: a full disk or a limit ({free / 1e6:,.0f} MB are free)",
            "free some disk space, or choose another place",
        )
    if "not laid out as expected" in text:
        return QuantizeError(
            "this version of llama-cpp-python takes neither recipes nor importance matrices from here",
            "install the version that leafwise was tested with: pip install llama-cpp-python==0.3.36",
        )
    return QuantizeError(f"llama.cpp's quantizer failed: {text}", "is the input sound? see `leafwise models show`")


def _read(lines: list[str]) -> Report:
    fallbacks, types, peak = {}, {}, 0
    for line in lines:
        if found := _FALLBACK.search(line):
            fallbacks[found[1]] = (found[2].lower(), found[3].lower())
        elif found := _TENSOR.search(line):
            types[found[3]] = (found[5] or found[4]).lower()
        elif line.startswith(_PEAK):
            peak = int(line.removeprefix(_PEAK))
    return Report(fallbacks, types, peak)
