"""EvalPlus's own judging of HumanEval+ as a yardstick, inside bubblewrap, because it runs what a model wrote.

EvalPlus is used as it comes, apart from two things that its evaluation imports and has no use for: the package
`datasets` (for another benchmark) and its module that generates samples.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ValidationError

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.yardstick import BY_HAND, START_SECONDS, Packages, find_packages, run_group, walled

INSTALL = "pip install --no-deps evalplus, then pip install numpy psutil termcolor tqdm tempdir wget appdirs"
"""What has to be installed; all that its package asks for takes gigabytes and is for generating."""
_NEEDS = ("evalplus", "numpy", "psutil", "termcolor", "tqdm", "tempdir", "wget", "appdirs")
_WHO = "EvalPlus"
_SECONDS_PER_SAMPLE = 20.0
_SECONDS_FOR_ANSWERS = 600.0
_SHARED_MEMORY, _MEMORY_INFO = "/dev/shm", "/proc/meminfo"
_PROBLEMS = "problems.jsonl"
_JUDGE = """
import json, os, sys, time, types
out = os.fdopen(os.dup(1), "w")
null = os.open(os.devnull, os.O_WRONLY)
for stream in (1, 2):  # bars, and what samples write past sys.stdout
    os.dup2(null, stream)
try:
    sys.modules["datasets"] = types.ModuleType("datasets")
    sys.modules["datasets"].load_dataset = None
    sys.modules["evalplus.codegen"] = types.ModuleType("evalplus.codegen")
    sys.modules["evalplus.codegen"].run_codegen = None
    given = json.load(sys.stdin)
    for name in ("problems", "samples"):
        with open(name + ".jsonl", "w") as file:
            file.writelines(json.dumps(one) + "\\n" for one in given[name])
    from evalplus.evaluate import evaluate
    started = time.perf_counter()
    evaluate("humaneval", "samples.jsonl", parallel=int(sys.argv[1]), min_time_limit=float(sys.argv[2]))
    seconds = time.perf_counter() - started
    with open("samples_eval_results.json") as file:
        found = json.load(file)["eval"]
    results = {task: [(one["base_status"], one["plus_status"]) for one in several] for task, several in found.items()}
    json.dump({"seconds": seconds, "results": results}, out)
except Exception as error:
    json.dump({"error": f"{type(error).__name__}: {error}"}, out)
out.flush()
os._exit(0)  # a thread of EvalPlus's sleeps for up to 20 s more
"""
"""Arguments: workers, least seconds per input. Standard input: JSON with `problems` and `samples`, lists of lines.
Standard output: JSON with `seconds` and `results` (per task, in the order of its samples), or with `error`."""

Word = Literal["pass", "fail", "timeout"]


class Solution(NamedTuple):
    """An answer to a problem."""

    task: str
    """The problem, as HumanEval names it."""
    source: str
    """A whole module."""


class PlusResult(NamedTuple):
    """What EvalPlus says of a sample."""

    base: Word
    """On HumanEval's own inputs."""
    plus: Word
    """On the further ones alone."""

    @property
    def passed(self) -> bool:
        """Whether it counts as right on HumanEval+: both."""
        return self.base == self.plus == "pass"


class _Said(BaseModel):
    seconds: float = 0.0
    results: dict[str, list[tuple[Word, Word]]] = {}
    error: str = ""


def find_evalplus(python: Path | None = None) -> Packages:
    """EvalPlus, with what its evaluation needs.

    Args:
        python: the Python that has it; this one by default.

    Raises:
        BenchmarkError: it is not installed.
    """
    return find_packages("evalplus", _NEEDS, INSTALL, python)


def judge_plus(
    solutions: Sequence[Solution], plus: Path, workers: int, *, python: Path | None = None, seconds: float = 1.0
) -> list[PlusResult]:
    """Have EvalPlus judge solutions.

    Args:
        solutions: may be written by a model.
        plus: HumanEval+ in EvalPlus's form, `.jsonl` or `.jsonl.gz`.
        workers: solutions that are judged at once.
        python: the Python that has EvalPlus; this one by default.
        seconds: the least time that one input gets, by the clock; EvalPlus's own default is 1.

    Returns:
        A result per solution.

    Raises:
        BenchmarkError: EvalPlus or bubblewrap is missing, or it did not finish.
    """
    packages = find_evalplus(python)
    problems = list(_problems(plus, {solution.task for solution in solutions}))
    samples = [{"task_id": task, "solution": source} for task, source in solutions]
    text = json.dumps({"problems": problems, "samples": samples})
    limit = START_SECONDS + _SECONDS_FOR_ANSWERS + len(solutions) * _SECONDS_PER_SAMPLE * seconds / workers
    with tempfile.TemporaryDirectory(prefix="leafwise-evalplus-") as empty:
        line = walled(
            _WHO,
            _JUDGE,
            packages.paths,
            # it counts the machine's memory, and its locks are files in shared memory
            shown={_MEMORY_INFO: Path(_MEMORY_INFO), _SHARED_MEMORY: Path(empty)},
            environment={"HUMANEVAL_OVERRIDE_PATH": _PROBLEMS},
            memory_files=(_SHARED_MEMORY,),
        )
        said = run_group(_WHO, [*line, str(workers), str(seconds)], text, "/", limit)
    return _in_order(said, solutions)


def _problems(plus: Path, wanted: set[str]) -> Iterator[dict[str, object]]:
    """Those with solutions: EvalPlus insists on one for each."""
    found = set()
    for problem in _lines(plus):
        task = str(problem.get("task_id"))
        if task in wanted:
            found.add(task)
            yield problem
    if missing := sorted(wanted - found):
        raise BenchmarkError(f"{plus} has no {missing[0]}", "give the file HumanEvalPlus.jsonl.gz")


def _lines(path: Path) -> Iterable[dict[str, object]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            yield from (json.loads(line) for line in file if line.strip())
    except (OSError, EOFError, ValueError) as error:
        raise BenchmarkError(f"cannot read {path}: {error}", "give the file HumanEvalPlus.jsonl.gz") from None


def _in_order(said: str, solutions: Sequence[Solution]) -> list[PlusResult]:
    try:
        judged = _Said.model_validate_json(said)
    except ValidationError:
        raise BenchmarkError("EvalPlus did not say what it found", "is anything killing its processes?") from None
    if judged.error or sum(map(len, judged.results.values())) != len(solutions):
        raise BenchmarkError(f"EvalPlus failed: {judged.error or 'results are missing'}", BY_HAND)
    left = {task: iter(several) for task, several in judged.results.items()}
    return [PlusResult(*next(left[solution.task])) for solution in solutions]
