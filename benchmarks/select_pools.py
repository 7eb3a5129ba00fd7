"""Recorded answers of a task as the team reads them, and what some of them, drawn from all, would have been run on."""

from __future__ import annotations

import ast
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from leafwise.agents.asserts import calls_in, checks_in, most_proposed, plain_call
from leafwise.agents.contracts import Spec
from leafwise.agents.extract import extract_code
from leafwise.agents.given import continuable, given_code, with_given
from leafwise.agents.inputs import generate_inputs
from leafwise.agents.reading import find_signature
from leafwise.agents.standard_names import with_standard_imports
from leafwise.benchmarks.contracts import Problem
from leafwise.benchmarks.problems import task_of
from leafwise.benchmarks.recorded import Recorded, replayed, replaying_engine
from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import parse

CHECKS = 64
"""Most generated checks that candidates are run on: those that most texts propose."""
_CANDIDATE = re.compile(r"(?<![\w.])candidate\(")
INPUTS = 64
"""Inputs that candidates are compared on."""


@dataclass(frozen=True)
class Draw:
    """Some of the recorded answers of a task, by their numbers."""

    solutions: tuple[int, ...]
    """In the order in which they were recorded."""
    checks: tuple[int, ...]
    """In the order in which they were recorded."""


@dataclass(frozen=True)
class Trial:
    """What the candidates of a draw are run on, beside the visible examples."""

    checks: tuple[Check, ...]
    """Generated checks."""
    inputs: tuple[str, ...]
    """Generated inputs."""


@dataclass(frozen=True)
class Pool:
    """All recorded answers of a task."""

    problem: Problem
    """With its hidden tests: they are for the judge alone."""
    spec: Spec
    """What selection may know of it; its visible examples can be withheld."""
    modules: tuple[str, ...]
    """The module of each solution; empty where there is no code in it."""
    rules: tuple[str, ...]
    """The rule by which each was found."""
    checks: tuple[tuple[Check, ...], ...]
    """The usable checks of each text."""
    calls: tuple[tuple[str, ...], ...]
    """The calls of each text."""

    def first(self, solutions: int, checks: int) -> Draw:
        """The first answers of each kind, or as many as there are."""
        return Draw(tuple(range(len(self.modules))[:solutions]), tuple(range(len(self.checks))[:checks]))

    def draws(self, size: int, count: int, seed: int) -> list[Draw]:
        """Random draws of as many answers of each kind, without putting back; one draw where that is all there are."""
        found = []
        for number in range(count if size < max(len(self.modules), len(self.checks)) else 1):
            rng = random.Random(f"{seed} {self.problem.id} {size} {number}")
            kinds = [
                tuple(sorted(rng.sample(range(total), min(size, total))))
                for total in (len(self.modules), len(self.checks))
            ]
            found.append(Draw(*kinds))
        return found

    def trial(self, draw: Draw, seed: int, *, examples: bool) -> Trial:
        """What the team would run a draw's candidates on.

        Args:
            draw: the answers.
            seed: of the generated inputs.
            examples: whether it has the visible examples: about those calls they are believed.
        """
        spec = self.spec if examples else self.spec.model_copy(update={"examples": ()})
        shown = {example.code for example in spec.examples}
        votes = Counter(call for number in draw.checks for call in self.calls[number] if call not in shown)
        texts = ([check for check in self.checks[number] if check.code not in shown] for number in draw.checks)
        inputs = generate_inputs(spec, INPUTS, seed, [call for call, _ in votes.most_common()])
        return Trial(most_proposed(texts, CHECKS), inputs)


def read_pool(problem: Problem, recorded: Recorded, solutions: int, checks: int) -> Pool:
    """Replay a task's recorded answers and read them as the team does.

    Solutions may be continuations of the recorded prompt. Where that is no bare Python, such as a chat's, they are read
    as continuations of the data set's own.

    Args:
        problem: the task, with the visible examples that its own prompt has.
        recorded: what was recorded.
        solutions: most solutions to read, from the first on.
        checks: most check texts to read, from the first on.
    """
    spec = _with_prompt(task_of(problem).spec(), recorded.prompt)
    shown = tuple(example.model_copy(update={"code": plain_call(example.code)}) for example in spec.examples)
    spec = spec.model_copy(update={"examples": shown})
    unseen = spec.model_copy(update={"examples": ()})
    with replaying_engine(recorded.prompt, recorded.solutions) as engine:
        texts = replayed(engine, recorded.prompt, min(solutions, len(recorded.solutions)))
    own = problem.prompt if problem.completes else ""
    continued = continuable(recorded.prompt, spec.entry_point) or continuable(own, spec.entry_point)
    found = [extract_code(text, spec.entry_point, continued) for text in texts]
    opening = _opening(recorded.check_prompt)
    with replaying_engine(recorded.check_prompt, recorded.checks) as engine:
        said = replayed(engine, recorded.check_prompt, min(checks, len(recorded.checks)))
    told = [_with_name(opening + text, problem.entry_point) for text in said]
    return Pool(
        problem=problem,
        spec=spec,
        modules=tuple(with_standard_imports(with_given(f.code, spec.given)) if f.code else "" for f in found),
        rules=tuple(f.rule for f in found),
        checks=tuple(checks_in(text, unseen) for text in told),
        calls=tuple(calls_in(text, spec) for text in told),
    )


def _with_prompt(spec: Spec, prompt: str) -> Spec:
    """The spec with what the recorded prompt tells beside the data set's: a signature that this lacks, given code."""
    found = find_signature(prompt)
    signature = found[1] if found and found[0] == spec.entry_point else None
    has = {ast.unparse(node) for node in parse(spec.given).body}
    told = [ast.unparse(node) for node in parse(given_code(prompt, spec.entry_point)).body]
    given = "\n".join([*(text for text in told if text not in has), *([spec.given] if spec.given else [])])
    return spec.model_copy(update={"signature": spec.signature or signature, "given": given})


def _with_name(text: str, name: str) -> str:
    """Checks of the form `def check(candidate): assert candidate(1) == 2` are about the function itself."""
    return text if name in text else _CANDIDATE.sub(f"{name}(", text)


def _opening(check_prompt: str) -> str:
    """The last line of what was asked: the texts begin in the middle of its assert."""
    return check_prompt.split("\n")[-1]


def whole_trial(trials: Sequence[Trial]) -> Trial:
    """Everything that any of the trials has, each once."""
    checks = dict.fromkeys(check for trial in trials for check in trial.checks)
    inputs = dict.fromkeys(call for trial in trials for call in trial.inputs)
    return Trial(tuple(checks), tuple(sorted(inputs, key=len)))
