"""What a machine makes of a model of real size: time to load, memory beside the plan, decoding and how batches scale.

The file has random weights (see `synthetic_gguf`); speed and memory do not depend on what the weights are.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

from leafwise.benchmarks.engine_bench import Bench, engine_options, open_measured, pid_of
from leafwise.benchmarks.engine_prompts import PromptMaker, prompt_maker
from leafwise.benchmarks.engine_timing import exactly, time_batch
from leafwise.benchmarks.report import Recorder, Tell
from leafwise.runtime.engine import Engine
from leafwise.runtime.gguf_header import read_header
from leafwise.runtime.memory_plan import MemoryPlan, plan_memory
from leafwise.runtime.probe import probe

_MOST_RUNS = 3  # an 8B model decodes two or three tokens a second on two cores
_BATCHES = (1, 4, 8)


@contextmanager
def synthetic_file(shape: str, folder: Path, *, keep: bool, tell: Tell) -> Iterator[Path]:
    """A file of that shape, for as long as it is needed.

    Args:
        shape: a name of `synthetic_gguf.SHAPES`.
        folder: where to write it.
        keep: leave it there, and take one that is there already.
        tell: is told how far it is.

    Raises:
        BenchmarkError: there is no room for it.
    """
    # imported here: the package gguf takes its time
    from leafwise.benchmarks.synthetic_gguf import SHAPES, write_synthetic

    path = folder / (f"{shape}.synthetic.gguf" if keep else f".{shape}.synthetic-{os.getpid()}.gguf")
    if not (keep and path.exists()):
        write_synthetic(
            SHAPES[shape], path, progress=lambda done, total: tell(f"writing {done / 1e9:.1f} of {total / 1e9:.1f} GB")
        )
    try:
        yield path
    finally:
        if not keep:
            path.unlink(missing_ok=True)


def measure_synthetic(bench: Bench, out: Recorder, tell: Tell) -> None:
    """Load twice, with and without the file in the system's cache; then decode."""
    header = read_header(bench.path)
    out.figure("file", header.file_bytes / 2**30, "GiB")
    tell("probing")
    started = time.perf_counter()
    probe(bench.path)
    out.figure("probe, once per file", time.perf_counter() - started, "s")
    if _drop_from_cache(bench.path):
        _load(bench, out, tell, "cold")
        out.note("cold: the file's pages were dropped from the system's cache; a virtual disk may still cache them")
    plan = plan_memory(header, engine_options(bench), psutil.virtual_memory().available, name=bench.name)
    with closing(_load(bench, out, tell, "hot", keep=True)) as engine:
        if engine.info.detail:
            out.note(engine.info.detail)
        _measure_decoding(bench, engine, out, tell)
        _report_memory(engine, plan, out)


def _drop_from_cache(path: Path) -> bool:
    """Make the next read come from the disk; False where the system has no way to."""
    if not hasattr(os, "posix_fadvise"):
        return False
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def _load(bench: Bench, out: Recorder, tell: Tell, how: str, *, keep: bool = False) -> Engine:
    """Open the engine and let it give one token.

    Returns:
        The engine; it is closed unless `keep`.
    """
    tell(f"loading, {how}")
    started = time.perf_counter()
    engine = open_measured(bench)
    try:
        out.figure(f"load, {how}", time.perf_counter() - started, "s")
        engine.submit(exactly("def", 1)).result()
        out.figure(f"load and first token, {how}", time.perf_counter() - started, "s")
    except BaseException:
        engine.close()
        raise
    if not keep:
        engine.close()
    return engine


def _measure_decoding(bench: Bench, engine: Engine, out: Recorder, tell: Tell) -> None:
    maker, runs, answer = prompt_maker(engine), min(bench.runs, _MOST_RUNS), bench.sized(24, 8)
    rates: dict[int, list[float]] = {batch: [] for batch in _BATCHES}
    prefills: list[float] = []
    try:
        for run in range(runs):
            prefills.append(_prefill_rate(engine, maker, bench.sized(128, 32)))
            for batch in _BATCHES:
                tell(f"run {run + 1} of {runs}, {batch} sequences")
                times = time_batch(engine, [exactly(maker.text(16), answer) for _ in range(batch)])
                rates[batch].append(times.decode_rate)
    finally:
        out.figure("prefill", prefills, "tok/s")
        for batch, several in rates.items():
            out.figure(f"decode, {batch} sequences", several, "tok/s")
            ratios = [mine / one for mine, one in zip(several, rates[1], strict=False) if one]
            if batch > 1:
                out.figure(f"decode, {batch} sequences / 1 sequence", ratios, "x")


def _prefill_rate(engine: Engine, maker: PromptMaker, tokens: int) -> float:
    times = time_batch(engine, [exactly(maker.text(tokens), 1)])
    return tokens / times.seconds


def _report_memory(engine: Engine, plan: MemoryPlan, out: Recorder) -> None:
    """The most memory that the engine's process had, beside what was planned before loading."""
    peak = engine.meter().peak_memory_bytes
    if pid_of(engine) is None or peak is None:
        out.note("no peak memory: the engine has no process of its own, or the system does not tell")
        return
    if not engine.info.detail.startswith(plan.describe()):
        out.note("the free memory changed meanwhile, and the engine's plan with it: peak and plan are of two plans")
    out.figure("peak memory of the engine's process", peak / 2**30, "GiB")
    out.figure("memory planned before loading", plan.total_bytes / 2**30, "GiB")
    difference = 100 * abs(peak - plan.total_bytes) / plan.total_bytes
    out.figure("peak beside the plan, difference", difference, "%", at_most=5.0)
