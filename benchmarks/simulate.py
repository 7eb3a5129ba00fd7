"""The policy simulator: what each strategy yields with a model of a given skill and a given budget. No model runs.

The team is the real one: workflow, policy, selection, prompts and sandbox; only the model is simulated (see
`simulated_engine` for what it assumes). Answers are judged by the hidden tests.

**Equal budget.** A budget of n means: n times the tokens of the task's own right answer, for whatever a strategy asks
the model. Every strategy may spend all of it; `guided` and `paper` often end earlier. `resample` may spend all of it
too, so a gain over it is a gain at equal budget in the strict sense. `resample-matched` gets the tokens that `guided`
really spent on each task, as in `bench humaneval`. One reply may be one and a half times as long as the right answer.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError

from leafwise.agents.session import Session, Tools
from leafwise.agents.settings import Settings
from leafwise.agents.strategies import with_strategy
from leafwise.benchmarks.code_hash import code_sha256, prompts_sha256
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.judge import Answer, judge_samples
from leafwise.benchmarks.simulate_reference import SimulatedTask
from leafwise.benchmarks.simulated_engine import Chances, SimulatedEngine, Skill, answer_tokens, draw_chances
from leafwise.runtime.contracts import Contract
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import UsageError
from leafwise.runtime.paths import write_whole
from leafwise.runtime.sandbox import Sandbox

MATCHED = "resample-matched"
"""`resample` with the tokens that `guided` spent on the same task."""
LABEL = "simulation: no model ran"
_DRAFTS_ONLY = ("direct", "resample")
_SHORTEST_REPLY = 48
_AT_ONCE = 4
_OWN = (
    *("judge.py", "mutations.py", "simulate.py", "simulate_mistakes.py", "simulate_prompts.py"),
    *("simulate_reference.py", "simulate_sandbox.py", "simulate_tasks.py", "simulated_coder.py", "simulated_engine.py"),
)
"""Our modules on which a cell depends, beside those of `code_sha256`."""
_Value = TypeVar("_Value")


class ArmOutcome(Contract):
    """What a strategy yielded with one skill and budget."""

    arm: str
    """Its name."""
    passed: dict[str, tuple[bool, ...]]
    """For each task, whether each of its answers passed the hidden tests."""
    tokens: dict[str, tuple[int, ...]]
    """For each task, the tokens spent on each answer."""
    answers: float
    """Mean tokens spent, in right answers of the task."""


class Cell(Contract):
    """One skill with one budget."""

    skill: Skill
    """The model."""
    budget: float
    """Tokens that may be spent, in right answers of the task."""
    arms: tuple[ArmOutcome, ...] = ()
    """What was run."""

    def arm(self, name: str) -> ArmOutcome | None:
        """The outcome of a strategy, if it was run."""
        return next((arm for arm in self.arms if arm.arm == name), None)


class Study(Contract):
    """What all cells of a simulation have in common."""

    tasks: tuple[str, ...]
    """Ids of the tasks."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the functions' chances and of all answers."""
    samples: int = Field(default=1, ge=1)
    """Answers per task and strategy."""
    settings: Settings = Settings()
    """The team's knobs, but for strategy, seed and token limits."""


class Simulation(Contract):
    """The content of `simulate.json`."""

    label: str = LABEL
    """So that nobody takes it for a measurement of a model."""
    fingerprint: str
    """Of the study and of the code: cells of another one do not count."""
    study: Study
    """What was simulated."""
    cells: tuple[Cell, ...] = ()
    """What came out."""


def arm_settings(name: str, base: Settings) -> Settings:
    """The settings that a strategy's name stands for.

    Args:
        name: one of `agents.strategies`, or `resample-matched`; behind a colon knobs of `Settings`, for example
            `guided:drafts=4+repair_rounds=0`.
        base: the other knobs.

    Raises:
        UsageError: there is no such strategy or knob, or the value is none that it can have.
    """
    strategy, _, knobs = name.partition(":")
    settings = with_strategy(base, "resample" if strategy == MATCHED else strategy)
    values: dict[str, object] = {}
    for knob in filter(None, knobs.split("+")):
        key, equals, value = knob.partition("=")
        if not equals or key not in Settings.model_fields:
            raise UsageError(f"{name}: no knob {key}", f"write {strategy}:NAME=VALUE; see leafwise.agents.Settings")
        values[key] = value
    try:
        return Settings.model_validate(settings.model_dump() | values)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"{name}: {'.'.join(map(str, first['loc']))}: {first['msg']}", "choose another value"
        ) from error


def run_cell(
    cell: Cell,
    arms: Sequence[str],
    tasks: Sequence[SimulatedTask],
    study: Study,
    sandbox: Sandbox,
    done: Callable[[], None] = lambda: None,
) -> Cell:
    """Run the strategies that a cell lacks.

    Args:
        cell: skill and budget, with what is known already.
        arms: names of strategies; `resample-matched` brings `guided` along.
        tasks: those of the study.
        study: what cells have in common.
        sandbox: runs what the simulated model writes.
        done: called after each answer.

    Raises:
        LeafwiseError: the machinery failed.
    """
    chances = draw_chances(tasks, cell.skill, study.seed)
    wanted = [*(["guided"] if MATCHED in arms and "guided" not in arms else []), *arms]
    for name in sorted(dict.fromkeys(wanted), key=lambda arm: arm == MATCHED):
        if cell.arm(name) is None:
            outcome = _run_arm(name, cell, tasks, chances, study, sandbox, done)
            cell = cell.model_copy(update={"arms": (*cell.arms, outcome)})
    return cell


