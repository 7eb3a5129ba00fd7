"""Two problems and twelve answers of every kind, and what has to be equal wherever they are judged."""

from __future__ import annotations

from collections.abc import Iterable

from leafwise.benchmarks.contracts import Judgement, Problem, Suite
from leafwise.benchmarks.judge import Answer
from leafwise.benchmarks.plus_inside import digest
from leafwise.benchmarks.problems_plus import Expected
from leafwise.runtime.sandbox_contracts import Check

_RESULTS = "[2, 'aa']"
_BASE = Suite(name="base", setup="", checks=(Check(code="assert double(2) == 4"),), cpu_seconds=1.0)
_PLUS = Suite(
    name="plus",
    setup="",
    checks=(Check(code="assert repr([double(1), double('a')]) == EXPECTED"),),
    cpu_seconds=1.0,
    recorder=f"print({Expected(results=_RESULTS, seconds=0.1, sha256=digest(_RESULTS)).model_dump_json()!r})",
)
RIGHT = "def double(x):\n    return x + x\n"

PROBLEMS = (
    Problem(id="T/0", prompt="", entry_point="double", reference=RIGHT, suites=(_BASE,)),
    Problem(id="T/1", prompt="", entry_point="double", reference=RIGHT, suites=(_BASE, _PLUS)),
)
_MODULES = (
    (RIGHT, ("passed", "passed")),
    ("def double(x):\n    return x ** 2\n", ("passed", "failed")),
    ("def double(x):\n    return 5\n", ("failed", None)),
    ("def double(x:\n", ("load_error", None)),
    ("", ("load_error", None)),
    (f"TEXT = '\ud800'\n{RIGHT}", ("load_error", None)),
)
ENDLESS = "def double(x):\n    while True:\n        pass\n"


def tiny_answers() -> list[Answer]:
    """Twelve, the two problems in turn; one never ends."""
    answers = [
        Answer(task_id=problem.id, arm="direct", sample=i, module=module)
        for i, (module, _) in enumerate(_MODULES)
        for problem in PROBLEMS
    ]
    return [answers[0].model_copy(update={"module": ENDLESS}), *answers[1:]]


def tiny_statuses() -> dict[tuple[str, int], tuple[str, str | None]]:
    """What `base` and `plus` say of each answer, by task and sample."""
    found: dict[tuple[str, int], tuple[str, str | None]] = {}
    for i, (_, (base, plus)) in enumerate(_MODULES):
        found["T/0", i] = (base, None)
        found["T/1", i] = (base, plus)
    return found | {("T/0", 0): ("timeout", None)}


def statuses(judgements: Iterable[Judgement]) -> dict[tuple[str, int], tuple[str, str | None]]:
    """The same of judgements."""
    return {(j.task_id, j.sample): (j.base.status.value, j.plus.status.value if j.plus else None) for j in judgements}


def verdicts(judgements: Iterable[Judgement]) -> list[object]:
    """What does not depend on where and when an answer was judged, sorted; one that came twice is there twice."""
    times = {"cpu_seconds", "seconds"}
    ordered = sorted(judgements, key=lambda judgement: (judgement.task_id, judgement.sample))
    return [judgement.model_dump(mode="json", exclude={"base": times, "plus": times}) for judgement in ordered]
