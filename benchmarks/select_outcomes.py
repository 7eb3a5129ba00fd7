"""Running recorded candidates in the sandbox: once for the evidence, and once, apart from it, by the hidden tests."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from leafwise.agents.checking import LIMITS, examine
from leafwise.agents.contracts import ROOT, Candidate, Evidence
from leafwise.benchmarks.contracts import Judgement
from leafwise.benchmarks.journal import Journal
from leafwise.benchmarks.judge import Answer, judge_samples, key_of
from leafwise.benchmarks.select_pools import Draw, Pool, Trial
from leafwise.runtime.contracts import Contract
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Status


class Outcome(Contract):
    """What is known of a module after running it: a line of the file that keeps outcomes."""

    key: str
    """A hash of the module, of what it was run on, and of the sandbox level."""
    evidence: Evidence | None = None
    """What running it on examples, checks and inputs showed."""
    passed: bool | None = None
    """Whether it passes the hidden tests."""


class Outcomes:
    """Outcomes by their keys; new ones are written to a journal, if there is one. Safe to use from several threads.

    Args:
        journal: has those of before, and gets each new one.
    """

    def __init__(self, journal: Journal[Outcome] | None = None) -> None:
        self._lock = threading.Lock()
        self._journal = journal
        self._known = {outcome.key: outcome for outcome in (journal.found if journal else ())}

    def get(self, key: str) -> Outcome | None:
        """The outcome of a key, if it is known."""
        return self._known.get(key)

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome.

        Raises:
            BenchmarkError: it can't be written.
        """
        with self._lock:
            self._known[outcome.key] = outcome
            if self._journal is not None:
                self._journal.append(outcome)


@dataclass(frozen=True)
class Tried:
    """A task's candidates after they were run: all evidence, for any draw."""

    pool: Pool
    """The recorded answers."""
    whole: Trial
    """Everything that they were run on."""
    evidence: Mapping[str, Evidence]
    """By module; selection sees a draw's part of it."""
    passed: Mapping[str, bool]
    """By module: the hidden tests' verdict, which selection never sees."""

    def right(self, number: int) -> bool:
        """Whether a solution passes the hidden tests."""
        return self.passed.get(self.pool.modules[number], False)

    def candidates(self, draw: Draw, trial: Trial, *, examples: bool) -> dict[int, Candidate]:
        """A draw's solutions that have code, by number, with the evidence that its own checks and inputs give.

        Args:
            draw: the solutions.
            trial: the checks and inputs.
            examples: whether the evidence says how they did on the visible examples.
        """
        checks = [self.whole.checks.index(check) for check in trial.checks]
        places = {call: place for place, call in enumerate(self.whole.inputs)}
        inputs = [places[call] for call in trial.inputs]
        parts: dict[str, Evidence] = {}
        found: dict[int, Candidate] = {}
        for number in draw.solutions:
            module = self.pool.modules[number]
            if not module:
                continue
            if module not in parts:
                parts[module] = _part(self.evidence[module], checks, inputs, examples=examples)
            rule = self.pool.rules[number]
            found[number] = Candidate(node=ROOT, origin="draft", source=module, rule=rule, evidence=parts[module])
        return found


def _part(evidence: Evidence, checks: Sequence[int], inputs: Sequence[int], *, examples: bool) -> Evidence:
    results = [evidence.check_results[place] for place in checks]
    if not examples:
        evidence = evidence.model_copy(update={"examples_passed": 0, "examples_total": 0, "failure": None})
    return evidence.model_copy(
        update={
            "checks_passed": sum(results),
            "checks_total": len(results),
            "check_results": tuple(results),
            "behaviour": tuple(evidence.behaviour[place] for place in inputs),
        }
    )


def try_candidates(
    pool: Pool, whole: Trial, sandbox: Sandbox, outcomes: Outcomes, workers: int, advance: Callable[[], None]
) -> dict[str, Evidence]:
    """Run each module of a pool once on the examples, and on all checks and inputs that any draw of it may want.

    Args:
        pool: the recorded answers.
        whole: see `whole_trial`.
        sandbox: runs them.
        outcomes: those that are there are not run again.
        workers: programs that run at once.
        advance: is called after each module.

    Raises:
        SandboxError: the sandbox failed.
    """
    spec = pool.spec
    tried = "\n".join([spec.model_dump_json(), *(c.model_dump_json() for c in whole.checks), *whole.inputs])

    def run(module: str) -> Evidence:
        key = _key("evidence", sandbox.level, LIMITS.model_dump_json(), tried, module)
        known = outcomes.get(key)
        if known is None or known.evidence is None:
            evidence = examine(module, spec, sandbox, checks=whole.checks, inputs=whole.inputs)
            outcomes.add(known := Outcome(key=key, evidence=evidence))
        advance()
        assert known.evidence is not None
        return known.evidence

    modules = [module for module in dict.fromkeys(pool.modules) if module]
    with ThreadPoolExecutor(workers) as threads:
        return dict(zip(modules, threads.map(run, modules), strict=True))


def judge_candidates(
    pools: Sequence[Pool], sandbox: Sandbox, outcomes: Outcomes, advance: Callable[[], None]
) -> dict[str, dict[str, bool]]:
    """Whether each module of each pool passes the hidden tests: by task and module.

    Args:
        pools: the recorded answers.
        sandbox: runs them.
        outcomes: those that are there are not judged again.
        advance: is called after each module.

    Raises:
        SandboxError: the sandbox failed.
    """
    verdicts: dict[str, dict[str, bool]] = {pool.problem.id: {} for pool in pools}
    waiting: dict[tuple[str, int], str] = {}

    def unknown() -> Iterator[Answer]:
        for pool in pools:
            for number, module in enumerate(dict.fromkeys(pool.modules)):
                if not module:
                    continue
                known = outcomes.get(_key("hidden", sandbox.level, key_of(pool.problem, module)))
                if known is not None and known.passed is not None:
                    verdicts[pool.problem.id][module] = known.passed
                    advance()
                else:
                    waiting[pool.problem.id, number] = module
                    yield Answer(task_id=pool.problem.id, sample=number, module=module)

    for judgement in judge_samples([pool.problem for pool in pools], unknown(), sandbox):
        verdicts[judgement.task_id][waiting[judgement.task_id, judgement.sample]] = _passed(judgement)
        outcomes.add(Outcome(key=_key("hidden", sandbox.level, judgement.key), passed=_passed(judgement)))
        advance()
    return verdicts


def _passed(judgement: Judgement) -> bool:
    suites = [judgement.base, *([judgement.plus] if judgement.plus else [])]
    return all(result.status is Status.PASSED for result in suites)


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