def with_known(cell: Cell, others: Sequence[Cell]) -> Cell:
    """A cell with what others have already of strategies that ask for drafts only: q and d make no difference there."""
    for other in others:
        same = (other.skill.p, other.skill.concentration, other.budget)
        for arm in other.arms if same == (cell.skill.p, cell.skill.concentration, cell.budget) else ():
            if arm.arm in _DRAFTS_ONLY and cell.arm(arm.arm) is None:
                cell = cell.model_copy(update={"arms": (*cell.arms, arm)})
    return cell


def _run_arm(
    name: str,
    cell: Cell,
    tasks: Sequence[SimulatedTask],
    chances: Chances,
    study: Study,
    sandbox: Sandbox,
    done: Callable[[], None],
) -> ArmOutcome:
    settings = arm_settings(name, study.settings)
    guided = cell.arm("guided") if name == MATCHED else None
    jobs = [(task, sample) for task in tasks for sample in range(study.samples)]

    def work(job: tuple[SimulatedTask, int]) -> tuple[str, int]:
        task, sample = job
        length = answer_tokens(task)
        limit = guided.tokens[task.problem.id][sample] if guided else round(cell.budget * length)
        seed = (study.seed + sample) % 2**32
        limits = {
            "max_tokens": max(16, limit),
            "answer_tokens": max(_SHORTEST_REPLY, round(1.5 * length)),
            "seed": seed,
        }
        answer = _solve(task, cell.skill, chances, settings.model_copy(update=limits), sandbox)
        done()
        return answer

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(work, jobs))
    answers = [
        Answer(task_id=task.problem.id, sample=sample, module=code)
        for (task, sample), (code, _) in zip(jobs, found, strict=True)
    ]
    judged = judge_samples([task.problem for task in tasks], answers, sandbox)
    verdicts = {(j.task_id, j.sample): j.passed("base") for j in judged}
    tokens = {(task.problem.id, sample): spent for (task, sample), (_, spent) in zip(jobs, found, strict=True)}
    lengths = {task.problem.id: answer_tokens(task) for task in tasks}
    return ArmOutcome(
        arm=name,
        passed=_by_task(verdicts, study),
        tokens=_by_task(tokens, study),
        answers=sum(spent / lengths[task] for (task, _), spent in tokens.items()) / len(tokens),
    )


def _by_task(values: Mapping[tuple[str, int], _Value], study: Study) -> dict[str, tuple[_Value, ...]]:
    return {task: tuple(values[task, sample] for sample in range(study.samples)) for task in study.tasks}


def _solve(
    task: SimulatedTask, skill: Skill, chances: Chances, settings: Settings, sandbox: Sandbox
) -> tuple[str, int]:
    """The team's answer, and the tokens it cost."""
    engine = SimulatedEngine(task, skill, chances, settings.seed)
    session = Session(task.task, settings, Tools(engine, EngineOptions(), sandbox), None, None, resumed=False)
    answer = session.run(lambda _: None, threading.Event())
    return answer.code, answer.spent.completion_tokens


# --- simulate.json ---------------------------------------------------------------------------------------------------


class SimulationFile:
    """Keeps a simulation's cells on disk while they come.

    Args:
        path: `simulate.json`; None keeps nothing.
        study: what is simulated.

    Raises:
        BenchmarkError: the file cannot be read.
    """

    def __init__(self, path: Path | None, study: Study) -> None:
        self._path = path
        self.content = Simulation(fingerprint=fingerprint(study), study=study)
        """What is known so far."""
        if path is not None and path.exists():
            try:
                stored = Simulation.model_validate_json(path.read_bytes())
            except (OSError, ValidationError) as error:
                raise BenchmarkError(f"{path} is no simulation of this version", "choose another --out") from error
            if stored.fingerprint == self.content.fingerprint:
                self.content = stored

    def cell(self, skill: Skill, budget: float) -> Cell:
        """What is known of a skill with a budget."""
        known = [cell for cell in self.content.cells if (cell.skill, cell.budget) == (skill, budget)]
        return known[0] if known else Cell(skill=skill, budget=budget)

    def add(self, cell: Cell) -> None:
        """Keep a cell, in the place of an older version of it.

        Raises:
            BenchmarkError: the file cannot be written.
        """
        key = (cell.skill, cell.budget)
        others = [old for old in self.content.cells if (old.skill, old.budget) != key]
        self.content = self.content.model_copy(update={"cells": (*others, cell)})
        if self._path is not None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(self._path, self.content.model_dump_json().encode() + b"\n")
            except OSError as error:
                raise BenchmarkError(f"cannot write {self._path}: {error.strerror}", "choose another --out") from error


def fingerprint(study: Study) -> str:
    """Hash of all that the cells of a study depend on: the study, the team, the prompts, and the simulation."""
    digest = hashlib.sha256(f"{code_sha256()}{prompts_sha256()}{study.model_dump_json()}".encode())
    for file in _own_files():
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _own_files() -> Iterator[Path]:
    root = Path(str(resources.files("leafwise.benchmarks")))
    yield from (root / name for name in _OWN)
