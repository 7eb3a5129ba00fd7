"""What a benchmark of models is made of: problems with hidden tests, arms, samples, judgements, and the manifest.

The wall: a `Problem` holds the hidden tests; what generates samples gets `Job`s, and a `Job` holds a `Task` of the
team, which has no field for them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from leafwise.agents.contracts import AnswerStatus, EndedBy, Event, Origin, Task
from leafwise.agents.settings import Settings, Strategy
from leafwise.benchmarks.report import Machine
from leafwise.runtime.contracts import Contract
from leafwise.runtime.sandbox_contracts import Check, SandboxLevel, Status

SuiteName = Literal["base", "plus"]

# --- problems --------------------------------------------------------------------------------------------------------


class Suite(Contract):
    """Hidden tests of one kind, as the sandbox runs them."""

    name: SuiteName
    """`base`: the data set's own tests. `plus`: the further ones of HumanEval+."""
    setup: str
    """Code that the checks need first; may hold the prompt's helper functions."""
    checks: tuple[Check, ...]
    """All have to pass."""
    cpu_seconds: float
    """CPU time that a candidate may use for all of them; decides time-outs."""
    recorder: str = ""
    """A program that prints what the setup lacks: the reference's results (see `problems_plus.with_expected`)."""


class Problem(Contract):
    """One problem of a data set, with its answers. Never leaves `benchmarks`: see `problems.task_of`."""

    id: str
    """For example `HumanEval/0`; a number at its end says which half it belongs to."""
    prompt: str
    """What a model sees: for HumanEval a signature and docstring to complete, for MBPP a sentence."""
    entry_point: str
    """The function's name."""
    visible: tuple[Check, ...] = ()
    """Checks that the model is shown beside the prompt."""
    visible_setup: str = ""
    """Code that these need first."""
    reference: str
    """A right answer: a module that stands alone."""
    suites: tuple[Suite, ...]
    """The hidden tests; `base` comes first."""
    completes: bool = True
    """Whether an answer may be a continuation of the prompt (`prompt + completion` is the module)."""


class ProblemSet(Contract):
    """A data set."""

    name: str
    """`humaneval`, `compositional`, `mbpp`, or the name of a file in HumanEval's form."""
    source: str
    """Where it comes from, for people: a package with its version, or files' names."""
    sha256: str
    """Of all problems with their tests."""
    problems: tuple[Problem, ...]
    """In the data set's order."""
    unread: dict[str, str] = Field(default_factory=dict)
    """Lines of its file that hold no usable problem, and why; empty where leaving them out was not asked for."""


# --- arms and samples ------------------------------------------------------------------------------------------------


class Arm(Contract):
    """What is compared: a model with a strategy and its settings."""

    name: str
    """The strategy's name; with several models `MODEL/STRATEGY`."""
    model: str
    """As the user named it: a name, a path, or a URL."""
    strategy: Strategy
    """Its strategy."""
    settings: Settings
    """The team's knobs. The seed is the first sample's; sample i has seed + i."""
    matches: str | None = None
    """The arm whose measured tokens, task by task, are this one's budget; None where the budget is `settings`'."""
    fingerprint: str
    """Of everything that a sample of it depends on; see `manifest`."""

    @property
    def greedy(self) -> bool:
        """Whether its samples have no chance in them: then more than one says nothing new."""
        return self.settings.temperature == 0 or (self.strategy == "direct" and self.settings.greedy_draft)


class Job(Contract):
    """One answer to be generated. Holds nothing of the hidden tests."""

    arm: Arm
    """Who answers."""
    task_id: str
    """The problem's id."""
    task: Task
    """What the team gets."""
    sample: int
    """Which of the arm's samples for this task, from 0."""
    max_tokens: int
    """Its budget."""

    @property
    def key(self) -> tuple[str, str, int]:
        """Arm, task and sample."""
        return self.arm.name, self.task_id, self.sample


