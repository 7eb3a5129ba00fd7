"""The simulated coder: functions, right or wrong, as answers that go on where they were begun."""

from __future__ import annotations

import ast
import math
import random
from collections.abc import Mapping, Sequence

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.simulate_reference import SimulatedFunction, SimulatedTask, without_docstring
from leafwise.runtime.syntax import parse

_FENCE = "```python\n"


class SimulatedCoder:
    """Writes functions, right or wrong. See `simulated_engine` for what it assumes.

    Args:
        task: whose functions.
        chances: of each of them, by name, to be written right.
    """

    def __init__(self, task: SimulatedTask, chances: Mapping[str, float]) -> None:
        self._task, self._chances = task, chances

    def write(
        self, name: str, available: Sequence[str], start: str, dice: random.Random, *, greedy: bool
    ) -> tuple[str, float]:
        """Write a function, with what it needs and nobody offers.

        Args:
            name: its name; one that the reference does not have gives back what it gets.
            available: names of functions that it may call.
            start: the code that was put into the model's mouth.
            dice: decides.
            greedy: take the most likely version of each function.

        Returns:
            The rest of the text, and the log-probability of the choices.

        Raises:
            BenchmarkError: the text cannot begin as it has to.
        """
        if self._task.function(name) is None:
            return after(start, useless_function(name).source + "\n"), 0.0
        written, logprob = [], 0.0
        for function in self._task.needed(name, available):
            source, log = self._version(function, "", dice, greedy=greedy)
            written.append(source)
            logprob += log
        return _module(start, written, self._task.preamble), logprob

    def repair(
        self, code: str, start: str, dice: random.Random, *, greedy: bool, failing: bool = True
    ) -> tuple[str, float]:
        """Write a module's functions; if it is known to fail, the wrong ones that are found anew. See `write`."""
        if not failing:
            return after(start, code + "\n"), 0.0
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
        likely = max(left, key=lambda text: left[text])
        source = likely if greedy else dice.choices(list(left), list(left.values()))[0]
        return source, math.log(left[source] / sum(left.values()))


def useless_function(name: str) -> SimulatedFunction:
    """A function that is not in the reference: it gives back what it gets."""
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


def begun(continuation: str) -> str:
    """The code that was put into the model's mouth with a continuation."""
    return continuation.rpartition(_FENCE)[2] if _FENCE in continuation else ""


def after(start: str, text: str) -> str:
    """The rest of a text that begins with `start`.

    Raises:
        BenchmarkError: it does not begin so.
    """
    bare = start.rstrip()
    if text.startswith(bare):
        return text[len(start) :] if text.startswith(start) else text[len(bare) :]
    if bare.endswith(":"):  # another signature of the same function
        line, _, body = text.partition("\n")
        if line.partition("(")[0] == bare.partition("(")[0]:
            return "\n" + body
    raise BenchmarkError(f"the simulation cannot go on from {start!r}", "it writes whole functions, checks and stubs")


def _module(start: str, functions: Sequence[str], preamble: str) -> str:
    """Functions as a module; the first of them comes first if the module was begun with it, and last if not."""
    if start.strip():
        return after(start, "\n\n\n".join([*functions, *([preamble] if preamble else [])]) + "\n")
    return "\n\n\n".join([*([preamble] if preamble else []), *reversed(functions)]) + "\n"


def defined(code: str) -> list[str]:
    """Names of the functions that code defines; none if it does not parse."""
    return [node.name for node in _parse(code) if isinstance(node, ast.FunctionDef)]


def _parse(code: str) -> list[ast.stmt]:
    try:
        return parse(code).body
    except (SyntaxError, ValueError):
        return []
