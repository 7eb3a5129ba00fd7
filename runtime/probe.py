"""The first decode of a model, tried in a child process, so that a native crash never takes the user's process down.

A build of llama.cpp that does not fit the processor dies at the first decode, not at the import. `probe` lets a child
do that decode once per (library build, processor, model file) and remembers what came out. Where the child dies of a
signal and lives with safe model parameters, the verdict says so, and the engine uses these.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from leafwise.runtime.contracts import Contract
from leafwise.runtime.cpu import read_cpu
from leafwise.runtime.crash_signals import CRASHES, signal_name
from leafwise.runtime.errors import (
    EngineCrashedError,
    EngineError,
    LeafwiseError,
    ModelFileError,
    error_named,
)
from leafwise.runtime.native_build import DISTRIBUTION, reinstall_command
from leafwise.runtime.verdicts import recall, remember

_FOLDER = "probe"  # of the remembered verdicts
_BASE_SECONDS = 120.0
_BYTES_PER_SECOND = 100e6  # a slow disk: the first decode reads the whole file
_REPORTED = 3  # the child's exit status when it raised an error of ours and wrote it down

ChildCommand = Callable[[Path, bool], list[str]]


class ProbeVerdict(Contract):
    """Whether the installed llama.cpp computes a model on this machine, and with what parameters."""

    ok: bool
    """Whether it computes; the verdicts that `probe` gives all say true."""
    safe_mode: bool
    """Whether it computes only with safe model parameters, which are slower."""
    reason: str
    """Why safe mode is needed, one line; empty otherwise."""
    library_version: str
    """Of llama-cpp-python."""
    library_build: str
    """Identifies the installed native files: building the same version again gives another."""
    cpu: str
    """The processor's fingerprint."""
    model: str
    """The model file's fingerprint: size, time of change, hash of the first MiB."""
    seconds: float
    """What the probe took when it was made."""
    cached: bool = False
    """Whether this was remembered from an earlier probe."""

    @property
    def warning(self) -> str:
        """What to tell the user: why it runs slower and what restores full speed; empty where there is nothing."""
        if not self.safe_mode:
            return ""
        return f"{self.reason}; running with safe, slower parameters. For full speed: {reinstall_command()}"


def child_command(path: Path, safe: bool) -> list[str]:
    """The child's command line. `-P`: a `llama_cpp.py` in the current directory must not be imported."""
    return [sys.executable, "-P", "-m", "leafwise.runtime.probe", str(path), *(["--safe"] if safe else [])]


def probe(
    model_path: Path, *, fresh: bool = False, command: ChildCommand = child_command, timeout: float | None = None
) -> ProbeVerdict:
    """The verdict for a model file on this machine: remembered, or tried now (about a second for a small model).

    Args:
        model_path: the model's file.
        fresh: try again whatever is remembered.
        command: how the child is started.
        timeout: seconds for each child; by default 120 and more for large files.

    Raises:
        ModelFileError: the file can not be read, or llama.cpp refuses it.
        EngineCrashedError: it does not compute even with safe parameters, or not in time.
        EngineError: llama-cpp-python is not installed.
    """
    library_version, library_build = _library()
    keys = {
        "library_version": library_version,
        "library_build": library_build,
        "cpu": read_cpu().fingerprint,
        "model": model_fingerprint(model_path),
    }
    remembered = None if fresh else recall(_FOLDER, keys, ProbeVerdict)
    if remembered is not None and remembered.ok:
        return remembered.model_copy(update={"cached": True})
    limit = timeout or _BASE_SECONDS + model_path.stat().st_size / _BYTES_PER_SECOND
    started = time.perf_counter()
    reason = _try(command(model_path, False), limit)
    if reason:
        _require_safe_mode(command(model_path, True), limit, reason)
    seconds = round(time.perf_counter() - started, 3)
    found = {"ok": True, "safe_mode": bool(reason), "reason": reason, "seconds": seconds}
    verdict = ProbeVerdict.model_validate({**keys, **found})
    remember(_FOLDER, keys, verdict)
    return verdict


def model_fingerprint(path: Path) -> str:
    """Size, time of the last change in ns, and a hash of the first MiB.

    Raises:
        ModelFileError: the file can not be read.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            beginning = hashlib.sha256(file.read(1 << 20)).hexdigest()[:16]
    except OSError as error:
        raise ModelFileError(
            f"{path} can not be read: {error.strerror}", "check the path and its permissions"
        ) from error
    return f"{status.st_size}-{status.st_mtime_ns}-{beginning}"


def _library() -> tuple[str, str]:
    """The version and an identity of the installed native files, without importing them (that takes 0.3 s)."""
    spec = importlib.util.find_spec("llama_cpp")
    try:
        version = importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        version = "" if spec is None else "unknown"
    if spec is None or not version:
        raise EngineError(f"{DISTRIBUTION} is not installed", f"run: {reinstall_command()}")
    folder = Path(next(iter(spec.submodule_search_locations or ()), ".")) / "lib"
    files = sorted((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in folder.glob("*"))
    return version, hashlib.sha256(repr(files).encode()).hexdigest()[:16]


def _require_safe_mode(command: list[str], limit: float, reason: str) -> None:
    second = _try(command, limit)
    if second:
        raise EngineCrashedError(f"{reason}, with safe parameters too", f"build it for this CPU: {reinstall_command()}")


def _try(command: list[str], limit: float) -> str:
    """Runs one child; gives an empty string if it computed, or the reason if it died of a signal of its own."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
            start_new_session=True,  # Ctrl-C is for the parent: the child's death by it would look like a crash
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineCrashedError(
            f"the model did not decode its first tokens within {limit:.0f} s", "try a smaller model, or a quicker disk"
        ) from error
    if done.returncode == 0:
        return ""
    if done.returncode == _REPORTED:
        raise _read_report(done.stdout)
    last_line = next((line.strip() for line in reversed(done.stderr.splitlines()) if line.strip()), "")
    if done.returncode > 0:
        raise EngineCrashedError(f"the trial of the model failed: {last_line[:300]}", f"try: {reinstall_command()}")
    name = signal_name(-done.returncode)
    if name == "SIGKILL":
        raise EngineCrashedError("the system ended the trial of the model (SIGKILL): most likely too little memory")
    if name not in CRASHES:
        raise EngineCrashedError(f"the trial of the model was ended from outside ({name})", "start it again")
    detail = f"{name}: {last_line[:200]}" if last_line else name
    return f"the installed llama.cpp build crashes on this CPU ({detail})"


def _read_report(text: str) -> LeafwiseError:
    """The error that the child raised, as itself."""
    try:
        report = json.loads(text.splitlines()[-1])
        return error_named(str(report["error"]), str(report["message"]), str(report["hint"]))
    except (ValueError, LookupError, TypeError):
        return EngineCrashedError("the trial of the model ended without saying why")


def _child(arguments: list[str]) -> int:
    """What the child does; its native code may kill it anywhere in here."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash is expected here: no core file in the user's directory
    try:
        from leafwise.runtime.llama import probe_decode

        probe_decode(Path(arguments[0]), safe="--safe" in arguments[1:])
    except LeafwiseError as error:
        report = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
        sys.stdout.write(json.dumps(report) + "\n")
        return _REPORTED
    return 0


if __name__ == "__main__":
    sys.exit(_child(sys.argv[1:]))
