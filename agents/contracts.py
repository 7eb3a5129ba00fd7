"""What the team works on: the task, the problem tree, candidates with their evidence, events, and the answer."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from leafwise.agents.settings import Strategy
from leafwise.runtime.contracts import Contract
from leafwise.runtime.sandbox_contracts import Check, SandboxLevel

EndedBy = Literal["done", "tokens", "time"]
Origin = Literal["draft", "leaf", "compose", "recombine", "repair", "memory"]

ROOT = "root"
"""The name of the problem tree's root; children are `root.1`, `root.2`, ..."""

# --- the task --------------------------------------------------------------------------------------------------------


class Spec(Contract):
    """A function to be written, and everything about it that may be shown to a model."""

    statement: str
    """What is asked for, in words (for a child: its docstring)."""
    entry_point: str | None = None
    """The function's name, if it is known."""
    signature: str | None = None
    """Its `def` line, for example `def add(a: int, b: int) -> int:`, if it is known."""
    examples: tuple[Check, ...] = ()
    """Visible examples: every candidate is run on them."""
    setup: str = ""
    """Code that the examples need first (from a tests file)."""
    given: str = ""
    """Imports and helper functions that the statement's code has beside the function: an answer that lacks them gets
    them.
    """
    allow_imports: tuple[str, ...] = ()
    """Installed packages that the code and its examples may import beside the standard library."""
    context: str = ""
    """Signatures and docstrings of what the code may import from the context files, as prompts show them."""


class ContextRoot(Contract):
    """A module of the user's that the answer may import: a file, or a package with all its Python files."""

    path: str
    """Where it is, absolute. It is imported by the name of the file or folder."""
    files: tuple[str, ...]
    """The files whose functions models are told of, from the folder that holds the module, such as `shop/prices.py`."""
    sha256: str
    """Of all its Python files: a resumed run must find the same."""

    @property
    def module(self) -> str:
        """The name it is imported by."""
        return self.path.rpartition("/")[2].removesuffix(".py")


class Task(Spec):
    """What the user asked for. There is no field for hidden tests, on purpose."""

    context_roots: tuple[ContextRoot, ...] = ()
    """Modules of the user's that the code and its examples may import."""

    def spec(self) -> Spec:
        """What the root of the problem tree has to do."""
        return Spec(**self.model_dump(include={*Spec.model_fields}))


# --- the problem tree ------------------------------------------------------------------------------------------------


class NodeState(StrEnum):
    """How far a node of the problem tree is."""

    OPEN = "open"
    """To be solved as a leaf."""
    SPLIT = "split"
    """Has children; to be composed from them."""
    SOLVED = "solved"
    """Has a winning candidate."""
    FAILED = "failed"
    """No candidate of any use; a parent has to do without it."""
    DROPPED = "dropped"
    """Its parent never calls it: it is not written."""


class Node(Contract):
    """One function of the problem tree."""

    id: str
    """`root`, `root.1`, `root.1.2`, ..."""
    spec: Spec
    """What it has to do."""
    depth: int
    """0 for the root."""
    children: tuple[str, ...] = ()
    """Ids of the functions it may call."""
    state: NodeState = NodeState.OPEN
    """How far it is."""
    source: str | None = None
    """The winning candidate's code, once solved: this function and what it needs of its own."""


class Plan(Contract):
    """What a generalist's answer said about how to split a function. A useless answer is a plan without stubs."""

    stubs: tuple[Spec, ...] = ()
    """The functions to write, bodies dropped."""
    problem: str = ""
    """Why stubs were dropped or none were found, for the trace."""


# --- candidates ------------------------------------------------------------------------------------------------------


class Failure(Contract):
    """The first visible example that a candidate failed, for the repair prompt."""

    code: str
    """The example's call."""
    expected: str
    """What should have come out."""
    observed: str
    """What came out: a value's repr, or the exception."""
    line: int | None = None
    """Line of the candidate where the exception was raised, if there was one."""
    trace: str = ""
    """The last lines that ran before it, with the values they changed, if they were recorded."""


