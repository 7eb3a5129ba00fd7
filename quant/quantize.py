"""Quantizing a GGUF file to one of llama.cpp's named mixes, so that nothing is lost whatever happens."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from leafwise.quant.errors import QuantizeError
from leafwise.runtime.contracts import Contract
from leafwise.runtime.errors import ModelFileError
from leafwise.runtime.gguf_header import GGUFHeader, read_header


class Mix(Contract):
    """One of llama.cpp's named mixes of tensor types."""

    name: str
    """For example `q4_k_m`."""
    file_type: int
    """llama.cpp's number for it (`LLAMA_FTYPE_*`)."""
    bits_per_weight: float
    """About what it takes, for planning disk space."""


MIXES = {
    name: Mix(name=name, file_type=number, bits_per_weight=bits)
    for name, number, bits in (
        ("f16", 1, 16.0),
        ("bf16", 32, 16.0),
        ("q8_0", 7, 8.5),
        ("q6_k", 18, 6.6),
        ("q5_k_m", 17, 5.7),
        ("q5_k_s", 16, 5.5),
        ("q4_k_m", 15, 4.9),
        ("q4_k_s", 14, 4.6),
        ("q4_1", 3, 5.0),
        ("q4_0", 2, 4.6),
        ("iq4_nl", 25, 4.6),
        ("iq4_xs", 30, 4.3),
    )
}
"""The mixes that make sense without an importance matrix, by name."""

_FULL_PRECISION = {"F32", "F16", "BF16"}
_TENSOR_LINE = re.compile(r"\[\s*(\d+)/\s*(\d+)\]")


def quantize(
    source: Path,
    target: Path,
    mix: Mix,
    *,
    requantize: bool = False,
    replace: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> GGUFHeader:
    """Quantize a GGUF file.

    The result is written beside the target under another name, read back, synced to the disk, and only then renamed:
    the target is whole or not there.

    Args:
        source: the input; it is never written to.
        target: the output.
        mix: from `MIXES`.
        requantize: accept an input that is quantized already, whose loss adds to the new one.
        replace: let the output replace a file.
        progress: told the number of tensors done, and of all.

    Returns:
        The header of the new file.

    Raises:
        ModelFileError: the input is no usable GGUF.
        QuantizeError: it cannot be quantized as asked, or the output cannot be written.
    """
    header = read_header(source)
    _check(header, source, target, mix, requantize=requantize, replace=replace)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}-", suffix=".part", dir=target.parent)
    except OSError as error:
        raise QuantizeError(f"cannot write {target}: {error.strerror}", "choose another place") from error
    os.close(handle)
    part = Path(name)
    try:
        _run(source, part, mix, progress)
        made = _check_result(part)
        _sync(part)
        part.chmod(0o644)
        part.replace(target)
    except OSError as error:
        raise QuantizeError(f"cannot write {target}: {error.strerror}", "free some disk space") from error
    finally:
        part.unlink(missing_ok=True)
    return made


def _check(header: GGUFHeader, source: Path, target: Path, mix: Mix, *, requantize: bool, replace: bool) -> None:
    if target.exists():
        if source.samefile(target):
            raise QuantizeError("input and output are the same file", "give the output another name")
        if not replace:
            raise QuantizeError(f"{target} exists already", "choose another name, or add --force to replace it")
    if not target.parent.is_dir():
        raise QuantizeError(f"there is no directory {target.parent}", "make it first")
    if header.quantization not in _FULL_PRECISION and not requantize:
        raise QuantizeError(
            f"{source.name} is quantized already ({header.quantization}, {header.bits_per_weight:.1f} bits per weight)",
            "start from an F16 file, or add --requantize to accept that both losses add up",
        )
    needed, free = int(header.parameters * mix.bits_per_weight / 8 * 1.05), shutil.disk_usage(target.parent).free
    if needed > free:
        raise QuantizeError(
            f"the output needs about {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free", "free some disk space"
        )


def _run(source: Path, part: Path, mix: Mix, progress: Callable[[int, int], None] | None) -> None:
    command = [sys.executable, "-m", "leafwise.quant.native", str(source), str(part), str(mix.file_type)]
    last: list[str] = []
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    with child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                last = [*last[-4:], line.strip()]
                if progress and (found := _TENSOR_LINE.search(line)):
                    progress(int(found[1]), int(found[2]))
        except BaseException:
            child.kill()
            raise
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        raise QuantizeError(f"llama.cpp's quantizer died of {name}", "was there memory left? see `leafwise doctor`")
    if child.returncode:
        raise QuantizeError(
            f"llama.cpp's quantizer failed: {' | '.join(filter(None, last))}",
            "is the input sound? see `leafwise models show`",
        )


def _check_result(part: Path) -> GGUFHeader:
    try:
        return read_header(part)
    except ModelFileError as error:
        raise QuantizeError(f"the new file is not sound: {error.message}", "is the disk full?") from error


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
