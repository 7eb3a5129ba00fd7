"""An engine that stands for a model of a given skill: no model runs, answers come from a task's reference solution.

What it assumes, so that nobody takes its figures for a model's:

- **Functions.** A function is written right with a chance s of its own. The chances of all functions follow a Beta
  distribution with mean p and concentration 1: some functions are nearly always right, some nearly never. (For p = 0.22
  this puts a right answer among 20 on 57 % of the tasks; of CodeGen 16B's recorded samples of HumanEval it is 58 %.)
  A solution of k functions, answered whole, is right with the product of their chances, p^k on average.
- **Mistakes.** Otherwise one of at most eight wrong versions is written, the i-th of them with a weight of 1/i: a model
  makes the same few mistakes again and again, and they may agree with each other more than right answers do.
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
  shown: evidence excludes that mistake and tells nothing else. Words of a critic cost tokens and change nothing.
- **Tokens** are 3.5 characters. A cancelled request costs what it would have cost.
"""

from __future__ import annotations

import ast
import math
import random
from collections.abc import Mapping, Sequence

from pydantic import Field

from leafwise.agents.inputs import vary_value
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.simulate_prompts import Asked, read_prompt
from leafwise.benchmarks.simulate_tasks import SimulatedFunction, SimulatedTask, without_docstring
from leafwise.runtime.contracts import Completion, Contract, FinishReason, ModelInfo, Piece, Request, Sample, Usage
from leafwise.runtime.engine import Generation
from leafwise.runtime.errors import EngineClosedError
from leafwise.runtime.meter import Meter

CHARACTERS_PER_TOKEN = 3.5
_CONTEXT = 32_768
_FENCE = "```python\n"
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
    """Tokens of a direct answer that is right, the end token included; the answer's first line is put into its mouth."""
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
        self._coder = _Coder(task, {f.name: chances[task.problem.id, f.name] for f in task.functions})
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
        return count_tokens(
            "".join(m.content for m in request.messages) + (request.prompt or "") + request.continuation
        )

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
        greedy, start = request.sampling.temperature == 0, _begun(request.continuation)
        values, root = asked.values, self._task.functions[0].name
        match asked.prompt:
            case "draft":
                return self._coder.write(root, (), start, dice, greedy=greedy)
            case "leaf":
                return self._coder.write(values["name"], (), start, dice, greedy=greedy)
            case "compose":
                return self._coder.write(values["name"], _defined(values["helpers"]), start, dice, greedy=greedy)
            case "repair":
                return self._coder.repair(values["code"], start, dice, greedy=greedy)
            case "plan":
                return _after(start, self._plan(values["name"], dice)), 0.0
            case "tests":
                return _after(start, self._checks(values["name"], int(values["count"]), dice)), 0.0
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
        words = function.statement.partition(">>>")[0].strip().replace("\n\n", "\n")
        return f'{function.signature}\n    """{words}{example}"""\n    ...'

    def _checks(self, name: str, count: int, dice: random.Random) -> str:
        function = self._task.function(name) or _useless_function(name)
        lines = [f"assert {call} == {value}" for call, value in self._pick_checks(function, count, dice)]
        return "\n".join(lines or [f"assert {name}() == None"]) + "\n"

    def _pick_checks(self, function: SimulatedFunction, count: int, dice: random.Random) -> list[tuple[str, str]]:
        """Different calls with values: each right with chance q."""
        chosen = dice.sample(range(len(function.calls)), min(count, len(function.calls)))
        return [
            (
                function.calls[i],
                function.values[i] if dice.random() < self._skill.q else _wrong_value(function, i, dice),
            )
            for i in chosen
        ]


