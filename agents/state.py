"""What a run knows, step by step, and what the policy may know of it."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from leafwise.agents.candidates import agreement_of, winner
from leafwise.agents.contracts import ROOT, Answer, Candidate, Node, Spent, Task
from leafwise.agents.policy import Situation, Step
from leafwise.agents.recombine import versions_of
from leafwise.agents.roles import CHECK_TOKENS
from leafwise.agents.settings import Settings
from leafwise.agents.written import Written
from leafwise.runtime.sandbox_contracts import Check


def _latest(old: Spent, new: Spent) -> Spent:
    """Concurrent steps each tell the run's totals: the largest is the latest."""
    return Spent(**{name: max(getattr(old, name), getattr(new, name)) for name in Spent.model_fields})


def _merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    return {**old, **new}


class State(TypedDict, total=False):
    """What a run knows. Everything that a resumed run needs is in here; concurrent steps' updates are merged."""

    task: Task
    nodes: Annotated[dict[str, Node], _merge]
    checks: Annotated[dict[str, tuple[Check, ...]], _merge]
    candidates: Annotated[list[Candidate], operator.add]
    """Of the root."""
    below: Annotated[dict[str, list[Candidate]], _merge]
    """Of the nodes below it, by node."""
    outlines: Annotated[dict[str, list[Written]], _merge]
    """Versions of parents, by node, which wait for their children."""
    drafted: Annotated[int, operator.add]
    cap: int
    bare: bool
    tried: Annotated[int, operator.add]
    finished: Annotated[list[str], operator.add]
    improved: bool
    spent: Annotated[Spent, _latest]
    answer: Answer | None


Update = dict[str, Any]
"""What a step changes: some of the state's fields."""


def initial_state(task: Task) -> State:
    """The state of a run that has not begun."""
    root = Node(id=ROOT, spec=task.spec(), depth=0)
    return State(
        task=task,
        nodes={ROOT: root},
        checks={},
        candidates=[],
        below={},
        outlines={},
        drafted=0,
        cap=0,
        bare=True,
        tried=0,
        finished=[],
        improved=False,
        spent=Spent(),
        answer=None,
    )


def situation(state: State, settings: Settings, *, tokens_left: int, exhausted: bool) -> Situation:
    """What the policy may know of a state."""
    candidates, finished = state["candidates"], [_step_and_node(step) for step in state["finished"]]
    leader = winner(candidates, settings)
    drafts = [c for c in candidates if c.origin == "draft"]
    evidence = leader.evidence if leader else None
    total = evidence.examples_total if evidence else 0
    return Situation(
        settings=settings,
        nodes=state["nodes"],
        planned=frozenset(node for step, node in finished if step == Step.PLAN),
        latest={node: Step(step) for step, node in finished if step in (Step.PLAN, Step.OUTLINE, Step.COMPOSE)},
        plans=finished.count((Step.PLAN, ROOT)),
        growths=finished.count((Step.COMPOSE, ROOT)),
        unsure=frozenset(node for node, written in state["below"].items() if len(versions_of(written)) != 1),
        rounds=sum(step == Step.DRAFT for step, _ in finished),
        drafts=state["drafted"],
        passing=sum(c.evidence.passes for c in drafts),
        best_passes=evidence is not None and evidence.passes,
        near=evidence.examples_passed / total if evidence and total else 0.0,
        has_examples=bool(state["task"].examples),
        agreement=agreement_of(candidates, settings),
        repairs=sum(step == Step.REPAIR for step, _ in finished),
        improved=state["improved"],
        answers_left=tokens_left / _usual_answer(state, settings),
        leaves_at_once=max(1, tokens_left // (settings.samples_per_node * settings.answer_tokens + CHECK_TOKENS)),
        exhausted=exhausted,
    )


def _step_and_node(finished: str) -> tuple[str, str]:
    step, _, node = finished.partition(":")
    return step, node


def _usual_answer(state: State, settings: Settings) -> float:
    """Tokens of a usual answer: what they were so far, but no less than a function of a tree is allowed at first."""
    return max(settings.first_answer_tokens, state["spent"].completion_tokens / max(1, state["tried"]))
