"""Tokens per second of the engine, in the shape of `llama-batched-bench`, beside llama-cpp-python's `Llama`.

128 prompt tokens, 64 generated, greedy. Every measurement of the engine follows one of `Llama` on the same file, so
that both have the same neighbours on the machine; ratios are of such pairs. The decode rate is taken while all
sequences generate: they begin one after the other, as their prompts are computed, while llama-batched-bench starts all
of them together.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from leafwise.benchmarks.engine_bench import REPACKABLE, Bench, open_measured, refuse_unsafe_build, variant
from leafwise.benchmarks.engine_prompts import PromptMaker, prompt_maker
from leafwise.benchmarks.engine_timing import exactly, time_batch
from leafwise.benchmarks.report import Recorder, Tell
from leafwise.runtime.engine import Engine
from leafwise.runtime.gguf_header import read_header
from leafwise.runtime.llama_serial import SerialLlama

_COLUMNS = ("", "PP", "TG", "B", "N_KV", "T_PP s", "S_PP t/s", "T_TG s", "S_TG t/s", "T s", "S t/s")
_CONTEXT = 1024
_ROOMY = 32  # sequences


class _Timing(NamedTuple):
    """One measurement of either side."""

    first: float
    """Seconds until every sequence had its first token."""
    rate: float
    """Tokens per second in decoding."""
    seconds: float
    """Wall-clock time of it all."""


def measure_throughput(bench: Bench, out: Recorder, tell: Tell) -> None:
    """The model's file as it comes, and repackable files made from it."""
    refuse_unsafe_build(bench.path)
    measured: set[Path] = set()
    for mix in (None, *REPACKABLE[: bench.sized(2, 1)]):
        path = variant(bench, mix, tell) if mix else bench.path
        if path not in measured:
            measured.add(path)
            _measure_file(bench, path, out, tell)
    out.note("T_TG: the time B x TG tokens take at the rate S_TG, which is taken while all B sequences generate")


def _measure_file(bench: Bench, path: Path, out: Recorder, tell: Tell) -> None:
    kind = read_header(path).quantization
    prompt, answer = bench.sized(128, 32), bench.sized(64, 8)
    batches = (1, 2) if bench.quick else (1, 8, 16, _ROOMY)
    pairs: dict[int, list[tuple[_Timing, _Timing]]] = {batch: [] for batch in batches}
    tell(f"{kind}: loading twice")
    serial = SerialLlama(path, _CONTEXT, bench.threads)
    with closing(serial), closing(open_measured(bench, path, context=_CONTEXT, running=max(batches))) as engine:
        maker = prompt_maker(engine)
        try:
            for run in range(bench.sized(-1, 0), bench.runs):  # the first one warms up
                for batch in batches:
                    tell(f"{kind}: run {max(run, 0) + 1} of {bench.runs}, {batch} sequences")
                    pair = (_serial(serial, maker, prompt, answer), _ours(engine, maker, batch, prompt, answer))
                    if run >= 0:
                        pairs[batch].append(pair)
        finally:
            _report(out, kind, pairs, prompt, answer)


def _serial(llama: SerialLlama, maker: PromptMaker, prompt: int, answer: int) -> _Timing:
    run = llama.generate(maker.text(prompt), answer)
    return _Timing(run.first_token_seconds, run.decode_rate, run.seconds)


def _ours(engine: Engine, maker: PromptMaker, batch: int, prompt: int, answer: int) -> _Timing:
    requests = [exactly(maker.text(prompt), answer) for _ in range(batch)]
    run = time_batch(engine, requests)
    return _Timing(run.first_token_seconds, run.decode_rate, run.seconds)


def _report(
    out: Recorder, kind: str, pairs: dict[int, list[tuple[_Timing, _Timing]]], prompt: int, answer: int
) -> None:
    measured = {batch: found for batch, found in pairs.items() if found}
    rows = [_row("leafwise", batch, [ours for _, ours in found], prompt, answer) for batch, found in measured.items()]
    if serial := [theirs for found in measured.values() for theirs, _ in found]:
        rows.append(_row("Llama", 1, serial, prompt, answer))
    out.table(f"{kind}: prefill and decode, medians", _COLUMNS, rows)
    out.figure(f"{kind}: Llama, serial decode", [timing.rate for timing in serial], "tok/s")
    many = 3.0 if kind.lower() in REPACKABLE else 2.0
    goals = {1: 0.97, 16: many}
    for batch, found in measured.items():
        rates = [ours.rate for _, ours in found]
        out.figure(f"{kind}: decode, {batch} sequences", rates, "tok/s")
        ratios = [ours.rate / theirs.rate for theirs, ours in found if theirs.rate]
        out.figure(f"{kind}: decode, {batch} sequences / Llama serial", ratios, "x", at_least=goals.get(batch))


def _row(who: str, batch: int, timings: Sequence[_Timing], prompt: int, answer: int) -> list[str | float]:
    first = statistics.median(t.first for t in timings)
    rate = statistics.median(t.rate for t in timings)
    seconds = statistics.median(t.seconds for t in timings)
    everything = batch * (prompt + answer)
    decoding = batch * answer / rate if rate else 0.0
    return [
        *(who, str(prompt), str(answer), str(batch), str(everything)),
        *(first, batch * prompt / first, decoding, rate, seconds, everything / seconds),
    ]