class _Coder:
    """Writes functions, right or wrong."""

    def __init__(self, task: SimulatedTask, chances: Mapping[str, float]) -> None:
        self._task, self._chances = task, chances

    def write(
        self, name: str, available: Sequence[str], start: str, dice: random.Random, *, greedy: bool
    ) -> tuple[str, float]:
        """A function, with what it needs and nobody offers; its text, and the log-probability of the choices."""
        if self._task.function(name) is None:
            return _after(start, _useless_function(name).source + "\n"), 0.0
        written, logprob = [], 0.0
        for function in self._task.needed(name, available):
            source, log = self._version(function, "", dice, greedy=greedy)
            written.append(source)
            logprob += log
        return _module(start, written, self._task.preamble), logprob

    def repair(self, code: str, start: str, dice: random.Random, *, greedy: bool) -> tuple[str, float]:
        """The functions of a module, the wrong ones written again where they are found."""
        shown = {n.name: without_docstring(n) for n in _parse(code) if isinstance(n, ast.FunctionDef)}
        known = [function for function in self._task.functions if function.name in shown]
        if not known:
            return self.write(self._task.functions[0].name, (), start, dice, greedy=greedy)
        written, logprob = [], 0.0
        for function in known:
            source, chance = shown[function.name], self._chances[function.name]
            if source != function.source and (len(known) == 1 or dice.random() < chance):
                source, log = self._version(function, source, dice, greedy=greedy)
                logprob += log
            written.append(source)
        kept = [text for name, text in shown.items() if self._task.function(name) is None]
        return _module(start, [*written, *kept], self._task.preamble), logprob

    def _version(
        self, function: SimulatedFunction, shown: str, dice: random.Random, *, greedy: bool
    ) -> tuple[str, float]:
        """The right function or one of its mistakes, but not the one that is shown to be wrong."""
        chance = self._chances[function.name]
        mistakes = [mistake.source for mistake in function.mistakes]
        total = sum(1 / (i + 1) for i in range(len(mistakes)))
        weights = {function.source: chance} | {
            source: (1 - chance) / (i + 1) / total for i, source in enumerate(mistakes)
        }
        left = {source: weight for source, weight in weights.items() if source != shown and weight > 0}
        if not left:
            return function.source, 0.0
        if greedy:
            source = max(left, key=lambda text: left[text])
        else:
            source = dice.choices(list(left), list(left.values()))[0]
        return source, math.log(left[source] / sum(left.values()))


# --- values and functions of no use ----------------------------------------------------------------------------------


def _wrong_value(function: SimulatedFunction, index: int, dice: random.Random) -> str:
    """What a mistake returns for a call, the typical ones more likely; else some value of the same type."""
    right = function.values[index]
    believed = [m.values[index] for m in function.mistakes]
    weighted = [(value, 1 / (i + 1)) for i, value in enumerate(believed) if value is not None and value != right]
    if weighted:
        return dice.choices([value for value, _ in weighted], [weight for _, weight in weighted])[0]
    for _ in range(8):
        value = repr(vary_value(ast.literal_eval(right), dice))
        if value != right:
            return value
    return f"[{right}]"


def _useless(name: str) -> tuple[SimulatedFunction, ...]:
    return tuple(_useless_function(form.format(name=name)) for form in _USELESS)


def _useless_function(name: str) -> SimulatedFunction:
    """A function that gives back what it gets."""
    calls = tuple(f"{name}({value})" for value in ("0", "1", "'a'", "[]", "[1, 2]"))
    return SimulatedFunction(
        name=name,
        signature=f"def {name}(value):",
        statement="Return the value, ready for the next step.",
        source=f"def {name}(value):\n    return value",
        calls=calls,
        values=("0", "1", "'a'", "[]", "[1, 2]"),
    )


# --- texts that go on where they were begun --------------------------------------------------------------------------


def _begun(continuation: str) -> str:
    """The code that was put into the model's mouth."""
    return continuation.rpartition(_FENCE)[2] if _FENCE in continuation else ""


def _after(start: str, text: str) -> str:
    """The rest of a text that begins with `start`.

    Raises:
        BenchmarkError: it does not begin so.
    """
    begun = start.rstrip()
    if text.startswith(begun):
        return text[len(start) :] if text.startswith(start) else text[len(begun) :]
    if begun.endswith(":"):  # another signature of the same function
        line, _, body = text.partition("\n")
        if line.partition("(")[0] == begun.partition("(")[0]:
            return "\n" + body
    raise BenchmarkError(f"the simulation cannot go on from {start!r}", "it writes whole functions, checks and stubs")


def _module(start: str, functions: Sequence[str], preamble: str) -> str:
    """Functions as a module; the first of them comes first if the module was begun with it, and last if not."""
    if start.strip():
        return _after(start, "\n\n\n".join([*functions, *([preamble] if preamble else [])]) + "\n")
    return "\n\n\n".join([*([preamble] if preamble else []), *reversed(functions)]) + "\n"


def _defined(code: str) -> list[str]:
    return [node.name for node in _parse(code) if isinstance(node, ast.FunctionDef)]


def _parse(code: str) -> list[ast.stmt]:
    try:
        return ast.parse(code).body
    except (SyntaxError, ValueError):
        return []
