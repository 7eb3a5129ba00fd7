"""Verifies a model file before any native code sees it: in a child process with limits on memory and time.

llama.cpp trusts much of what it loads. `verify` takes the file for what it is, bytes of unknown origin: header,
tokenizer, chat template, every block's scales. `require_sound` is the engine's use of it, and remembers what it found.
"""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

from leafwise.runtime.contracts import Contract
from leafwise.runtime.crash_signals import signal_name
from leafwise.runtime.errors import ChatTemplateError, EngineError, LeafwiseError, ModelFileError
from leafwise.runtime.probe import model_fingerprint
from leafwise.runtime.verdicts import recall, remember
from leafwise.runtime.verify_report import TEMPLATE, Finding, Order, Verification

log = logging.getLogger(__name__)

_FOLDER = "verified"  # of the remembered verdicts
_CHECKS = "1"
"""To be counted up when the checks change: what was verified by others is verified again."""
_MEMORY = 768 * 2**20  # bytes beside the interpreter's own: less than 1 GiB together
_BASE_SECONDS = 60.0
_BYTES_PER_SECOND = 20e6  # a slow disk
_EXHAUSTED = 137  # the child's exit status when its memory did not suffice


class SoundFile(Contract):
    """What is remembered of a file that was found to be sound."""

    checks: str
    """Which checks."""
    model: str
    """The file's fingerprint."""


def verify(
    path: Path,
    *,
    deep: bool = True,
    sha256: bool = False,
    memory_bytes: int = _MEMORY,
    seconds: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Verify a model file; nothing in it can take this process down, or long.

    Args:
        path: the file. A file that is no GGUF at all is unsound.
        deep: look at the tensors' data too, not only at what comes before it.
        sha256: hash the whole file, and compare with `PATH.sha256` where there is one.
        memory_bytes: what the checks may take, beside the interpreter's own.
        seconds: how long they may take; by default a minute, and more for large files.
        progress: told the bytes done, and of all, while data is read.

    Raises:
        ModelFileError: there is no such file, or it cannot be read.
        EngineError: the checking process cannot be started.
    """
    path = path.absolute()
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}", "check the path and its permissions") from error
    limit = seconds or _BASE_SECONDS + (1 + deep + sha256) * size / _BYTES_PER_SECOND
    order = Order(deep=deep, sha256=sha256, memory_bytes=memory_bytes, seconds=limit)
    return _Child(path, order).run(size, progress)


def require_sound(path: Path) -> None:
    """Verify a file that this machine has not verified before, and refuse one that is not sound.

    The verdict is kept by size, time of the last change and beginning of the file: a copy needs no second look.

    Raises:
        ModelFileError: the file is not sound, or cannot be read.
        ChatTemplateError: all is well but its chat template.
        EngineError: the checking process cannot be started.
    """
    keys = {"checks": _CHECKS, "model": model_fingerprint(path)}
    if recall(_FOLDER, keys, SoundFile) is not None:
        return
    log.info("%s is new here: verifying it", path.name)
    verification = verify(path)
    if not verification.sound:
        raise _refusal(path, verification.errors)
    remember(_FOLDER, keys, SoundFile.model_validate(keys))


def _refusal(path: Path, errors: tuple[Finding, ...]) -> LeafwiseError:
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    if all(error.where == TEMPLATE for error in errors):
        return ChatTemplateError(
            f"{path.name}: {errors[0].what}{more}", "use a GGUF file whose template works in llama.cpp"
        )
    return ModelFileError(
        f"{path.name} is not sound: {errors[0]}{more}",
        "get the file again; `leafwise quantize verify FILE` names all that is wrong",
    )


class _Child:
    """The checking process, and what it has said so far."""

    def __init__(self, path: Path, order: Order) -> None:
        self._command = [sys.executable, "-P", "-m", "leafwise.runtime.verify_child", str(path)]
        self._command.append(order.model_dump_json())
        self._order = order
        self._doing = "the header"
        self._verdict: Verification | None = None
        self._too_late = threading.Event()

    def run(self, size: int, progress: Callable[[int, int], None] | None) -> Verification:
        try:
            child = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C is for the parent
            )
        except OSError as error:
            raise EngineError(f"the checking process cannot be started: {error.strerror}") from error
        timer = threading.Timer(self._order.seconds, self._stop, [child])
        timer.daemon = True
        timer.start()
        try:
            with child:
                assert child.stdout is not None
                self._listen(child.stdout, progress)
        except BaseException:
            child.kill()
            raise
        finally:
            timer.cancel()
        return self._verdict or self._unfinished(child.returncode, size)

    def _stop(self, child: subprocess.Popen[str]) -> None:
        self._too_late.set()
        child.kill()

    def _listen(self, lines: IO[str], progress: Callable[[int, int], None] | None) -> None:
        for line in lines:
            try:
                said: dict[str, Any] = json.loads(line)
                self._doing = str(said.get("doing", self._doing))
                if "verdict" in said:
                    self._verdict = Verification.model_validate(said["verdict"])
                elif "done" in said and progress:
                    progress(int(said["done"]), int(said["total"]))
            except (ValueError, ValidationError):  # cut off in the middle of a line
                return

    def _unfinished(self, status: int, size: int) -> Verification:
        if self._too_late.is_set() or -status in (signal.SIGXCPU,):
            what = f"the check was not finished within {self._order.seconds:.0f} s"
        elif status == _EXHAUSTED:
            what = f"the check needs more than {self._order.memory_bytes // 2**20} MiB of memory"
        elif status < 0:
            what = f"the check died of {signal_name(-status)}"
        else:
            what = f"the check ended with status {status} and without a verdict"
        where = TEMPLATE if self._doing.endswith(TEMPLATE) else "file"
        found = Finding(severity="error", where=where, what=f"{what}, at {self._doing}")
        return Verification(file_bytes=size, findings=(found,), deep=self._order.deep)
