"""An engine that stands for a model of a given skill: no model runs, answers come from a task's reference solution.

What it assumes, so that nobody takes its figures for a model's:

- **Functions.** A function is written right with a chance s of its own. The chances of all functions follow a Beta
  distribution with mean p and concentration 0.5: some functions are nearly always right, some nearly never, so that
  more samples help less and less. For p = 0.63 this puts a right answer among 20 on 86 % of the tasks with one
  function (published for Llama 3.1 8B on HumanEval: 20 samples and the visible examples give 82.3 %, one gives 63.4 %).
  For p = 0.22 it is 44 %; of CodeGen 16B's recorded samples it is 58 %, which concentration 1 would give.
  A solution of k functions, answered whole, is right with the product of their chances, p^k on average.
- **Mistakes.** Otherwise one of at most eight wrong versions is written, the i-th of them with a weight of 1/i: a model
  makes the same few mistakes again and again, and they may agree with each other more than right answers do.
  Of the mistakes in HumanEval's functions 6 % pass the visible examples (first 30 tasks, weighted); of CodeGen 16B's
  wrong samples 5 % do (41 tasks, 10 samples each).
- **Greedy** answers are the most likely version of each function. Temperature has no other effect. An answer's
  log-probability is that of the choices made.
- **Decomposition.** A plan consists with chance d of the reference's own helpers, with docstrings; otherwise of two
  functions of no use. A solution that is one function has no good split: every plan for it is of no use. A helper's
  docstring holds an example, which is a check like any other.
- **Composition** writes what the offered helpers do not cover. Useless helpers are not called and do no other harm.
- **Checks** are real calls with the right value with chance q. A wrong value is what one of the function's own mistakes
  returns, where that differs: a wrong check comes from the same misunderstanding as a wrong answer.
- **Repair.** Right functions are kept. Of several functions a wrong one is found with the chance s of writing it right;
  the only one needs no finding. What is found is written again as a fresh answer that does not repeat the mistake
  shown: evidence excludes that mistake and tells nothing else. Words of a critic cost tokens and change nothing: code
  that passes is written again as it is.
- **Tokens** are 3.5 characters. A cancelled request costs what it would have cost.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

from pydantic import Field

from leafwise.agents.inputs import vary_value
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.simulate_prompts import Asked, read_prompt
from leafwise.benchmarks.simulate_reference import SimulatedFunction, SimulatedTask
from leafwise.benchmarks.simulated_coder import SimulatedCoder, after, begun, defined, useless_function
from leafwise.runtime.contracts import Completion, Contract, FinishReason, ModelInfo, Piece, Request, Sample, Usage
from leafwise.runtime.engine import Generation
from leafwise.runtime.errors import EngineClosedError
from leafwise.runtime.meter import Meter
from leafwise.runtime.syntax import literal

CHARACTERS_PER_TOKEN = 3.5
_CONTEXT = 32_768
_DRAWS = 20_000
_USELESS = ("prepare_{name}_input", "check_{name}_result")
_CRITIQUE = "The value it returns for this call is not the expected one; look again at the conditions and the bounds."


class Skill(Contract):
    """What a simulated model can do."""

    p: float = Field(default=0.63, ge=0, le=1)
    """Mean chance that a function is written right."""
    q: float = Field(default=0.67, ge=0, le=1)
    """Chance that a check has the right value."""
    d: float = Field(default=0.5, ge=0, le=1)
    """Chance that a plan is the reference's own split."""
    concentration: float = Field(default=0.5, gt=0)
    """Of the Beta distribution of the functions' chances: large values make all functions equally hard."""


Chances = Mapping[tuple[str, str], float]
"""For the id of a task and the name of a function: the chance that it is written right."""


def draw_chances(tasks: Sequence[SimulatedTask], skill: Skill, seed: int) -> dict[tuple[str, str], float]:
    """Say how hard every function is.

    The functions are put into a random order, the same for the same seed and tasks whatever the skill; the one at place
    i of n gets the (i + 1/2)/n quantile. So the mean is p, and a function that is harder than another stays so.

    Args:
        tasks: with the functions.
        skill: mean and concentration.
        seed: of the order.
    """
    keys = [(task.problem.id, function.name) for task in tasks for function in task.functions]
    random.Random(f"{seed}/order").shuffle(keys)
    if skill.p in (0, 1):
        return dict.fromkeys(keys, skill.p)
    dice = random.Random(f"{seed}/chances")
    alpha, beta = skill.p * skill.concentration, (1 - skill.p) * skill.concentration
    drawn = sorted(dice.betavariate(alpha, beta) for _ in range(_DRAWS))
    return {key: drawn[int((i + 0.5) / len(keys) * _DRAWS)] for i, key in enumerate(keys)}


def count_tokens(text: str) -> int:
    """Tokens of a text, by its length."""
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


def answer_tokens(task: SimulatedTask) -> int:
    """Tokens of a direct answer that is right, the end token included; its first line is put into the model's mouth."""
    text = "\n\n\n".join(function.source for function in task.functions)
    return count_tokens(text[len(task.functions[0].signature) :]) + 1


