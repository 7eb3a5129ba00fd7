"""What sharing a prompt's beginning saves, and what a step costs beside computing."""

from __future__ import annotations

import time
from contextlib import closing

from leafwise.benchmarks.engine_bench import Bench, open_measured
from leafwise.benchmarks.engine_prompts import PromptMaker, prompt_maker
from leafwise.benchmarks.engine_timing import exactly, meter_difference, time_batch
from leafwise.benchmarks.report import Recorder, Tell
from leafwise.runtime.contracts import Request, Sampling
from leafwise.runtime.engine import Engine

_SAMPLED = Sampling(temperature=0.8, top_p=0.95)  # as the team asks
_RUNNING = 16


def measure_latency(bench: Bench, out: Recorder, tell: Tell) -> None:
    """Time to the first token with and without a shared beginning, and what 16 samples of one prompt prefill."""
    length, shared = bench.sized(900, 90), bench.sized(800, 80)
    cold: list[float] = []
    warm: list[float] = []
    prefills: list[float] = []
    with closing(open_measured(bench, context=2048, running=_RUNNING)) as engine:
        maker = prompt_maker(engine)
        engine.submit(exactly(maker.text(length), 4)).result()
        try:
            for run in range(bench.runs):
                tell(f"run {run + 1} of {bench.runs}")
                beginning = maker.text(shared)
                cold.append(_first_token(engine, maker.text(length, beginning)))
                warm.append(_first_token(engine, maker.text(length, beginning)))
                prefills.append(_prefill_of_samples(engine, maker.text(length)) / length)
        finally:
            name = f"first token of {length} tokens"
            out.figure(f"{name}, cold", [1000 * s for s in cold], "ms")
            out.figure(f"{name}, {shared} of them shared", [1000 * s for s in warm], "ms")
            ratios = [w / c for w, c in zip(warm, cold, strict=False)]
            out.figure(f"{name}, shared / cold", ratios, "x", at_most=0.2)
            out.figure(f"prefill of 16 samples of {length} tokens / of one", prefills, "x", at_most=1.1)


def _first_token(engine: Engine, prompt: str) -> float:
    """Seconds until whoever asked has the first token: it is the only one, so the answer comes with it."""
    started = time.perf_counter()
    engine.submit(Request(prompt=prompt, max_tokens=1)).result()
    return time.perf_counter() - started


def _prefill_of_samples(engine: Engine, prompt: str) -> float:
    """Prompt tokens that were computed for 16 samples."""
    before = engine.meter()
    engine.submit(exactly(prompt, 8, n=16, sampling=_SAMPLED)).result()
    return meter_difference(before, engine.meter())["prefilled_tokens"]


def measure_steps(bench: Bench, out: Recorder, tell: Tell) -> None:
    """How a step's time divides at 16 sequences: computing, sampling, and everything else."""
    kinds = {"greedy": Sampling(), "sampled": _SAMPLED, "top-k": Sampling(temperature=0.8, top_k=40, top_p=0.95)}
    shares: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    with closing(open_measured(bench, context=1024, running=_RUNNING)) as engine:
        maker = prompt_maker(engine)
        try:
            for run in range(bench.sized(-1, 0), bench.runs):  # the first one warms up
                for kind, sampling in kinds.items():
                    tell(f"run {max(run, 0) + 1} of {bench.runs}, {kind}")
                    found = _shares(engine, maker, sampling, bench.sized(128, 6))
                    if run >= 0:
                        shares[kind].append(found)
        finally:
            for kind, several in shares.items():
                _report_shares(out, kind, several)
    out.note("greedy; sampled: temperature 0.8, top-p 0.95 over the whole vocabulary; top-k: the same after top-k 40")


def _shares(engine: Engine, maker: PromptMaker, sampling: Sampling, answer: int) -> dict[str, float]:
    # prompts so short that all of them are computed in one step: nearly every step then generates for 16 sequences
    requests = [exactly(maker.text(16), answer, sampling=sampling, seed=i) for i in range(_RUNNING)]
    before = engine.meter()
    run = time_batch(engine, requests)
    spent = meter_difference(before, engine.meter())
    step, compute, draw = spent["step_seconds"], spent["compute_seconds"], spent["sampling_seconds"]
    return {
        "python": 100 * (step - compute - draw) / step,
        "sampling": 100 * draw / step,
        "outside": 100 * (run.seconds - step) / run.seconds,
        "milliseconds": 1000 * step / spent["steps"],
        "occupancy": spent["running_sum"] / spent["decoding_steps"],
    }


def _report_shares(out: Recorder, kind: str, found: list[dict[str, float]]) -> None:
    for name, unit, what in (
        ("python", "%", "share of a step that is neither computing nor sampling"),
        ("sampling", "%", "share of a step that is sampling"),
        ("outside", "%", "share of the time in which no step runs"),
        ("milliseconds", "ms", "a step"),
        ("occupancy", "", "sequences in a step"),
    ):
        goal = 5.0 if name == "python" else None
        out.figure(f"{kind}: {what}", [shares[name] for shares in found], unit, at_most=goal)