class Evidence(Contract):
    """What running a candidate showed."""

    loads: bool
    """Whether the module loaded and defines the entry point."""
    examples_passed: int = 0
    """Visible examples that passed."""
    examples_total: int = 0
    """Visible examples there are."""
    checks_passed: int = 0
    """Generated checks that passed: evidence, never a veto."""
    checks_total: int = 0
    """Generated checks there are."""
    check_results: tuple[bool, ...] = ()
    """Which of them passed, in their order."""
    hard_coded: bool = False
    """Whether the function reads none of its parameters: that it gives an example's value says nothing."""
    behaviour: tuple[str, ...] = ()
    """What it returned or raised on each generated input: equal behaviours form a cluster."""
    failure: Failure | None = None
    """The first example it failed."""
    detail: str = ""
    """One line: why it did not load, or what limit it hit."""
    level: SandboxLevel
    """The sandbox level it ran under."""

    @property
    def passes(self) -> bool:
        """Whether it loads, computes, and no visible example fails (true as well when there are none)."""
        return self.loads and not self.hard_coded and self.examples_passed == self.examples_total


class Candidate(Contract):
    """A program that a model wrote for a node, and what is known about it."""

    node: str
    """The node it solves."""
    origin: Origin
    """The stage it comes from."""
    source: str
    """The module, self-contained."""
    answer: str = ""
    """The model's answer, as it was written, with the beginning that was put into its mouth."""
    rule: str
    """The rule by which the code was found in it."""
    cut: bool = False
    """Whether the model's answer hit its token limit."""
    logprob: float | None = None
    """Mean natural-log probability per token of the answer, if it was computed."""
    evidence: Evidence
    """What running it showed."""


# --- the run ---------------------------------------------------------------------------------------------------------


class Spent(Contract):
    """What a run has used so far."""

    calls: int = 0
    """Requests to the model."""
    prompt_tokens: int = 0
    """Tokens of all prompts."""
    cached_tokens: int = 0
    """Of these, tokens found in the engine's cache."""
    completion_tokens: int = 0
    """Tokens generated."""
    programs: int = 0
    """Programs run in the sandbox."""
    seconds: float = 0.0
    """Wall-clock time over all sessions of the run."""

    def __add__(self, other: Spent) -> Spent:
        """Field-wise sum."""
        return Spent(**{name: getattr(self, name) + getattr(other, name) for name in Spent.model_fields})


class EventKind(StrEnum):
    """What an event tells."""

    RUN_STARTED = "run_started"
    STEP_STARTED = "step_started"
    STEP_FINISHED = "step_finished"
    CALL = "call"
    TOKENS = "tokens"
    CANDIDATE = "candidate"
    PLAN = "plan"
    REVIEW = "review"
    NODE = "node"
    NOTE = "note"
    RUN_FINISHED = "run_finished"


class Event(Contract):
    """Something that happened in a run: shown by the live view, written to the trace."""

    kind: EventKind
    """What happened."""
    step: str = ""
    """The workflow step it belongs to, for example `leaf:root.1`."""
    node: str = ROOT
    """The node of the problem tree it belongs to."""
    seconds: float = 0.0
    """Wall-clock time since the session started."""
    at: float = Field(default_factory=time.time)
    """Seconds since 1970, to compare sessions and processes."""
    text: str = ""
    """One line for people."""
    data: dict[str, Any] = Field(default_factory=dict)
    """The details, plain data."""


class AnswerStatus(StrEnum):
    """What may be claimed about the answer."""

    PASSED = "passed"
    """Every visible example passed, and there was at least one."""
    FAILED = "failed"
    """Some visible example fails, or nothing that loads was found."""
    UNCHECKED = "unchecked"
    """It loads, but there was no visible example to check it with."""


class Answer(Contract):
    """The end of a run: the code, and what was and was not checked."""

    run: str
    """The run's id, for `--resume` and the trace; empty if the run was not stored."""
    status: AnswerStatus
    """What may be claimed."""
    code: str
    """One self-contained module; empty if the model never wrote anything that could be read as one."""
    statement: str
    """What was checked and what was not, in a sentence."""
    entry_point: str | None
    """The function asked for."""
    strategy: Strategy
    """The strategy that ran."""
    origin: Origin | None
    """The stage the code comes from; None without code."""
    evidence: Evidence | None
    """What running the code showed."""
    nodes: tuple[Node, ...]
    """The problem tree."""
    candidates: int
    """Candidates that were run."""
    ended_by: EndedBy
    """Whether the workflow came to its end or a budget ended it."""
    spent: Spent
    """What it cost."""
    model: str
    """The model's name."""
    sandbox: SandboxLevel
    """The level that programs ran under."""
    needs: tuple[str, ...] = ()
    """Context files and packages that the code imports: without them it does not run."""
