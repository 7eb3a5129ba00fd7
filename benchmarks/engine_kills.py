"""The engine's process is killed under load, again and again: every request ends, and the one who asked lives."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from contextlib import closing

from leafwise.benchmarks.engine_bench import Bench, open_measured, pid_of
from leafwise.benchmarks.engine_prompts import PromptMaker, prompt_maker
from leafwise.benchmarks.engine_timing import exactly
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.report import Recorder, Tell
from leafwise.runtime.engine import Engine, Generation
from leafwise.runtime.errors import EngineCrashedError, LeafwiseError

_PATIENCE = 120.0  # seconds for one answer; the embedded model needs one or two
_ANSWER, _ERROR, _OTHER, _LOST = "answered", "clear error", "another error", "no end"


def measure_kills(bench: Bench, out: Recorder, tell: Tell) -> None:
    """Kill the process at random moments with twelve requests in flight; after each kill it has to answer again."""
    kills = bench.sized(20, 2)
    ends: Counter[str] = Counter()
    recovery: list[float] = []
    dice = random.Random(0)
    with closing(open_measured(bench, context=1024, running=8, isolated=True)) as engine:
        maker = prompt_maker(engine)
        done = 0
        try:
            while done < kills:
                tell(f"kill {done + 1} of {kills}")
                ends.update(_one_kill(engine, maker, dice, bench.sized(200, 20)))
                done += 1
                recovery.append(_recovery(engine, maker))
        finally:
            _report(out, done, ends, recovery)
        out.figure("restarts that the meter counts", engine.meter().restarts, at_least=kills)


def _one_kill(engine: Engine, maker: PromptMaker, dice: random.Random, answer: int) -> Counter[str]:
    """Twelve requests for eight places, so that some have not started when the process dies."""
    generations: list[Generation] = []
    ends: Counter[str] = Counter()
    for _ in range(12):
        try:
            generations.append(engine.submit(exactly(maker.text(dice.randrange(16, 200)), answer)))
        except LeafwiseError as error:  # refused: an end as well
            ends[_kind(error)] += 1
    time.sleep(dice.uniform(0.0, 0.6))
    pid = pid_of(engine)
    if pid is None:
        raise BenchmarkError("the engine has no process of its own", "please report this")
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        raise BenchmarkError("the engine's process was gone before it was killed", "please report this") from None
    ends.update(_end(generation) for generation in generations)
    return ends


def _end(generation: Generation) -> str:
    try:
        generation.result(_PATIENCE)
    except TimeoutError:
        return _LOST
    except LeafwiseError as error:
        return _kind(error)
    return _ANSWER


def _kind(error: LeafwiseError) -> str:
    return _ERROR if isinstance(error, EngineCrashedError) and error.message and error.hint else _OTHER


def _recovery(engine: Engine, maker: PromptMaker) -> float:
    """Seconds until a new request is answered."""
    started = time.perf_counter()
    try:
        engine.submit(exactly(maker.text(16), 4)).result(_PATIENCE)
    except TimeoutError:
        raise BenchmarkError(f"no answer within {_PATIENCE:.0f} s after a kill", "please report this") from None
    return time.perf_counter() - started


def _report(out: Recorder, kills: int, ends: Counter[str], recovery: list[float]) -> None:
    out.figure("kills under load", kills)
    out.figure("requests", ends.total())
    out.figure("requests that were answered", ends[_ANSWER])
    out.figure("requests that failed with a clear error", ends[_ERROR])
    out.figure("requests that failed otherwise", ends[_OTHER], at_most=0)
    out.figure("requests without an end", ends[_LOST], at_most=0)
    out.figure("a new request after a kill", recovery, "s")
