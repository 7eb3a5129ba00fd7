"""A thousand random requests through a cache far too small: none lost, none wrong, nothing leaked.

Twice: batched, where each answer has to be sound by itself, and deterministic, where each has to equal the answer that
the same request gets alone. Deterministic requests run one after the other, so the first part is what stresses the
cache and the second what proves the answers.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psutil

from leafwise.benchmarks.engine_bench import Bench, engine_options
from leafwise.benchmarks.engine_stress_cases import Case, base_requests, differs, fault, make_cases
from leafwise.benchmarks.report import Recorder, Tell
from leafwise.runtime.contracts import Completion
from leafwise.runtime.engine import Generation
from leafwise.runtime.errors import LeafwiseError
from leafwise.runtime.llama_engine import LlamaEngine
from leafwise.runtime.opening import open_in_process

_ROUNDS: dict[str, dict[str, Any]] = {
    "unified": {"kv_layout": "unified"},
    "separate": {"kv_layout": "separate"},
    "deterministic": {"kv_layout": "unified", "deterministic": True},
}
_IN_FLIGHT = 24
_PATIENCE = 600.0  # seconds; the longest queue takes a tenth of that
_LOST, _WRONG, _FAILED, _OTHER = "lost", "wrong", "failed", "other text than alone"


def measure_stress(bench: Bench, out: Recorder, tell: Tell) -> None:
    """First every base request alone, then all cases: batched in either layout of the cache, and in deterministic mode.

    In this process: the cells of its cache and its memory are looked at.
    """
    count = bench.sized(bench.requests, min(bench.requests, 30))
    context = bench.sized(512, 128)  # of one sequence; the cache holds two of them, for sixteen
    bases = base_requests(max(10, count // 4), 1, context)
    cases = make_cases(bases, count, 2)
    alone: list[Completion] = []

    def open_small(kind: str) -> LlamaEngine:
        return open_in_process(bench.path, engine_options(bench, context=context, running=16, **_ROUNDS[kind]))

    with closing(open_small("deterministic")) as engine:
        for i, request in enumerate(bases):
            tell(f"alone, {i + 1} of {len(bases)}")
            alone.append(engine.submit(request).result(_PATIENCE))
    for kind in _ROUNDS:
        with closing(open_small(kind)) as engine:
            _Stress(kind, engine, alone, out, tell).run(cases)


class _Stress:
    """One round over all cases."""

    def __init__(self, kind: str, engine: LlamaEngine, alone: Sequence[Completion], out: Recorder, tell: Tell) -> None:
        self._kind, self._engine, self._alone, self._out, self._tell = kind, engine, alone, out, tell
        self._lock = threading.Lock()
        self._ends: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._done = 0

    def run(self, cases: Sequence[Case]) -> None:
        """Run the first tenth, look at the memory, run the rest, look again."""
        started, begin = time.perf_counter(), len(cases) // 10
        try:
            self._run_some(cases[:begin], len(cases))
            before = psutil.Process().memory_info().rss
            self._run_some(cases[begin:], len(cases))
            after = psutil.Process().memory_info().rss
        finally:
            self._report(time.perf_counter() - started)
        self._out.figure(
            f"{self._kind}: resident memory after {len(cases)} / after {begin} requests",
            after / before,
            "x",
            at_most=1.02,
        )
        self._engine.drop_cache()
        self._out.figure(
            f"{self._kind}: cells in use in the end, the cache dropped", self._engine.cells_in_use(), at_most=0
        )

    def _run_some(self, cases: Sequence[Case], total: int) -> None:
        pool = ThreadPoolExecutor(_IN_FLIGHT)
        try:
            for _ in pool.map(self._run_one, cases):
                self._done += 1
                self._tell(f"{self._kind}, {self._done} of {total}")
        finally:  # interrupted: those in flight end when the engine is closed
            pool.shutdown(wait=False, cancel_futures=True)

    def _run_one(self, case: Case) -> None:
        try:
            generation = self._engine.submit(case.request)
            _cancel_as_told(case, generation)
            completion = generation.result(_PATIENCE)
        except TimeoutError:
            self._count(_LOST, f"no end within {_PATIENCE:.0f} s")
        except LeafwiseError as error:
            self._count(_FAILED, error.message)
        else:
            self._judge(case, completion, "".join(p.text for p in generation.items if p.sample == 0))

    def _judge(self, case: Case, completion: Completion, streamed: str) -> None:
        wrong = fault(case, completion)
        if wrong is None and streamed != completion.samples[0].text:
            wrong = "the pieces are not the text"
        if wrong:
            self._count(_WRONG, wrong)
        if differs(case, completion, self._alone[case.base]):
            self._count(_OTHER)
        reasons = {sample.finish_reason.value for sample in completion.samples}
        self._count("+".join(sorted(reasons)))

    def _count(self, end: str, message: str | None = None) -> None:
        with self._lock:
            self._ends[end] += 1
            if message:
                self._faults[message] += 1

    def _report(self, seconds: float) -> None:
        out, kind, ends = self._out, self._kind, self._ends
        out.figure(f"{kind}: requests that ended", self._done)
        out.figure(f"{kind}: lost", ends[_LOST], at_most=0)
        out.figure(f"{kind}: failed", ends[_FAILED], at_most=0)
        out.figure(f"{kind}: wrong by themselves", ends[_WRONG], at_most=0)
        # batches round differently in the last bits, so only the deterministic mode promises this
        promised = 0 if kind == "deterministic" else None
        out.figure(f"{kind}: other text than alone", ends[_OTHER], at_most=promised)
        out.figure(f"{kind}: time", seconds, "s")
        reasons = {end: n for end, n in ends.items() if end not in (_LOST, _WRONG, _FAILED, _OTHER)}
        out.table(f"{kind}: how they ended", tuple(reasons), [[str(n) for n in reasons.values()]] if reasons else [])
        out.table(
            f"{kind}: what was wrong", ("what", "requests"), [(w, str(n)) for w, n in self._faults.most_common(9)]
        )
        if self._engine.info.detail:
            out.note(f"{kind}: {self._engine.info.detail}")


def _cancel_as_told(case: Case, generation: Generation) -> None:
    ways: dict[str, Callable[[], object]] = {
        "at once": generation.cancel,
        "with text": lambda: generation.watch(lambda _: generation.cancel(), lambda _: None),
        "later": threading.Timer(case.delay, generation.cancel).start,
    }
    if way := ways.get(case.cancel):
        way()