class Sample(Contract):
    """One answer: a line of `samples.jsonl`."""

    task_id: str
    """The problem's id."""
    arm: str
    """The arm's name."""
    sample: int
    """Which of the arm's samples for this task, from 0."""
    fingerprint: str
    """The arm's."""
    solution: str
    """The module that is judged; empty if there was no code in any answer."""
    raw: str
    """The model's answer that the module was read from, as it was written."""
    rule: str
    """The rule by which the code was found in it; `none` if there was none."""
    cut: bool
    """Whether that answer hit its token limit."""
    status: AnswerStatus
    """What the team claims from the visible examples."""
    origin: Origin | None
    """The stage it comes from."""
    ended_by: EndedBy
    """What ended the run."""
    seed: int
    """The run's."""
    max_tokens: int
    """The run's budget."""
    calls: int
    """Requests to the model."""
    prompt_tokens: int
    """Tokens of all prompts."""
    cached_tokens: int
    """Of these, tokens that were in the engine's cache and not computed."""
    completion_tokens: int
    """Tokens generated."""
    programs: int
    """Programs run in the sandbox."""
    started: float
    """Seconds since 1970."""
    finished: float
    """Seconds since 1970."""
    joules: float | None = None
    """Energy that the machine used since the arm's last sample was there; None without a sensor."""

    @property
    def key(self) -> tuple[str, str, int]:
        """Arm, task and sample."""
        return self.arm, self.task_id, self.sample


class Generated(Contract):
    """What a job gave."""

    sample: Sample
    """The answer."""
    events: tuple[Event, ...]
    """The run's trace: prompts, answers, candidates, the tree."""


# --- judgements ------------------------------------------------------------------------------------------------------


class Result(Contract):
    """How one sample fared in one suite."""

    status: Status
    """How the program ended."""
    detail: str = ""
    """The first error, or the limit that was hit, on one line."""
    cpu_seconds: float = 0.0
    """CPU time of the program."""
    seconds: float = 0.0
    """Wall-clock time."""
    confirmed: bool = False
    """Whether a time-out was seen again when the program ran alone."""


class Judgement(Contract):
    """The verdict on one sample: a line of `verdicts.jsonl`."""

    task_id: str
    """The problem's id."""
    arm: str
    """The sample's arm; empty for files of other tools."""
    sample: int
    """Which sample."""
    key: str
    """Hash of the module, of the tests and of the limits: a verdict counts only for what it was given on."""
    base: Result
    """The data set's own tests."""
    plus: Result | None = None
    """HumanEval+'s further tests; None if they are not asked for, or `base` failed."""
    level: SandboxLevel
    """The sandbox level it ran under."""

    def passed(self, suite: SuiteName) -> bool:
        """Whether it passed; `plus` includes `base`, as EvalPlus has it."""
        base = self.base.status is Status.PASSED
        return base and (suite == "base" or (self.plus is not None and self.plus.status is Status.PASSED))


# --- the manifest ----------------------------------------------------------------------------------------------------


class ModelFile(Contract):
    """A model, as it was measured."""

    name: str
    """As the user named it."""
    sha256: str | None
    """Of its file; None for a server's model, whose file is not here."""
    quantization: str
    """Its mix, for example `Q4_1`."""
    bytes: int | None
    """Size of its file."""


class Manifest(Contract):
    """What a run is: enough to repeat it, and to refuse to mix it with another."""

    dataset: str
    """The data set's name."""
    dataset_source: str
    """Where it comes from."""
    dataset_sha256: str
    """Of its problems and tests."""
    suites: tuple[SuiteName, ...]
    """The tests that samples are judged by."""
    tasks: tuple[str, ...]
    """Ids of the tasks that are asked, in order."""
    left_out: dict[str, str] = Field(default_factory=dict)
    """Tasks that were asked for and cannot be scored here, or lines that hold no task, and why."""
    samples: int
    """Samples per task and arm."""
    arms: tuple[Arm, ...]
    """Who answers, in the order they run."""
    models: tuple[ModelFile, ...]
    """The models."""
    engine: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    """How the engine was opened."""
    leafwise: str
    """Our version."""
    commit: str | None
    """Of the checkout, with `+` where it has changes; None outside of one."""
    code_sha256: str
    """Of the source files that a sample depends on."""
    prompts_sha256: str
    """Of the prompts."""
    llama_cpp: str
    """Version of llama-cpp-python."""
    machine: Machine
    """Where it was started."""
    created: str
    """When it was started, in ISO 8601."""
