"""Times ggml's multiplication of matrices on this machine, as a process of its own.

`python -m leafwise.quant.native_speed '{"threads": 2, "rounds": 5, "shapes": [[columns, rows, [type, ...]], ...]}'`
writes for each shape a line: a JSON list of `speeds.Speed`. A wrong native call ends this process and not the user's.

The weights lie where llama.cpp would put them (`make_cpu_buft_list`, `select_weight_buft`): in the first of the CPU's
extra buffer types that can multiply them, which repack them for this processor, otherwise as they are.
"""

from __future__ import annotations

import ctypes
import json
import math
import sys
import time
from collections.abc import Sequence
from ctypes import POINTER, c_bool, c_char_p, c_int, c_int64, c_size_t, c_void_p
from functools import cache

import numpy as np

from leafwise.quant.native_ggml import encode, ggml_base, library_path
from leafwise.quant.tensor_types import TYPES, TensorType

_PROMPT, _BATCH = 512, 16
# Decoding reads all weights of a model once per token, so they come from memory and not from a cache. Copies of the
# matrix up to so many bytes, multiplied one after the other, do the same, and have a real graph's share of overhead.
_POOL_BYTES = 64 * 2**20
_MAX_COPIES = 512
# A prompt's multiplication is bound by arithmetic; so many products are enough to time it, and of a taller matrix only
# some rows are used: time grows with their number.
_PRODUCTS = 1 << 30
_MIN_ROWS = 2048
_SAMPLE_ROWS = 64  # encoded; the other rows repeat them
_WEIGHTS_USAGE = 1


