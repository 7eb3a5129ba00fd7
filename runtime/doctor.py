"""What this machine has for leafwise, line by line, and what to do about what is missing.

Native code runs in child processes only: the doctor must live to tell.
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TYPE_CHECKING

import psutil

from leafwise.runtime.contracts import Contract
from leafwise.runtime.cpu import Cpu, read_cpu
from leafwise.runtime.errors import LeafwiseError, SandboxUnavailableError
from leafwise.runtime.models import DEFAULT_MODEL, MODELS, locate, resolve
from leafwise.runtime.native_build import DISTRIBUTION, reinstall_command
from leafwise.runtime.paths import cache_dir, state_dir
from leafwise.runtime.probe import probe
from leafwise.runtime.sandbox import LayerReport, open_sandbox, probe_layers
from leafwise.runtime.sandbox_contracts import SandboxLevel

if TYPE_CHECKING:
    from leafwise.runtime.sandbox_conformance import CaseResult

_GIB = 1 << 30
_MEMORY_GIB, _DISK_GIB = 1.0, 1.0  # what the embedded model with a pool of sandbox workers and a run's records need
# The kernel's name of an instruction set, and llama.cpp's name of using it.
_USES = {
    "amx_int8": "AMX_INT8",
    "avx512f": "AVX512",
    "avx512_vnni": "AVX512_VNNI",
    "avx512_bf16": "AVX512_BF16",
    "avx_vnni": "AVX_VNNI",
    "avx2": "AVX2",
    "fma": "FMA",
    "f16c": "F16C",
    "sve": "SVE",
    "i8mm": "MATMUL_INT8",
    "asimddp": "DOTPROD",
    "asimd": "NEON",
}
_SYSTEM_INFO = "import sys; from leafwise.runtime.llama import system_info; sys.stdout.write(system_info())"


class State(StrEnum):
    """How one finding is."""

    OK = "ok"
    """As it should be."""
    WARN = "warn"
    """Works, but weaker or slower than it could."""
    MISSING = "missing"
    """`leafwise solve` can not work without it."""


class Finding(Contract):
    """One line of the report."""

    name: str
    """What was looked at."""
    state: State
    """How it is."""
    detail: str
    """What was found."""
    remedy: str = ""
    """What to do about it; empty where there is nothing to do."""


class Report(Contract):
    """What this machine has."""

    findings: tuple[Finding, ...]
    """In order of reading."""

    @property
    def can_solve(self) -> bool:
        """Whether `leafwise solve` can work with the default model."""
        return all(finding.state is not State.MISSING for finding in self.findings)


def examine(*, conformance: bool = False) -> Report:
    """Looks at everything; takes about two seconds, because the default model is tried afresh.

    Args:
        conformance: whether to run the sandbox's conformance suite too; takes about ten seconds more.
    """
    steps: tuple[Callable[[], Iterable[Finding]], ...] = (
        _python,
        _library,
        _decode,
        _sandbox,
        _models,
        _memory,
        _disk,
        *((_conformance,) if conformance else ()),
    )
    return Report(findings=tuple(finding for step in steps for finding in step()))


def _python() -> Iterable[Finding]:
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"
    yield Finding(name="python", state=State.OK, detail=detail)


def _library() -> Iterable[Finding]:
    cpu = read_cpu()
    yield Finding(name="cpu", state=State.OK, detail=f"{cpu.model or 'unknown'}: {' '.join(cpu.highlights) or '?'}")
    try:
        version = importlib.metadata.version(DISTRIBUTION)
        command = [sys.executable, "-P", "-c", _SYSTEM_INFO]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    except (importlib.metadata.PackageNotFoundError, subprocess.TimeoutExpired) as error:
        yield Finding(name="llama.cpp", state=State.MISSING, detail=f"{error}", remedy=reinstall_command())
        return
    if done.returncode != 0:
        detail = f"{DISTRIBUTION} {version} can not be loaded (status {done.returncode})"
        yield Finding(name="llama.cpp", state=State.MISSING, detail=detail, remedy=reinstall_command())
        return
    yield judge_build(cpu, version, done.stdout)


def judge_build(cpu: Cpu, version: str, system_info: str) -> Finding:
    """Compares what the processor has with what the build uses.

    Args:
        cpu: the processor.
        version: of llama-cpp-python.
        system_info: llama.cpp's line, `CPU : AVX = 1 | AVX2 = 1 | ...`.
    """
    used = re.findall(r"(\w+) = 1\b", system_info)
    # AMX is not held against a build: where a hypervisor forbids it, the build is right to leave it out.
    unused = [
        name for name in cpu.highlights if name in _USES and _USES[name] not in used and not name.startswith("amx")
    ]
    detail = f"{DISTRIBUTION} {version}, built with {' '.join(used) or 'no features'}"
    if unused:
        detail += f"; this CPU also has {' '.join(unused)}"
        return Finding(name="llama.cpp", state=State.WARN, detail=detail, remedy=reinstall_command())
    return Finding(name="llama.cpp", state=State.OK, detail=detail)


def _decode() -> Iterable[Finding]:
    try:
        verdict = probe(resolve(DEFAULT_MODEL).path, fresh=True)
    except LeafwiseError as error:
        yield Finding(name="first decode", state=State.MISSING, detail=error.message, remedy=error.hint)
        return
    if verdict.safe_mode:
        detail = f"only with safe model parameters, slower: {verdict.reason}"
        yield Finding(name="first decode", state=State.WARN, detail=detail, remedy=reinstall_command())
        return
    yield Finding(name="first decode", state=State.OK, detail=f"{DEFAULT_MODEL} computes ({verdict.seconds:.1f} s)")


def _sandbox() -> Iterable[Finding]:
    yield from judge_layers(probe_layers())


def judge_layers(layers: list[LayerReport]) -> Iterable[Finding]:
    """What is missing is only a warning as long as some level of the sandbox works (the layer `level` says so)."""
    enough = any(layer.available for layer in layers if layer.name == "level")
    for layer in layers:
        state = State.OK if layer.available else State.WARN if enough else State.MISSING
        name = "sandbox" if layer.name == "level" else f"sandbox: {layer.name}"
        yield Finding(name=name, state=state, detail=layer.detail, remedy=layer.remedy)


def _models() -> Iterable[Finding]:
    here = [name for name, entry in MODELS.items() if locate(entry) is not None]
    others = [name for name in MODELS if name not in here]
    state = State.OK if DEFAULT_MODEL in here else State.MISSING
    detail = f"here: {', '.join(here) or 'none'}; to download: {', '.join(others) or 'none'}"
    remedy = "" if state is State.OK else "pip install 'leafwise[starter]' for the default model"
    yield Finding(name="models", state=state, detail=detail, remedy=remedy)


def _memory() -> Iterable[Finding]:
    memory = psutil.virtual_memory()
    enough = memory.available >= _MEMORY_GIB * _GIB
    detail = f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB free, {psutil.cpu_count()} processors"
    remedy = "" if enough else f"close programs: {_MEMORY_GIB:.0f} GiB should be free"
    yield Finding(name="memory", state=State.OK if enough else State.WARN, detail=detail, remedy=remedy)


def _disk() -> Iterable[Finding]:
    for name, folder_of, without in (
        ("cache", cache_dir, State.WARN),  # only slower without
        ("runs", state_dir, State.MISSING),
    ):
        try:
            folder = folder_of()
            free = shutil.disk_usage(folder).free
        except (LeafwiseError, OSError) as error:
            hint = getattr(error, "hint", "")
            yield Finding(name=name, state=without, detail=f"nothing can be kept: {error}", remedy=hint)
            continue
        enough = free >= _DISK_GIB * _GIB
        remedy = "" if enough else f"free some disk space: {_DISK_GIB:.0f} GiB should be free"
        detail = f"{free / _GIB:.1f} GiB free at {folder}"
        yield Finding(name=name, state=State.OK if enough else State.WARN, detail=detail, remedy=remedy)


def _conformance() -> Iterable[Finding]:
    from leafwise.runtime.sandbox_conformance import check_conformance  # its cases are only wanted here

    try:
        with open_sandbox() as sandbox:
            level = sandbox.level
        results = check_conformance(lambda: open_sandbox(level))
    except SandboxUnavailableError as error:
        yield Finding(name="conformance", state=State.MISSING, detail=f"not tried: {error.message}", remedy=error.hint)
        return
    yield from judge_conformance(level, results)


def judge_conformance(level: SandboxLevel, results: list[CaseResult]) -> Iterable[Finding]:
    """A line for each case that failed, and one that counts: verdicts of a sandbox that fails one can not be relied on.

    Args:
        level: of the sandbox that was tried.
        results: of the cases.
    """
    failed = [result for result in results if result.failed]
    for result in failed:
        yield Finding(name=f"conformance: {result.name}", state=State.MISSING, detail=result.detail)
    passed, skipped = sum(result.passed for result in results), sum(bool(result.skipped) for result in results)
    detail = f"level {level}: {passed} cases passed, {len(failed)} failed, {skipped} not asked of this level"
    remedy = "report this with the output of `leafwise doctor --conformance --json`" if failed else ""
    state = State.MISSING if failed else State.OK
    yield Finding(name="conformance", state=state, detail=detail, remedy=remedy)
