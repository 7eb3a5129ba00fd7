"""Looks through the tensors' data for numbers that are none: NaN and infinite values and block scales.

A scale that is not finite makes a whole block, and soon every logit, NaN. Where the scales are in a block follows from
the block's layout, as ggml's `ggml-common.h` defines it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leafwise.runtime.gguf_contents import Contents
from leafwise.runtime.gguf_entries import TensorEntry, tensor_types
from leafwise.runtime.verify_report import Findings

_CHUNK = 8 * 2**20  # bytes read at once: what is held does not grow with the file
_F16_EXPONENT, _BF16_EXPONENT, _F32_EXPONENT, _F64_EXPONENT = 0x7C00, 0x7F80, 0x7F800000, 0x7FF0 << 48

# Where the half-precision scales (and minima) are in a block, in bytes from its beginning.
_HALVES = {
    "Q4_0": (0,),
    "Q4_1": (0, 2),
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q8_0": (0,),
    "Q8_1": (0, 2),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "IQ1_S": (0,),
    "IQ2_XXS": (0,),
    "IQ2_XS": (0,),
    "IQ2_S": (0,),
    "IQ3_XXS": (0,),
    "IQ3_S": (0,),
    "IQ4_NL": (0,),
    "IQ4_XS": (0,),
    "TQ1_0": (52,),
    "TQ2_0": (64,),
    "Q1_0": (0,),
}
# Types of plain numbers: as which integers they are read, and the bits of which all are set where a number is none.
_PLAIN: dict[str, tuple[str, int]] = {
    "F16": ("<u2", _F16_EXPONENT),
    "BF16": ("<u2", _BF16_EXPONENT),
    "F32": ("<u4", _F32_EXPONENT),
    "F64": ("<u8", _F64_EXPONENT),
}


class Scan(NamedTuple):
    """What was seen in a piece of a tensor."""

    bad: int
    """Numbers or blocks that are not finite."""
    first: int
    """The first of them."""
    anything: bool
    """Whether there is anything but zeros."""


def check_values(
    contents: Contents,
    findings: Findings,
    digest: Callable[[bytes | memoryview], None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Look through all tensors.

    Args:
        contents: of a file whose header is sound.
        findings: where to note.
        digest: given the bytes of the data section, in their order, padding included.
        progress: told the bytes read so far.

    Raises:
        OSError: the file cannot be read.
    """
    with contents.path.open("rb") as file:
        file.seek(contents.data_begin)
        done = 0
        for tensor in contents.tensors:
            padding = file.read(tensor.offset - done)
            if digest:
                digest(padding)
            done = tensor.offset + _check_tensor(file, tensor, findings, digest)
            if progress:
                progress(done)


def _check_tensor(
    file: BinaryIO, tensor: TensorEntry, findings: Findings, digest: Callable[[bytes | memoryview], None] | None
) -> int:
    where, unit = f"tensor {tensor.name}", _unit_bytes(tensor.type)
    bad, first, anything, done = 0, 0, False, 0
    buffer = bytearray(min(tensor.bytes, _CHUNK // unit * unit))
    while done < tensor.bytes:
        view = memoryview(buffer)[: min(len(buffer), tensor.bytes - done)]
        if file.readinto(view) != len(view):  # type: ignore[attr-defined]
            findings.error(where, "its data ended while it was read")
            return done
        if digest:
            digest(view)
        scan = scan_data(np.frombuffer(view, dtype=np.uint8), tensor.type)
        if scan.bad and not bad:
            first = done // unit + scan.first
        bad, anything, done = bad + scan.bad, anything or scan.anything, done + len(view)
    thing = "value" if tensor.type in _PLAIN else "block"
    if bad:
        findings.error(where, f"{bad:,} {thing}{'s'[: bad > 1]} not finite in {tensor.type}, the first at {first:,}")
    elif not anything:
        findings.warning(where, "holds nothing but zeros: was the file copied whole?")
    return done


def _unit_bytes(kind: str) -> int:
    """Bytes of a block, or of a plain number."""
    return next(size for name, _, size in tensor_types().values() if name == kind)


def scan_data(data: NDArray[np.uint8], kind: str) -> Scan:
    """Look through whole blocks of one type.

    Args:
        data: bytes, shape (n,), a multiple of the block's.
        kind: the ggml type, for example `Q4_K`; integer types have no bad values.
    """
    anything = bool(data.any())
    if kind in _PLAIN:
        layout, bits = _PLAIN[kind]
        values = data.view(layout)
        return _scan(_all_set(values, bits), anything)
    blocks = data.reshape(-1, _unit_bytes(kind))
    if kind in _HALVES:
        halves = blocks.view("<u2")
        flags = [_all_set(halves[:, at // 2], _F16_EXPONENT) for at in _HALVES[kind]]
        return _scan(np.logical_or.reduce(flags), anything)
    return _scan(_OTHERS[kind](blocks), anything) if kind in _OTHERS else Scan(0, 0, anything)


def _all_set(values: NDArray[np.unsignedinteger[Any]], bits: int) -> NDArray[np.bool_]:
    mask = values.dtype.type(bits)
    found: NDArray[np.bool_] = (values & mask) == mask
    return found


def _scan(flags: NDArray[np.bool_], anything: bool) -> Scan:
    bad = int(np.count_nonzero(flags))
    return Scan(bad, int(flags.argmax()) if bad else 0, anything)


def _q8_k(blocks: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return _all_set(blocks.view("<u4")[:, 0], _F32_EXPONENT)


def _iq1_m(blocks: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The scale is spread over the upper four bits of four words."""
    words = blocks.view("<u2")[:, 24:28]
    scale = (words[:, 0] >> 12) | (words[:, 1] >> 8 & 0x00F0) | (words[:, 2] >> 4 & 0x0F00) | (words[:, 3] & 0xF000)
    return _all_set(scale.astype("<u2"), _F16_EXPONENT)


def _mxfp4(blocks: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """An E8M0 exponent, in which 255 is NaN; from 253 on, the larger values of the block overflow."""
    found: NDArray[np.bool_] = blocks[:, 0] >= 253
    return found


_OTHERS = {"Q8_K": _q8_k, "IQ1_M": _iq1_m, "MXFP4": _mxfp4}  # every NVFP4 block is finite: ggml reads its NaN as 0


def data_sha256(contents: Contents) -> str:
    """SHA-256 of the data section: from where the tensors' data begins to the end of the last tensor.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with contents.path.open("rb") as file:
        file.seek(contents.data_begin)
        left = contents.data_end - contents.data_begin
        while left > 0 and (chunk := file.read(min(left, _CHUNK))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()