class _InitParams(ctypes.Structure):
    """`struct ggml_init_params`."""

    _fields_ = (("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool))


_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "ggml_init": (c_void_p, [_InitParams]),
    "ggml_free": (None, [c_void_p]),
    "ggml_tensor_overhead": (c_size_t, []),
    "ggml_graph_overhead_custom": (c_size_t, [c_size_t, c_bool]),
    "ggml_new_tensor_2d": (c_void_p, [c_void_p, c_int, c_int64, c_int64]),
    "ggml_mul_mat": (c_void_p, [c_void_p, c_void_p, c_void_p]),
    "ggml_new_graph_custom": (c_void_p, [c_void_p, c_size_t, c_bool]),
    "ggml_build_forward_expand": (None, [c_void_p, c_void_p]),
    "ggml_backend_alloc_ctx_tensors_from_buft": (c_void_p, [c_void_p, c_void_p]),
    "ggml_backend_buffer_free": (None, [c_void_p]),
    "ggml_backend_buffer_set_usage": (None, [c_void_p, c_int]),
    "ggml_backend_tensor_set": (None, [c_void_p, c_void_p, c_size_t, c_size_t]),
    "ggml_backend_graph_compute": (c_int, [c_void_p, c_void_p]),
    "ggml_backend_reg_get_proc_address": (c_void_p, [c_void_p, c_char_p]),
    "ggml_backend_reg_dev_get": (c_void_p, [c_void_p, c_size_t]),
    "ggml_backend_dev_supports_op": (c_bool, [c_void_p, c_void_p]),
    "ggml_backend_dev_buffer_type": (c_void_p, [c_void_p]),
    "ggml_backend_buft_name": (c_char_p, [c_void_p]),
}


@cache
def _base() -> ctypes.CDLL:
    library = ggml_base()
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class _Cpu:
    """llama.cpp's CPU backend with so many threads."""

    def __init__(self, threads: int) -> None:
        library = ctypes.CDLL(str(library_path("ggml-cpu")))
        library.ggml_backend_cpu_reg.restype = c_void_p
        library.ggml_backend_cpu_init.restype = c_void_p
        library.ggml_backend_cpu_set_n_threads.argtypes = [c_void_p, c_int]
        self.backend = library.ggml_backend_cpu_init()
        library.ggml_backend_cpu_set_n_threads(self.backend, threads)
        base, registry = _base(), library.ggml_backend_cpu_reg()
        self.device = base.ggml_backend_reg_dev_get(registry, 0)
        self.plain = base.ggml_backend_dev_buffer_type(self.device)
        self.buffer_types = [*_extra_buffer_types(registry, self.device), self.plain]


def _extra_buffer_types(registry: int, device: int) -> list[int]:
    address = _base().ggml_backend_reg_get_proc_address(registry, b"ggml_backend_dev_get_extra_bufts")
    if not address:
        return []
    listed = ctypes.CFUNCTYPE(POINTER(c_void_p), c_void_p)(address)(device)
    found = []
    while listed and (place := listed[len(found)]):  # ends with a null pointer
        found.append(int(place))
    return found


class _Context:
    """A ggml context for so many tensors; their data lies in a buffer that `allocate` makes."""

    def __init__(self, tensors: int) -> None:
        size = tensors * _base().ggml_tensor_overhead() + _base().ggml_graph_overhead_custom(tensors, False)
        self.pointer = _base().ggml_init(_InitParams(size + 1024, None, True))
        self._buffer: int | None = None

    def matrix(self, type_number: int, columns: int, rows: int) -> int:
        return int(_base().ggml_new_tensor_2d(self.pointer, type_number, columns, rows))

    def allocate(self, buffer_type: int, usage: int | None = None) -> None:
        self._buffer = _base().ggml_backend_alloc_ctx_tensors_from_buft(self.pointer, buffer_type)
        if not self._buffer:
            raise MemoryError
        if usage is not None:
            _base().ggml_backend_buffer_set_usage(self._buffer, usage)

    def close(self) -> None:
        if self._buffer:
            _base().ggml_backend_buffer_free(self._buffer)
        _base().ggml_free(self.pointer)


class _Run:
    """Multiplies copies of a matrix with so many columns."""

    def __init__(self, cpu: _Cpu, weights: Sequence[int], columns: int, width: int) -> None:
        self._cpu, self._count = cpu, len(weights)
        self._context = _Context(2 * len(weights) + 8)
        inputs = self._context.matrix(TYPES["f32"].number, columns, width)
        self._graph = _base().ggml_new_graph_custom(self._context.pointer, 2 * len(weights) + 8, False)
        for weight in weights:
            product = _base().ggml_mul_mat(self._context.pointer, weight, inputs)
            _base().ggml_build_forward_expand(self._graph, product)
        self._context.allocate(cpu.plain)
        values = np.random.default_rng(0).standard_normal((width, columns), np.float32)
        _base().ggml_backend_tensor_set(inputs, values.ctypes.data, 0, values.nbytes)

    def seconds(self) -> float:
        """For one copy."""
        begin = time.perf_counter()
        status = _base().ggml_backend_graph_compute(self._cpu.backend, self._graph)
        spent = time.perf_counter() - begin
        if status != 0:
            raise RuntimeError(f"ggml_backend_graph_compute: {status}")
        return spent / self._count

    def close(self) -> None:
        self._context.close()


class _Case:
    """One type of a shape, with its weights in memory, and the least times so far."""

    def __init__(self, cpu: _Cpu, type_: TensorType, columns: int, rows: int) -> None:
        self.type, self.columns, self.rows = type_, columns, rows
        self._used = _rows_used(columns, rows)
        buffer_type = next(b for b in cpu.buffer_types if b == cpu.plain or _multiplies(cpu, b, type_, columns, rows))
        self.buffer = _base().ggml_backend_buft_name(buffer_type).decode()
        data = _encoded(type_, columns, self._used)
        copies = max(1, min(_MAX_COPIES, _POOL_BYTES // len(data)))
        self._weights = _Context(copies)
        tensors = [self._weights.matrix(type_.number, columns, self._used) for _ in range(copies)]
        self._weights.allocate(buffer_type, _WEIGHTS_USAGE)
        for tensor in tensors:
            _base().ggml_backend_tensor_set(tensor, data, 0, len(data))
        few = math.ceil(_PRODUCTS / (_PROMPT * columns * self._used))
        widths = {_PROMPT: min(few, copies), 1: copies, _BATCH: max(1, copies // 4)}
        self._runs = {w: _Run(cpu, tensors[:count], columns, w) for w, count in widths.items()}
        self._least = dict.fromkeys(widths, math.inf)

    def turn(self) -> None:
        for width, run in self._runs.items():
            self._least[width] = min(self._least[width], run.seconds())

    def result(self) -> dict[str, object]:
        scale = self.rows / self._used
        return {
            "type": self.type.name,
            "columns": self.columns,
            "rows": self.rows,
            "prefill_seconds": self._least[_PROMPT] * scale,
            "decode_seconds": self._least[1] * scale,
            "batch_seconds": self._least[_BATCH] * scale,
            "buffer": self.buffer,
        }

    def close(self) -> None:
        for run in self._runs.values():
            run.close()
        self._weights.close()


def _rows_used(columns: int, rows: int) -> int:
    """At most about `_PRODUCTS` for a prompt; with the same remainder by 64, on which repacking depends."""
    most = max(_MIN_ROWS, _PRODUCTS // (_PROMPT * columns))
    return rows if rows <= most else most - (most - rows) % 64


def _multiplies(cpu: _Cpu, buffer_type: int, type_: TensorType, columns: int, rows: int) -> bool:
    """Whether the CPU can multiply such weights when they lie in such a buffer."""
    weights, others = _Context(1), _Context(2)
    try:
        weight = weights.matrix(type_.number, columns, rows)
        weights.allocate(buffer_type)
        inputs = others.matrix(TYPES["f32"].number, columns, _PROMPT)
        product = _base().ggml_mul_mat(others.pointer, weight, inputs)
        return bool(_base().ggml_backend_dev_supports_op(cpu.device, product))
    finally:
        others.close()
        weights.close()


def _encoded(type_: TensorType, columns: int, rows: int) -> bytes:
    sample = min(rows, _SAMPLE_ROWS)
    values = np.random.default_rng(1).standard_normal((sample, columns), np.float32) / math.sqrt(columns)
    data = encode(values.astype(np.float32), type_, np.ones(columns, np.float32))
    row_bytes = len(data) // sample
    return (data * math.ceil(rows / sample))[: rows * row_bytes]


def _measure(cpu: _Cpu, columns: int, rows: int, types: Sequence[str], rounds: int) -> list[dict[str, object]]:
    cases = [_Case(cpu, TYPES[name], columns, rows) for name in types]
    try:
        for _ in range(rounds + 1):  # the first also warms up; types take turns, so that a noisy while hits all of them
            for case in cases:
                case.turn()
        return [case.result() for case in cases]
    finally:
        for case in cases:
            case.close()


def main(asked: str) -> None:
    """Measure what was asked; see the module's first lines."""
    wanted = json.loads(asked)
    cpu = _Cpu(wanted["threads"])
    for columns, rows, types in wanted["shapes"]:
        sys.stdout.write(json.dumps(_measure(cpu, columns, rows, types, wanted["rounds"])) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
