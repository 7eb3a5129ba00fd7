"""The engine's benchmark: what it is told, the engines and files it measures, and how its sections are run."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.report import Recorder, Report, Section, Tell, take_section
from leafwise.quant.quantize import MIXES, quantize
from leafwise.runtime.contracts import Contract
from leafwise.runtime.engine import Engine
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.gguf_header import read_header
from leafwise.runtime.opening import open_engine
from leafwise.runtime.paths import cache_dir
from leafwise.runtime.probe import probe

REPACKABLE = ("iq4_nl", "q4_0")
"""Mixes whose weights llama.cpp lays out anew for the CPU; it does not do that for Q4_1."""


class Bench(Contract):
    """What to measure."""

    name: str
    """The model's name."""
    path: Path
    """Its file."""
    threads: int
    """Threads that compute, in the engine and in the yardstick."""
    runs: int = 5
    """Measurements of each figure."""
    quick: bool = False
    """Cut all sizes down: shows that everything works, and nothing else."""
    isolated: bool = True
    """Measure the engine in a process of its own, as the command line uses it."""
    limit: int | None = None
    """HumanEval prompts; all by default."""
    requests: int = 1000
    """Random requests of the stress section."""
    folder: Path
    """Where files made from the model are kept."""

    def sized(self, full: int, quick: int) -> int:
        """One of two sizes."""
        return quick if self.quick else full


class EngineReport(Report):
    """One run of the engine's benchmark."""

    model: str
    """The model's name."""
    threads: int
    """Threads that computed, in the engine and in the yardstick."""
    runs: int
    """Measurements of each figure."""
    quick: bool
    """Whether sizes were cut down: such numbers show only that everything works."""


Measure = Callable[[Bench, Recorder, Tell], None]
"""A section: measures, and hands what it finds to the recorder as it goes."""

SECTIONS = {
    "throughput": "engine_throughput",
    "latency": "engine_latency",
    "steps": "engine_latency",
    "stress": "engine_stress",
    "kills": "engine_kills",
    "lookup": "engine_lookup",
    "kv": "engine_kv",
    "humaneval": "engine_humaneval",
    "synthetic": "engine_synthetic",
}
"""The sections in order, and the modules that hold their `measure_NAME`. The last one needs a file of its own."""


def open_bench_model(name: str, path: Path, **more: Any) -> Bench:
    """A `Bench` for this machine: one thread per physical core, files in the user's cache.

    Args:
        name: the model's name.
        path: its file.
        more: further fields.
    """
    folder = cache_dir() / "bench"
    folder.mkdir(exist_ok=True)
    return Bench(name=name, path=path, folder=folder, **({"threads": psutil.cpu_count(logical=False) or 1} | more))


def run_section(name: str, bench: Bench, tell: Tell) -> Section:
    """Run one section. One that fails or is interrupted still gives what it measured before."""
    home = SECTIONS[name]
    measure: Measure = getattr(importlib.import_module(f"leafwise.benchmarks.{home}"), f"measure_{name}")
    return take_section(name, lambda out: measure(bench, out, lambda text: tell(f"{name}: {text}")))


def open_measured(bench: Bench, path: Path | None = None, **options: Any) -> Engine:
    """An engine as `bench` wants it.

    Args:
        bench: gives threads and process.
        path: another file than the model's.
        options: further fields of `EngineOptions`.
    """
    return open_engine(path or bench.path, engine_options(bench, **options))


def engine_options(bench: Bench, **options: Any) -> EngineOptions:
    """What `open_measured` opens an engine with: flash attention, as the commands and the yardstick have it."""
    usual = {"threads": bench.threads, "isolated": bench.isolated, "flash_attention": True}
    return EngineOptions(**(usual | options))


def pid_of(engine: Engine) -> int | None:
    """The process that runs llama.cpp, if it is another one and lives."""
    found: int | None = getattr(engine, "pid", None)
    return found


def refuse_unsafe_build(path: Path) -> None:
    """`Llama` can't be told to do without repacked weights, so it would take this process down where they crash.

    Raises:
        BenchmarkError: the installed llama.cpp crashes on this processor unless told so.
    """
    if probe(path).safe_mode:
        raise BenchmarkError(
            "llama-cpp-python's own Llama crashes with this build on this processor: nothing to compare with",
            "rebuild llama-cpp-python: `leafwise doctor` says how",
        )


def variant(bench: Bench, mix: str, tell: Tell) -> Path:
    """The model quantized to another mix, made once and kept in `bench.folder`.

    Raises:
        QuantizeError: it cannot be made.
    """
    if read_header(bench.path).quantization.lower() == mix:
        return bench.path
    status = bench.path.stat()
    # a file that was changed gets another name
    mark = hashlib.sha256(f"{bench.path.resolve()} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:8]
    target = bench.folder / f"{bench.path.stem}-{mark}.{mix}.gguf"
    if not target.exists():
        tell(f"making {mix} of {bench.path.name}")
        quantize(bench.path, target, MIXES[mix], requantize=True)
    return target
