"""What a measured run comes to: scores with intervals, costs, losses, comparisons, and every task's outcome."""

from __future__ import annotations

from typing import Literal

from leafwise.agents.settings import Part, Strategy
from leafwise.benchmarks.contracts import SuiteName
from leafwise.benchmarks.pairing import Paired
from leafwise.benchmarks.scoring import Interval
from leafwise.runtime.contracts import Contract

Half = Literal["all", "even", "odd"]
"""Even tasks are for tuning, odd ones for reporting, by the number at the end of their ids."""

Why = Literal["first", "resample", "paper", "part", "model"]
"""Why two arms are compared: with the first arm, `guided` with `resample` at equal tokens, the published method with
`guided` or `resample`, `guided` without a part with `guided`, or a model with a model.
"""


class PassAtK(Contract):
    """The chance that one of k samples passes."""

    k: int
    """Samples that one may draw."""
    value: float | None
    """Mean over the tasks, 0 to 1; None where it cannot be had."""
    reason: str = ""
    """Why it cannot be had."""


class Score(Contract):
    """How an arm fares in one suite on one half of the tasks."""

    suite: SuiteName
    """By which tests."""
    half: Half
    """On which tasks."""
    tasks: int
    """Tasks with at least one judged sample."""
    passed: int
    """Judged samples that pass."""
    total: int
    """Judged samples."""
    rate: float | None
    """Mean over the tasks of their pass rates, 0 to 1; None without tasks."""
    interval: Interval | None
    """Its 95 % interval: Wilson's with one sample per task, a bootstrap over tasks with several."""
    pass_at: tuple[PassAtK, ...]
    """For k = 1, 10, 100."""


class Cost(Contract):
    """What an arm's samples cost."""

    samples: int
    """Samples that this is the sum of, judged or not."""
    calls: int
    """Requests to the model."""
    prompt_tokens: int
    """Tokens of all prompts."""
    cached_tokens: int
    """Of these, found in the engine's cache."""
    prefilled_tokens: int
    """Of these, computed."""
    completion_tokens: int
    """Tokens generated."""
    programs: int
    """Programs run in the sandbox before judging."""
    seconds: float
    """Wall-clock time in which at least one sample was being generated."""
    joules: float | None
    """Energy; None where it was not measured for every sample."""


class Multiple(Contract):
    """An arm's cost as a multiple of `direct`'s with the same model, over the answers that both have."""

    samples: int
    """Answers of each that were compared."""
    tokens: float | None
    """Generated tokens; None where `direct` generated none."""
    seconds: float | None
    """Wall-clock time; None where `direct` took none."""


class Extraction(Contract):
    """What became of the way from answer to code."""

    rules: dict[str, int]
    """Samples per rule that found their code."""
    without_code: int
    """Samples without any code."""
    cut: int
    """Samples whose answer hit its token limit."""
    failed_extraction: int
    """Samples that fail the base tests and have no code, a beginning only (rule `prefix`), or a cut answer."""
    failed_code: int
    """Samples that fail the base tests with whole code: it is wrong."""


class ArmSummary(Contract):
    """One arm's results."""

    name: str
    """The arm's name."""
    model: str
    """Its model."""
    strategy: Strategy
    """Its strategy."""
    without: tuple[Part, ...]
    """Parts of `guided` that it has not."""
    complete: bool
    """Whether every sample is there and judged; otherwise scores are over what is."""
    expected: int
    """Samples that were asked for."""
    generated: int
    """Samples that are there."""
    judged: int
    """Of these, judged."""
    scores: tuple[Score, ...]
    """By suite and half."""
    cost: Cost
    """What it cost."""
    times_direct: Multiple | None
    """Beside `direct`; None where that has no answers of this model to compare with."""
    extraction: Extraction
    """What was lost between answer and code."""
    false_claims: int
    """Judged samples that passed every visible example and yet fail the hidden tests of `base`."""
    claims: int
    """Judged samples that passed every visible example."""
    statuses: dict[str, int]
    """Judged samples by how the base tests ended."""
    unconfirmed_timeouts: int
    """Time-outs that were not seen again in a quiet run."""

    def score(self, suite: SuiteName = "base", half: Half = "all") -> Score | None:
        """The score in a suite on a half; None if it was not judged by that suite."""
        return next((score for score in self.scores if (score.suite, score.half) == (suite, half)), None)


class Comparison(Contract):
    """Two arms on the tasks that both answered."""

    arm: str
    """This arm."""
    other: str
    """Compared with this one."""
    why: Why
    """Why these two."""
    suite: SuiteName
    """By which tests."""
    half: Half
    """On which tasks."""
    paired: Paired
    """What came out."""


class Outcome(Contract):
    """One sample, in the grid."""

    sample: int
    """Which of the arm's samples for the task."""
    base: bool | None
    """Whether it passes; None if it is not judged."""
    plus: bool | None
    """Whether it passes HumanEval+ as well; None if it is not judged by it."""
    status: str
    """How the base tests ended; empty if it is not judged."""
    detail: str
    """The first error."""
    claim: str
    """What the team claims from the visible examples."""
    rule: str
    """The rule that found the code."""
    cut: bool
    """Whether the answer hit its token limit."""
    tokens: int
    """Tokens generated."""


class Cell(Contract):
    """One task and one arm."""

    task: str
    """The task's id."""
    arm: str
    """The arm's name."""
    outcomes: tuple[Outcome, ...]
    """Of its samples, in order; empty if there is none yet."""


class Summary(Contract):
    """A run's results: `summary.json`."""

    dataset: str
    """The data set's name."""
    suites: tuple[SuiteName, ...]
    """The tests it is judged by."""
    tasks: tuple[str, ...]
    """The tasks that were asked, in order."""
    samples: int
    """Samples per task and arm."""
    complete: bool
    """Whether every arm is complete."""
    verdicts: tuple[str, ...]
    """What was found, in sentences."""
    warnings: tuple[str, ...]
    """What has to be known before a number is believed."""
    arms: tuple[ArmSummary, ...]
    """In the manifest's order."""
    comparisons: tuple[Comparison, ...]
    """By suite and half."""
    cells: tuple[Cell, ...]
    """Every task and arm, task by task."""
