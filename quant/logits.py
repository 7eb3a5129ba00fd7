"""A model's logits over chunks of text, block by block, from a process of its own (`native_logits`)."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from leafwise.quant.errors import QuantizeError
from leafwise.quant.logits_wire import Failure, Hello, Job, scored_positions
from leafwise.quant.outputs import check_name
from leafwise.runtime.crash_signals import CRASHES, signal_name
from leafwise.runtime.errors import error_named
from leafwise.runtime.gguf_header import KVType, read_header

_BLOCK_BYTES = 64 * 2**20  # of logits in memory at once; a chunk of the embedded model has 48 MiB
_LINE_BYTES = 65_536
# As the engine's process has it: threads that spin while they wait make everything slow where cores are shared. `-P`: a
# `llama_cpp.py` in the current directory must not be imported.
_COMMAND = ("env", "GOMP_SPINCOUNT=1000", sys.executable, "-P", "-m", "leafwise.quant.native_logits")


class Block(NamedTuple):
    """The logits at some scored positions of one chunk."""

    chunk: int
    """Which chunk."""
    logits: NDArray[np.float32]
    """Shape (positions, n_vocab). Valid until the next block."""
    targets: NDArray[np.int32]
    """The tokens that follow in the text, shape (positions,)."""


class LogitsProcess:
    """The process, running. A context manager; leaving it early ends the process.

    Args:
        model: the GGUF file; its header is checked before native code sees it.
        source: a text, or tokens of shape (chunks, context).
        context: tokens of a chunk; that of `source` if these are tokens.
        chunks: most chunks; None for all.
        threads: threads that compute; None for as many as there are cores.
        kv_type: what the KV cache stores.
        special_tokens: whether `<|im_start|>` and the like in the text are the tokens they name.

    Raises:
        UsageError: the model's name is not UTF-8.
        ModelFileError: the model is no usable GGUF.
        QuantizeError: the text is shorter than a chunk, or the process died.
    """

    def __init__(
        self,
        model: Path,
        source: str | NDArray[np.int32],
        *,
        context: int = 512,
        chunks: int | None = None,
        threads: int | None = None,
        kv_type: KVType = "f16",
        special_tokens: bool = False,
    ) -> None:
        check_name(model)
        read_header(model)
        is_tokens = not isinstance(source, str)
        if threads is None:
            from leafwise.runtime.opening import usable_cores

            threads = usable_cores()
        self._job = Job(
            model=str(model),
            tokens=is_tokens,
            special_tokens=special_tokens,
            context=source.shape[1] if not isinstance(source, str) else context,
            chunks=chunks,
            threads=threads,
            kv_type=kv_type,
        )
        self._data = (
            source.encode("utf-8", "replace") if isinstance(source, str) else source.astype("<i4", copy=False).tobytes()
        )
        self._name = model.name
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes]
        self._open()

    hello: Hello
    """What the process said about the model."""
    tokens: NDArray[np.int32]
    """What is evaluated, shape (chunks, context)."""

    def block_lengths(self) -> list[int]:
        """Positions of each block that `blocks` gives."""
        rows, positions = self._rows(), len(scored_positions(self._job.context))
        return [min(rows, positions - at) for _ in range(self.hello.chunks) for at in range(0, positions, rows)]

    def _rows(self) -> int:
        """Most positions of a block."""
        return max(1, min(len(scored_positions(self._job.context)), _BLOCK_BYTES // (4 * self.hello.n_vocab)))

    def blocks(self) -> Iterator[Block]:
        """The logits, chunk by chunk, each in one block or in a few.

        Raises:
            QuantizeError: the process died, or the logits are not finite.
        """
        positions, rows = scored_positions(self._job.context), self._rows()
        buffer = np.empty((rows, self.hello.n_vocab), np.float32)
        for chunk in range(self.hello.chunks):
            for begin in range(0, len(positions), rows):
                some = positions[begin : begin + rows]
                logits = buffer[: len(some)]
                self._fill(logits)
                if not np.isfinite(logits).all():
                    raise QuantizeError(f"{self._name} computes logits that are no numbers", "the file is damaged")
                targets = self.tokens[chunk, some.start + 1 : some.stop + 1]
                yield Block(chunk, logits, targets)

    def __enter__(self) -> LogitsProcess:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the process, whatever it does. Closing twice is fine."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._stdout.close()
        self._errors.close()

    def _open(self) -> None:
        try:
            try:
                self._start()
            except _CrashedError:
                self.close()  # most likely weights repacked for a CPU that this is not: once more, without
                self._job = self._job.model_copy(update={"safe": True})
                self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C is for the parent
        )
        assert self._process.stdin is not None
        try:
            with self._process.stdin as stdin:
                stdin.write(self._job.model_dump_json().encode() + b"\n" + self._data)
        except BrokenPipeError:
            self._died()
        self._read_hello()

    def _read_hello(self) -> None:
        line = self._stdout.readline(_LINE_BYTES)
        if not line.strip():  # a failure comes after an empty line
            line = self._stdout.readline(_LINE_BYTES)
        try:
            self.hello = Hello.model_validate_json(line)
        except ValidationError:
            self._died(line)
        self.tokens = np.empty((self.hello.chunks, self._job.context), np.int32)
        self._fill(self.tokens)

    @property
    def _stdout(self) -> IO[bytes]:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout

    def _fill(self, array: NDArray[Any]) -> None:
        view, at = array.data.cast("B"), 0
        while at < len(view):
            got = self._stdout.readinto(view[at:])  # type: ignore[attr-defined]
            if not got:
                self._died(bytes(view[:at]))
            at += got

    def _died(self, last: bytes = b"") -> NoReturn:
        """Raise what ended the process: its own report, or the signal."""
        assert self._process is not None
        status = self._process.wait()
        if status == 1 and (report := _report(last)):
            if report.error == QuantizeError.__name__:
                raise QuantizeError(report.message, report.hint)
            raise error_named(report.error, report.message, report.hint)
        if status < 0:
            name = signal_name(-status)
            kind = _CrashedError if name in CRASHES and not self._job.safe else QuantizeError
            raise kind(f"computing {self._name} died of {name}", "was there memory left? see `leafwise doctor`")
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").split("\n")
        raise QuantizeError(f"computing {self._name} failed: {' '.join(lines[-3:]).strip()[:300]}")


class _CrashedError(QuantizeError):
    """Native code crashed with repacked weights."""


def _report(data: bytes) -> Failure | None:
    try:
        return Failure.model_validate_json(data.rstrip().rpartition(b"\n")[2])
    except ValidationError:
        return None
