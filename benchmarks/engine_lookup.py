"""Prompt lookup where it should pay: answers that repeat most of a program in their prompt."""

from __future__ import annotations

import difflib
import fnmatch
import heapq
import inspect
import random
import shlex
import statistics
import string
import textwrap
from collections.abc import Sequence
from contextlib import closing

from leafwise.benchmarks.engine_bench import Bench, open_measured
from leafwise.benchmarks.engine_timing import meter_difference, time_batch
from leafwise.benchmarks.report import Recorder, Tell
from leafwise.runtime.contracts import Message, Request, Sampling
from leafwise.runtime.engine import Engine

_FENCE = "```python\n"
_FUNCTIONS = (
    *(textwrap.shorten, shlex.join, string.capwords, fnmatch.filter, statistics.quantiles),
    *(statistics.median_low, heapq.nlargest, difflib.get_close_matches, random.Random.shuffle),
)
_SAMPLED = Sampling(temperature=0.8, top_p=0.95)  # as the team samples repairs
_COUNTED = ("guessed_tokens", "accepted_tokens")


def measure_lookup(bench: Bench, out: Recorder, tell: Tell) -> None:
    """With and without, alternating, for a request to repair, as the team's, and for one to repeat."""
    programs = [textwrap.dedent(inspect.getsource(f)).strip() for f in _FUNCTIONS][: bench.sized(len(_FUNCTIONS), 2)]
    asked = {"repair": [_repair(p) for p in programs], "repeat": [_repeat(p) for p in programs]}
    with closing(open_measured(bench, context=4096)) as engine:
        for kind, requests in asked.items():
            requests = [r.model_copy(update={"max_tokens": bench.sized(256, 16)}) for r in requests]
            for n in (1, 3):
                _compare(bench, engine, f"{kind}, n={n}", [_with_samples(r, n) for r in requests], out, tell)
    out.note("repair: as the team asks, a standard-library function as the wrong code; repeat: 'write it again'")
    out.note("n=1 is greedy, n=3 is sampled at temperature 0.8, top-p 0.95; prompts are in the cache: decoding only")


def _repair(program: str) -> Request:
    return _request(
        f"This code is wrong:\n\n{_FENCE}{program}\n```\n\nIt raises a NameError for an empty input.\n\n"
        "Write the corrected, complete Python code in one code block."
    )


def _repeat(program: str) -> Request:
    return _request(f"{_FENCE}{program}\n```\n\nWrite this program again, exactly as it is, in one code block.")


def _request(text: str) -> Request:
    return Request(messages=(Message(role="user", content=text),), continuation=_FENCE, stop=("```",))


def _with_samples(request: Request, n: int) -> Request:
    return request if n == 1 else request.model_copy(update={"n": n, "sampling": _SAMPLED, "seed": 7})


def _compare(bench: Bench, engine: Engine, what: str, requests: Sequence[Request], out: Recorder, tell: Tell) -> None:
    ratios: list[float] = []
    counted = dict.fromkeys(_COUNTED, 0.0)
    differing = 0
    try:
        for run in range(bench.runs):
            tell(f"{what}: run {run + 1} of {bench.runs}")
            for request in requests:
                engine.submit(request.model_copy(update={"n": 1, "max_tokens": 1})).result()
                rates, texts = {}, {}
                before = engine.meter()
                for lookup in (False, True) if run % 2 else (True, False):
                    times = time_batch(engine, [request.model_copy(update={"lookup": lookup})])
                    rates[lookup] = times.tokens / times.seconds
                    texts[lookup] = [s.text for s in times.completions[0].samples]
                spent = meter_difference(before, engine.meter())
                counted = {name: counted[name] + spent[name] for name in _COUNTED}
                ratios.append(rates[True] / rates[False])
                differing += texts[True] != texts[False]
    finally:
        out.figure(f"{what}: times faster with lookup", ratios, "x", at_least=1.0)
        if counted["guessed_tokens"]:
            share = 100 * counted["accepted_tokens"] / counted["guessed_tokens"]
            out.figure(f"{what}: guesses that were right", share, "%")
        if requests[0].n == 1 and ratios:
            out.figure(f"{what}: greedy answers that differ", differing, at_most=0)