class SimulatedEngine:
    """Answers the team's prompts about one task. See the module for what it assumes, and `Engine` for the protocol.

    Args:
        task: what it is asked about.
        skill: how well it answers.
        chances: of the task's functions.
        seed: of all its choices: equal requests get equal answers.
    """

    def __init__(self, task: SimulatedTask, skill: Skill, chances: Chances, seed: int) -> None:
        self._task, self._skill, self._seed = task, skill, seed
        self._coder = SimulatedCoder(task, {f.name: chances[task.problem.id, f.name] for f in task.functions})
        self._requests = 0
        self._closed = False
        self.info = ModelInfo(
            name="simulation", architecture="simulation", context=_CONTEXT, running=16, detail="no model runs"
        )
        """See `Engine.info`."""

    def submit(self, request: Request) -> Generation:
        """See `Engine.submit`; the answer is there at once.

        Raises:
            BenchmarkError: the prompt is none that the simulation knows, or the answer cannot begin as it has to.
            EngineClosedError: the engine is closed.
        """
        if self._closed:
            raise EngineClosedError("the engine is closed")
        self._requests += 1
        asked = read_prompt(request.messages[0].content if request.messages else request.prompt or "")
        generation = Generation(request)
        generation.begin()
        samples = tuple(self._sample(request, asked, i) for i in range(request.n))
        for i, sample in enumerate(samples):
            generation.push(Piece(sample=i, text=sample.text, tokens=sample.tokens))
        usage = Usage(
            prompt_tokens=self.count_tokens(request),
            completion_tokens=sum(sample.tokens for sample in samples),
            seconds=0.0,
        )
        generation.finish(Completion(samples=samples, usage=usage))
        return generation

    def count_tokens(self, request: Request) -> int:
        """See `Engine.count_tokens`."""
        texts = [message.content for message in request.messages]
        return count_tokens("".join([*texts, request.prompt or "", request.continuation]))

    def meter(self) -> Meter:
        """See `Engine.meter`: only requests are counted."""
        return Meter(requests=self._requests)

    def close(self) -> None:
        """See `Engine.close`."""
        self._closed = True

    def __enter__(self) -> SimulatedEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _sample(self, request: Request, asked: Asked, index: int) -> Sample:
        dice = random.Random(f"{self._seed}/{self._task.problem.id}/{asked.prompt}/{request.seed}/{index}")
        text, logprob = self._say(request, asked, dice)
        tokens = count_tokens(text) + 1
        if tokens > request.max_tokens:
            cut = text[: int(request.max_tokens * CHARACTERS_PER_TOKEN)]
            return Sample(text=cut, finish_reason=FinishReason.LENGTH, tokens=request.max_tokens, logprob=logprob)
        return Sample(text=text, finish_reason=FinishReason.STOP, tokens=tokens, logprob=logprob)

    def _say(self, request: Request, asked: Asked, dice: random.Random) -> tuple[str, float]:
        greedy, start = request.sampling.temperature == 0, begun(request.continuation)
        values, root = asked.values, self._task.functions[0].name
        match asked.prompt:
            case "draft":
                return self._coder.write(root, (), start, dice, greedy=greedy)
            case "leaf":
                return self._coder.write(values["name"], (), start, dice, greedy=greedy)
            case "compose":
                return self._coder.write(values["name"], defined(values["helpers"]), start, dice, greedy=greedy)
            case "repair":
                return self._coder.repair(values["code"], start, dice, greedy=greedy, failing=bool(values["failure"]))
            case "plan":
                return after(start, self._plan(values["name"], dice)), 0.0
            case "tests":
                return after(start, self._checks(values["name"], int(values.get("count") or 4), dice)), 0.0
            case "critique":
                return _CRITIQUE, 0.0
            case other:
                raise BenchmarkError(
                    f"the simulation has no answer to the prompt {other}.md", "teach benchmarks/simulated_engine.py one"
                )

    def _plan(self, name: str, dice: random.Random) -> str:
        helpers = self._task.needed(name)[1:]
        if dice.random() >= self._skill.d or not helpers:
            helpers = _useless(name)
        return "\n\n\n".join(self._stub(helper, dice) for helper in helpers) + "\n"

    def _stub(self, function: SimulatedFunction, dice: random.Random) -> str:
        checks = self._pick_checks(function, 1, dice)
        example = "".join(f"\n\n    >>> {call}\n    {value}\n    " for call, value in checks)
        words = function.statement.partition(">>>")[0].strip().replace("\\", "\\\\").replace("\n\n", "\n")
        return f'{function.signature}\n    """{words}{example} """\n    ...'

    def _checks(self, name: str, count: int, dice: random.Random) -> str:
        function = self._task.function(name) or useless_function(name)
        lines = [f"assert {call} == {value}" for call, value in self._pick_checks(function, count, dice)]
        return "\n".join(lines or [f"assert {name}() == None"]) + "\n"

    def _pick_checks(self, function: SimulatedFunction, count: int, dice: random.Random) -> list[tuple[str, str]]:
        """Different calls with values: each right with chance q."""
        chosen = dice.sample(range(len(function.calls)), min(count, len(function.calls)))
        right = [dice.random() < self._skill.q for _ in chosen]
        values = [
            function.values[i] if ok else _wrong_value(function, i, dice) for i, ok in zip(chosen, right, strict=True)
        ]
        return [(function.calls[i], value) for i, value in zip(chosen, values, strict=True)]


# --- values and functions of no use ----------------------------------------------------------------------------------


def _wrong_value(function: SimulatedFunction, index: int, dice: random.Random) -> str:
    """What a mistake returns for a call, the typical ones more likely; else some value of the same type."""
    right = function.values[index]
    believed = [m.values[index] for m in function.mistakes]
    weighted = [(value, 1 / (i + 1)) for i, value in enumerate(believed) if value is not None and value != right]
    if weighted:
        return dice.choices([value for value, _ in weighted], [weight for _, weight in weighted])[0]
    for _ in range(8):
        value = repr(vary_value(literal(right), dice))
        if value != right:
            return value
    return f"[{right}]"


def _useless(name: str) -> tuple[SimulatedFunction, ...]:
    return tuple(useless_function(form.format(name=name)) for form in _USELESS)
