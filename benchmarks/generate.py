"""One job to one sample: the team solves the task, and what it said and cost is kept."""

from __future__ import annotations

import threading
import time

from leafwise.agents import start
from leafwise.agents.contracts import Answer, Event, EventKind
from leafwise.benchmarks.contracts import Generated, Job, Sample
from leafwise.runtime.engine import Engine
from leafwise.runtime.sandbox import Sandbox

_LOOK_SECONDS = 0.2


def generate(job: Job, engine: Engine, sandbox: Sandbox, stop: threading.Event | None = None) -> Generated:
    """Have a team solve a job's task. Safe to call from several threads: requests meet in the engine's batch.

    Args:
        job: what to do.
        engine: runs the arm's model.
        sandbox: runs what it writes.
        stop: when set, the run is given up.

    Raises:
        RunInterrupted: `stop` was set.
        LeafwiseError: the machinery failed; there is no sample, and nothing to be judged.
    """
    started = time.time()
    settings = job.arm.settings.model_copy(
        update={"seed": (job.arm.settings.seed + job.sample) % 2**32, "max_tokens": job.max_tokens}
    )
    run = start(job.task, model=engine, sandbox=sandbox, settings=settings)
    while True:
        try:
            answer = run.result(_LOOK_SECONDS)
            break
        except TimeoutError:
            if stop is not None and stop.is_set():
                run.cancel()
    events = tuple(event for event in run.items if event.kind is not EventKind.TOKENS)
    raw, rule, cut = _source_of(answer, events)
    spent = answer.spent
    sample = Sample(
        task_id=job.task_id,
        arm=job.arm.name,
        sample=job.sample,
        fingerprint=job.arm.fingerprint,
        solution=writable(answer.code),
        raw=writable(raw),
        rule=rule,
        cut=cut,
        status=answer.status,
        origin=answer.origin,
        ended_by=answer.ended_by,
        seed=settings.seed,
        max_tokens=settings.max_tokens,
        calls=spent.calls,
        prompt_tokens=spent.prompt_tokens,
        cached_tokens=spent.cached_tokens,
        completion_tokens=spent.completion_tokens,
        programs=spent.programs,
        started=started,
        finished=time.time(),
    )
    return Generated(sample=sample, events=events)


def writable(text: str) -> str:
    """The text as it can be written in UTF-8: a server may send halves of characters."""
    return text.encode("utf-8", "backslashreplace").decode()


def _source_of(answer: Answer, events: tuple[Event, ...]) -> tuple[str, str, bool]:
    """The text that the answer was read from, the rule, and whether the text was cut; without code, the last text."""
    for event in events:
        if event.kind is EventKind.CANDIDATE and answer.code and event.data["source"] == answer.code:
            return event.data["answer"], event.data["rule"], event.data["cut"]
    calls = [event.data for event in events if event.kind is EventKind.CALL and event.data["role"] == "coder"]
    if not calls:
        return "", "none", False
    last = calls[-1]["samples"][-1]
    return calls[-1]["continuation"] + last["text"], "none", last["finish_reason"] != "stop"
