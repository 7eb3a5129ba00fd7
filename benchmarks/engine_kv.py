"""What the ways to open an engine cost: KV cache types and layouts, determinism, a process of its own."""

from __future__ import annotations

import statistics
from contextlib import closing
from typing import Any, NamedTuple

from leafwise.benchmarks.engine_bench import Bench, open_measured, pid_of
from leafwise.benchmarks.engine_prompts import prompt_maker
from leafwise.benchmarks.engine_timing import exactly, time_batch
from leafwise.benchmarks.report import Recorder, Tell

_WAYS: dict[str, dict[str, Any]] = {
    "f16": {},
    "q8_0": {"kv_type": "q8_0"},
    "q4_0": {"kv_type": "q4_0"},
    "no flash attention": {"flash_attention": False},
    "unified": {"kv_layout": "unified"},
    "separate": {"kv_layout": "separate"},
    "deterministic": {"deterministic": True},
    "in this process": {"isolated": False},
}
"""What is changed of the defaults; the first one is the defaults."""
_BASE = "f16"


class _Found(NamedTuple):
    """One measurement of one way."""

    single: float
    """Tokens generated per second of wall-clock, one request."""
    many: float
    """The same for a batch."""
    peak: float | None
    """Most memory of the engine's process, in MiB."""


def measure_kv(bench: Bench, out: Recorder, tell: Tell) -> None:
    """Every way in turn, again and again; each time in a fresh engine."""
    found: dict[str, list[_Found]] = {way: [] for way in _WAYS}
    batch, prompt, answer = bench.sized(8, 2), bench.sized(256, 32), bench.sized(64, 8)
    try:
        for run in range(bench.runs):
            for way, options in _WAYS.items():
                tell(f"run {run + 1} of {bench.runs}, {way}")
                found[way].append(_measure_way(bench, options, batch, prompt, answer))
    finally:
        _report(out, {way: several for way, several in found.items() if several}, batch)
    out.note(f"{prompt} prompt tokens, {answer} generated; rates count the time of the prompt in")


def _measure_way(bench: Bench, options: dict[str, Any], batch: int, prompt: int, answer: int) -> _Found:
    with closing(open_measured(bench, **({"context": 2048, "running": 8} | options))) as engine:
        maker = prompt_maker(engine)
        time_batch(engine, [exactly(maker.text(prompt), 4)])  # warms up
        single = time_batch(engine, [exactly(maker.text(prompt), answer)])
        many = time_batch(engine, [exactly(maker.text(prompt), answer) for _ in range(batch)])
        # in this process the peak is the benchmark's own
        peak = engine.meter().peak_memory_bytes if pid_of(engine) is not None else None
    return _Found(single.tokens / single.seconds, many.tokens / many.seconds, peak / 2**20 if peak else None)


def _report(out: Recorder, found: dict[str, list[_Found]], batch: int) -> None:
    rows: list[list[str | float | None]] = []
    for way, several in found.items():
        peaks = [f.peak for f in several if f.peak is not None]
        single, many = statistics.median(f.single for f in several), statistics.median(f.many for f in several)
        rows.append([way, single, many, statistics.median(peaks) if peaks else None])
    out.table("ways to open an engine, medians", ("", "1 seq. t/s", f"{batch} seq. t/s", "peak MiB"), rows)
    base = found.get(_BASE, [])
    for way, several in found.items():
        if way != _BASE:
            # of the same round: the machine was about the same
            ratios = [mine.many / other.many for mine, other in zip(several, base, strict=False)]
            out.figure(f"{way} / {_BASE}, {batch} sequences", ratios, "x")
