"""Prefill and batched decode of several files of one model, by turns, so that all have the same neighbours."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from leafwise.benchmarks.engine_prompts import prompt_maker
from leafwise.benchmarks.engine_timing import exactly, time_batch
from leafwise.runtime.contracts import Contract
from leafwise.runtime.engine import Engine
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.opening import open_engine

SEQUENCES = 16
_PROMPT, _ANSWER = 128, 64


class FileSpeed(Contract):
    """One file's measurements, one per round."""

    path: str
    """The file's name."""
    prefill: tuple[float, ...]
    """Prompt tokens per second: 16 prompts of 128 tokens that share no beginning."""
    decode: tuple[float, ...]
    """Tokens per second over 16 sequences while all of them generate."""

    def beside(self, first: FileSpeed) -> tuple[float, float]:
        """Prefill and decode over those of another file: medians of the rounds' ratios."""
        pairs = ((self.prefill, first.prefill), (self.decode, first.decode))
        found = [statistics.median(a / b for a, b in zip(ours, theirs, strict=True)) for ours, theirs in pairs]
        return found[0], found[1]


def measure_speeds(
    paths: Sequence[Path], *, rounds: int = 5, threads: int | None = None, tell: Callable[[int, int], None]
) -> list[FileSpeed]:
    """Measure files in turn; the first round warms up and does not count.

    Args:
        paths: GGUF files.
        rounds: that count.
        threads: that compute.
        tell: told the number of rounds done, and of all.

    Raises:
        LeafwiseError: a file cannot be run.
    """
    options = EngineOptions(context=256, running=SEQUENCES, threads=threads, isolated=True, flash_attention=True)
    found: list[list[tuple[float, float]]] = [[] for _ in paths]
    with ExitStack() as stack:
        engines = [stack.enter_context(closing(open_engine(path, options))) for path in paths]
        for number in range(rounds + 1):
            for engine, timings in zip(engines, found, strict=True):
                timings.append(_time(engine, number))
            tell(number, rounds)
    return [
        FileSpeed(path=path.name, prefill=tuple(p for p, _ in timings[1:]), decode=tuple(d for _, d in timings[1:]))
        for path, timings in zip(paths, found, strict=True)
    ]


def _time(engine: Engine, number: int) -> tuple[float, float]:
    maker = prompt_maker(engine, number)  # other prompts in every round: none is in the cache
    run = time_batch(engine, [exactly(maker.text(_PROMPT), _ANSWER) for _ in range(SEQUENCES)])
    return SEQUENCES * _PROMPT / run.first_token_seconds, run.decode_rate
