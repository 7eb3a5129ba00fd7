"""A run's objects for the tests of summaries and reports: made up outcomes, real contracts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from leafwise.agents.contracts import AnswerStatus, Event, EventKind
from leafwise.agents.settings import Settings
from leafwise.agents.strategies import with_strategy
from leafwise.benchmarks.contracts import Arm, Judgement, Manifest, ModelFile, Result, Sample, SuiteName
from leafwise.benchmarks.report import Machine
from leafwise.benchmarks.traces import trace_path, write_trace
from leafwise.runtime.sandbox_contracts import SandboxLevel, Status

HOSTILE = '</script><script>document.title="owned"</script><img src=x onerror=\'document.title="owned"\'>{{ 7*7 }}<!--'


def arm(name: str, strategy: str = "", model: str = "m", temperature: float = 0.8) -> Arm:
    settings = with_strategy(Settings(temperature=temperature), strategy or name)
    return Arm(name=name, model=model, strategy=settings.strategy, settings=settings, fingerprint=f"of {name}")


ARMS = (arm("direct", "direct"), arm("resample", "resample"), arm("guided", "guided"))


def manifest(
    arms: Sequence[Arm] = ARMS, tasks: int = 4, samples: int = 1, suites: tuple[SuiteName, ...] = ("base",)
) -> Manifest:
    machine = Machine(
        cpu="a CPU", highlights=(), cores=2, memory_bytes=2**33, system="Linux", python="3.11", llama_cpp_python="0.3"
    )
    return Manifest(
        dataset="humaneval",
        dataset_source="made up",
        dataset_sha256="0" * 64,
        suites=suites,
        tasks=tuple(f"HumanEval/{i}" for i in range(tasks)),
        samples=samples,
        arms=tuple(arms),
        models=(ModelFile(name="m", sha256="1" * 64, quantization="Q4_1", bytes=1000),),
        leafwise="0.1.0",
        commit=None,
        code_sha256="2" * 64,
        prompts_sha256="3" * 64,
        llama_cpp="0.3",
        machine=machine,
        created="2026-01-01T00:00:00",
    )


def sample(arm: str, task: int, number: int = 0, **changed: object) -> Sample:
    plain = Sample(
        task_id=f"HumanEval/{task}",
        arm=arm,
        sample=number,
        fingerprint=f"of {arm}",
        solution="def f():\n    return 1\n",
        raw="```python\ndef f():\n    return 1\n```",
        rule="fence",
        cut=False,
        status=AnswerStatus.UNCHECKED,
        origin="draft",
        ended_by="done",
        seed=0,
        max_tokens=100,
        calls=2,
        prompt_tokens=100,
        cached_tokens=40,
        completion_tokens=50,
        programs=3,
        started=10.0 * task,
        finished=10.0 * task + 10,
    )
    return plain.model_copy(update=changed)


def judged(of: Sample, base: Status | bool, plus: bool | None = None) -> Judgement:
    status = (Status.PASSED if base else Status.FAILED) if isinstance(base, bool) else base
    further = None if plus is None else Result(status=Status.PASSED if plus else Status.FAILED)
    result = Result(status=status, detail="" if status is Status.PASSED else "AssertionError")
    return Judgement(
        task_id=of.task_id, arm=of.arm, sample=of.sample, key="k", base=result, plus=further, level=SandboxLevel.FULL
    )


def write_run(folder: Path, tasks: int = 164, text: str = HOSTILE) -> Path:
    """A run's directory; what the model wrote is `text`, and the last task has no traces."""
    chance = random.Random(1)
    run = manifest(tasks=tasks, suites=("base", "plus"))
    samples, verdicts = [], []
    for place, one in enumerate(ARMS):
        for task in range(tasks):
            passes, cut = chance.random() < 0.06 + 0.03 * place, chance.random() < 0.1
            status = AnswerStatus.PASSED if chance.random() < 0.2 else AnswerStatus.FAILED
            tokens = [60, 900, 880][place]
            made = sample(one.name, task, status=status, cut=cut, completion_tokens=tokens, solution=text, raw=text)
            samples.append(made)
            verdicts.append(judged(made, passes, chance.random() < 0.8 if passes else None))
            if task < tasks - 1:
                write_trace(trace_path(folder, *made.key), events(text))
    (folder / "manifest.json").write_text(run.model_dump_json(), encoding="utf-8")
    for name, rows in (("samples", samples), ("verdicts", verdicts)):
        lines = "".join(f"{row.model_dump_json()}\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def events(text: str) -> list[Event]:
    """A run of the team, as its trace has it."""
    node = {"id": "root", "state": "solved", "spec": {"entry_point": "f"}}
    evidence = {"loads": True, "examples_passed": 1, "examples_total": 2, "checks_passed": 0, "checks_total": 0}
    failure = {"code": "f(1)", "expected": "2", "observed": text}
    candidate = {"origin": "draft", "rule": "fence", "cut": False, "source": text}
    samples = [{"text": text, "tokens": 12, "finish_reason": "stop"}]
    return [
        Event(kind=EventKind.RUN_STARTED, data={"task": {"entry_point": "f", "statement": f"Write f. {text}"}}),
        Event(
            kind=EventKind.CALL,
            step="draft:root",
            data={"role": "coder", "prompt": text, "continuation": "", "samples": samples},
        ),
        Event(
            kind=EventKind.CANDIDATE,
            step="draft:root",
            data={**candidate, "evidence": {**evidence, "failure": failure, "detail": ""}},
        ),
        Event(kind=EventKind.PLAN, step="plan:root", text=f"helper {text}"),
        Event(kind=EventKind.NODE, node="root.1", data={"state": "failed", "name": "helper"}),
        Event(kind=EventKind.NOTE, step="leaf:root.1", text=text),
        Event(kind=EventKind.RUN_FINISHED, text=f"Fails. {text}", data={"answer": {"nodes": [node]}}),
    ]
