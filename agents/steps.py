"""The steps of the workflow: plain functions from the state (and the team) to an update of the state."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypedDict

from leafwise.agents import roles
from leafwise.agents.candidates import examine_all, settled, tell
from leafwise.agents.context import context_names
from leafwise.agents.contracts import (
    ROOT,
    Answer,
    AnswerStatus,
    Candidate,
    EventKind,
    Evidence,
    Node,
    NodeState,
    Plan,
    Spec,
    Spent,
    Task,
)
from leafwise.agents.extract import Extraction
from leafwise.agents.memory_use import keep, remembered
from leafwise.agents.plans import assemble, implied_stubs
from leafwise.agents.policy import Situation, Step
from leafwise.agents.selection import agreement, best, rank
from leafwise.agents.settings import Settings
from leafwise.agents.statement import describe
from leafwise.agents.team import Place, Team
from leafwise.runtime.sandbox_contracts import Check

_MOST_AT_ONCE = 16
"""Samples that `resample` asks for in one round."""


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
    tried: Annotated[int, operator.add]
    finished: Annotated[list[str], operator.add]
    improved: bool
    spent: Annotated[Spent, _latest]
    answer: Answer | None


Update = dict[str, Any]


def initial_state(task: Task) -> State:
    """The state of a run that has not begun."""
    root = Node(id=ROOT, spec=Spec(**task.model_dump(include={*Spec.model_fields})), depth=0)
    return State(
        task=task,
        nodes={ROOT: root},
        checks={},
        candidates=[],
        tried=0,
        finished=[],
        improved=False,
        spent=Spent(),
        answer=None,
    )


def situation(state: State, settings: Settings, *, exhausted: bool) -> Situation:
    """What the policy may know of a state."""
    winner = best(state["candidates"])
    done = [step.partition(":")[::2] for step in state["finished"]]
    return Situation(
        settings=settings,
        nodes=state["nodes"],
        planned=frozenset(node for step, node in done if step == Step.PLAN),
        composed=frozenset(node for step, node in done if step == Step.COMPOSE),
        drafts=sum(step == Step.DRAFT for step, _ in done),
        best_passes=winner is not None and winner.evidence.passes,
        has_examples=bool(state["task"].examples),
        agreement=agreement(state["candidates"]),
        repairs=sum(step == Step.REPAIR for step, _ in done),
        improved=state["improved"],
        exhausted=exhausted,
    )


# --- the steps -------------------------------------------------------------------------------------------------------


def draft(state: State, team: Team, place: Place) -> Update:
    """The coder answers the task directly, several times at once; the tester writes checks meanwhile."""
    spec, settings = state["nodes"][ROOT].spec, team.settings
    coder = roles.Coder(team, place, spec)
    first = not any(step.startswith(Step.DRAFT) for step in state["finished"])
    asked = coder.ask_drafts(_draft_count(team), greedy=settings.greedy_draft and first)
    tester = roles.ask_tester(team, place, spec) if settings.strategy in ("paper", "guided") else None
    written = coder.read(asked)
    candidates = examine_all(team, place, spec, "draft", written)
    settles_it = tester is not None and settled(spec, candidates, settings)
    if settles_it and tester is not None:
        tester.cancel()  # checks would decide nothing any more
    checks = roles.receive_checks(team, place, spec, tester)
    if settles_it:
        checks = ()  # what had arrived by then depends on the moment, and the answer may not
    if checks:
        candidates = examine_all(team, place, spec, "draft", written, checks)
    tell(team, place, written, candidates)
    candidates += remembered(team, place, spec, checks) if first else []
    return {"checks": {ROOT: checks}, "candidates": candidates, "tried": len(candidates)}


def _draft_count(team: Team) -> int:
    """How many direct answers to ask for at once; those of `resample` are as many as can't outrun the budget."""
    match team.settings.strategy:
        case "direct" | "paper":
            return 1
        case "resample":
            return min(_MOST_AT_ONCE, max(1, team.tokens_left // team.settings.answer_tokens))
        case "guided":
            return team.settings.drafts


def plan(state: State, team: Team, place: Place) -> Update:
    """Split a node into documented functions: those that its best draft calls and lacks, or else the generalist's."""
    node = state["nodes"][place.node]
    taken = [n.spec.entry_point for n in state["nodes"].values() if n.spec.entry_point]
    taken += context_names(node.spec.context)
    implied = _implied(state, node, taken, team.settings.max_breadth)
    result = Plan(stubs=implied) if implied else roles.plan(team, place, node.spec, taken)
    inherited = {"allow_imports": node.spec.allow_imports, "given": node.spec.given, "context": node.spec.context}
    specs = [stub.model_copy(update=inherited) for stub in result.stubs]
    children = {
        f"{node.id}.{i}": Node(id=f"{node.id}.{i}", spec=spec, depth=node.depth + 1) for i, spec in enumerate(specs, 1)
    }
    names = [stub.entry_point for stub in result.stubs]
    team.emit(
        EventKind.PLAN, place, ", ".join(map(str, names)) or result.problem, helpers=names, problem=result.problem
    )
    if not children:
        return {}
    split = node.model_copy(update={"children": tuple(children), "state": NodeState.SPLIT})
    return {"nodes": {node.id: split, **children}}


def leaf(state: State, team: Team, place: Place) -> Update:
    """One function of the plan: k candidates and the tester's checks, run, and the consensus taken."""
    node = state["nodes"][place.node]
    tester = roles.ask_tester(team, place, node.spec)
    written = roles.Coder(team, place, node.spec).leaf(team.settings.leaf_samples, _purpose(state["task"]))
    checks = roles.receive_checks(team, place, node.spec, tester)
    candidates = examine_all(team, place, node.spec, "leaf", written, checks)
    tell(team, place, written, candidates)
    candidates += remembered(team, place, node.spec, checks)
    keep(team, place, node.spec, best(candidates), checks)
    return {
        "nodes": {node.id: _decided(node, best(candidates))},
        "checks": {node.id: checks},
        "tried": len(candidates),
    }


def compose(state: State, team: Team, place: Place) -> Update:
    """A parent from its children: the coder sees their signatures and docstrings, the sandbox runs the whole module."""
    node = state["nodes"][place.node]
    children = [state["nodes"][child] for child in node.children]
    usable = [child for child in children if child.source is not None]
    written = roles.Coder(team, place, node.spec).compose(team.settings.leaf_samples, [c.spec for c in usable])
    names = {str(child.spec.entry_point) for child in usable}
    written += _waiting_drafts(state, node, names)
    parts = [child.source for child in usable if child.source is not None]
    checks = state["checks"].get(node.id, ())

    def build(code: str) -> str:
        return assemble(parts, code, names)

    candidates = examine_all(team, place, node.spec, "compose", written, checks, build)
    tell(team, place, written, candidates)
    update: Update = {"nodes": {node.id: _decided(node, best(candidates))}, "tried": len(candidates)}
    return update | ({"candidates": candidates} if node.id == ROOT else {})


def repair(state: State, team: Team, place: Place) -> Update:
    """The critic says what is wrong with the best candidate; the coder writes it again; a worse one changes nothing."""
    spec, before = state["nodes"][ROOT].spec, best(state["candidates"])
    if before is None or before.evidence.failure is None:
        return {"improved": False}
    failure = before.evidence.failure
    words = roles.critique(team, place, spec, before.source, failure)
    written = roles.Coder(team, place, spec).repair(team.settings.leaf_samples, before.source, failure, words)
    candidates = examine_all(team, place, spec, "repair", written, state["checks"].get(ROOT, ()))
    tell(team, place, written, candidates)
    after = best([*state["candidates"], *candidates])
    improved = after is not None and after.evidence.examples_passed > before.evidence.examples_passed
    return {"candidates": candidates, "tried": len(candidates), "improved": improved}


def select(state: State, team: Team, place: Place) -> Update:
    """The best of all candidates of all stages becomes the answer, with the honest statement of what was checked."""
    winner = best(state["candidates"])
    keep(team, place, state["nodes"][ROOT].spec, winner, state["checks"].get(ROOT, ()))
    evidence = winner.evidence if winner else None
    nodes = {**state["nodes"], ROOT: _decided(state["nodes"][ROOT], winner)}
    answer = Answer(
        run="",
        status=_status(evidence),
        code=winner.source if winner else "",
        statement=describe(evidence, team.ended_by),
        entry_point=state["task"].entry_point,
        strategy=team.settings.strategy,
        origin=winner.origin if winner else None,
        evidence=evidence,
        nodes=tuple(nodes.values()),
        candidates=state["tried"],
        ended_by=team.ended_by,
        spent=team.total_spent(),
        model=team.engine.info.name,
        sandbox=team.sandbox.level,
    )
    return {"answer": answer}


STEPS: dict[Step, Callable[[State, Team, Place], Update]] = {
    Step.DRAFT: draft,
    Step.PLAN: plan,
    Step.LEAF: leaf,
    Step.COMPOSE: compose,
    Step.REPAIR: repair,
    Step.SELECT: select,
}

# --- what they share -------------------------------------------------------------------------------------------------


def _implied(state: State, node: Node, taken: Sequence[str], breadth: int) -> tuple[Spec, ...]:
    """Helpers that the root's drafts call and nobody defined, of the best draft that has any."""
    for candidate in rank(state["candidates"]) if node.id == ROOT else ():
        if stubs := implied_stubs(candidate.source, taken, breadth):
            return stubs
    return ()


def _waiting_drafts(state: State, node: Node, helpers: set[str]) -> list[roles.Written]:
    """Drafts of the root that lacked nothing but these helpers: they compose without another word of the model."""
    written: dict[str, roles.Written] = {}
    for draft in state["candidates"] if node.id == ROOT else ():
        lacking = {stub.entry_point for stub in implied_stubs(draft.source, (), len(helpers) + 1)}
        if lacking and lacking <= helpers:
            extraction = Extraction(code=draft.source, rule=draft.rule)
            written[draft.source] = roles.Written(draft.answer, extraction, draft.cut, draft.logprob)
    return list(written.values())


def _decided(node: Node, winner: Candidate | None) -> Node:
    """The node with its winning candidate; failed if there is none that loads."""
    if winner is None or not winner.evidence.loads:
        return node.model_copy(update={"state": NodeState.FAILED})
    return node.model_copy(update={"state": NodeState.SOLVED, "source": winner.source})


def _purpose(task: Task) -> str:
    """The task in its first line, so that a helper's coder knows what it is for."""
    lines = [line.strip() for line in task.statement.splitlines() if line.strip()]
    return lines[0][:200]


def _status(evidence: Evidence | None) -> AnswerStatus:
    if evidence is None or not evidence.passes:
        return AnswerStatus.FAILED
    return AnswerStatus.PASSED if evidence.examples_total else AnswerStatus.UNCHECKED
