"""The binding to llama.cpp's quantizer, run as a process of its own: `python -m leafwise.quant.native`.

A crash in native code, or a kill for want of memory, then ends this process and not the user's; and this process ends
with the one that started it. The job comes on standard input: a line of JSON (the fields of `Job`), then the importance
matrix as float32. llama.cpp's log lines go to standard output, where the parent reads the progress from them.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
from typing import Any, NamedTuple

import llama_cpp

from leafwise.runtime.layer_privileges import die_with_parent
from leafwise.runtime.metering import peak_memory_bytes

PEAK = "peak resident bytes: "
"""Begins the last line that a successful run writes."""
_NEEDED = ("tt_overrides", "imatrix", "kv_overrides", "max_buf_size")
_TEXT_OVERRIDE = 3  # LLAMA_KV_OVERRIDE_TYPE_STR
_TEXT_BYTES = 127


class Job(NamedTuple):
    """What to do."""

    parent: int
    """Process that wants it."""
    source: str
    """The file to read."""
    target: str
    """The file to write."""
    file_type: int
    """`LLAMA_FTYPE_*`."""
    types: dict[str, int]
    """Types of single tensors, `GGML_TYPE_*` by name; they need a quantized file type."""
    importance: list[tuple[str, int]]
    """Names and lengths of the importance matrix's entries."""
    pure: bool
    """The file type's own type for every tensor."""
    dry_run: bool
    """Only say what would be done."""
    threads: int
    """0 for one per core."""
    buffer_bytes: int
    """Most bytes of a tensor's rows in memory at once."""
    room: int
    """Bytes of the header to set aside, in entries named `reserve`N."""
    reserve: str
    """Begins the keys of these."""


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log(_level: int, text: bytes, _user_data: ctypes.c_void_p) -> None:
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()


def run(job: Job, importance: bytes) -> int:
    """Quantize a file; returns llama.cpp's status, 0 for success.

    Raises:
        RuntimeError: the parameters of the installed library are not laid out as this module knows them.
    """
    llama_cpp.llama_log_set(_log, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    parameters = llama_cpp.llama_model_quantize_default_params()
    _check_layout(parameters)
    parameters.nthread = job.threads
    parameters.ftype = job.file_type
    parameters.allow_requantize = True  # whether that is wanted was decided by the parent
    parameters.pure = job.pure
    parameters.dry_run = job.dry_run
    parameters.max_buf_size = job.buffer_bytes
    # llama.cpp keeps no copies: these have to live until it is done
    types, matrix, room = _types(job), _matrix(job, importance), _room(job)
    parameters.tt_overrides = types
    parameters.imatrix = matrix
    parameters.kv_overrides = room
    source, target = os.fsencode(job.source), os.fsencode(job.target)
    return int(llama_cpp.llama_model_quantize(source, target, ctypes.byref(parameters)))


def _check_layout(parameters: Any) -> None:
    """The library's own defaults, read through the binding's structure: they are where we look for them, or nowhere."""
    fields = {name for name, *_ in parameters._fields_}
    sound = (
        fields.issuperset(_NEEDED)
        and parameters.output_tensor_type == parameters.token_embedding_type == llama_cpp.GGML_TYPE_COUNT
        and (parameters.quantize_output_tensor, parameters.only_copy, parameters.dry_run) == (True, False, False)
        and not (parameters.imatrix or parameters.tt_overrides or parameters.kv_overrides or parameters.prune_layers)
        and parameters.max_buf_size >= 2**20
    )
    if not sound:
        raise RuntimeError("llama-cpp-python's llama_model_quantize_params is not laid out as expected")


def _types(job: Job) -> Any:
    """Overrides are searched as regular expressions, the first match wins; a null name ends them."""
    overrides = (llama_cpp.llama_model_tensor_override * (len(job.types) + 1))()
    for i, (name, number) in enumerate(job.types.items()):
        # ECMAScript's grammar knows no escape for letters and digits, and needs none
        overrides[i].pattern = ("^" + re.sub(r"[^\w]", r"\\\g<0>", name, flags=re.ASCII) + "$").encode()
        overrides[i].type = number
    return overrides


def _matrix(job: Job, data: bytes) -> Any:
    if not job.importance:
        return None
    entries = (llama_cpp.llama_model_imatrix_data * (len(job.importance) + 1))()
    values = (ctypes.c_float * (len(data) // 4)).from_buffer_copy(data)
    at = 0
    for i, (name, count) in enumerate(job.importance):
        entries[i].name = name.encode()
        entries[i].data = ctypes.cast(ctypes.byref(values, 4 * at), ctypes.POINTER(ctypes.c_float))
        entries[i].size = count
        at += count
    if at != len(values):
        raise RuntimeError(f"{len(values)} values of importance came, {at} were announced")
    entries.values = values  # kept alive with them
    return entries


def _room(job: Job) -> Any:
    size = 8 + len(job.reserve) + 6 + 4 + 8 + _TEXT_BYTES  # of an entry: key's length, key, type, text's length, text
    count = -(-job.room // size)
    overrides = (llama_cpp.llama_model_kv_override * (count + 1))()
    for i in range(count):
        overrides[i].tag = _TEXT_OVERRIDE
        overrides[i].key = f"{job.reserve}{i:06}".encode()
        overrides[i].value.val_str = b" " * _TEXT_BYTES
    return overrides


def main() -> int:
    """Run the job that comes on standard input."""
    die_with_parent()
    line = sys.stdin.buffer.readline()
    if not line:
        return 1
    job = Job(**json.loads(line))
    if os.getppid() != job.parent:  # it died before we asked to be told
        return 1
    status = run(job, sys.stdin.buffer.read())
    if status == 0:
        sys.stdout.write(f"\n{PEAK}{peak_memory_bytes() or 0}\n")
        sys.stdout.flush()
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main())
