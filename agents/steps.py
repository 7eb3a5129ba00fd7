"""The steps of the workflow: plain functions from the state (and the team) to an update of the state."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from leafwise.agents import roles
from leafwise.agents.candidates import examine_all, tell, wants_checks, winner
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
    Task,
)
from leafwise.agents.drafting import Pace, draft_batches, next_pace
from leafwise.agents.extract import Extraction
from leafwise.agents.feedback import improve, regenerate, rewrite, samples_of
from leafwise.agents.memory_use import keep, remembered
from leafwise.agents.place import Place
from leafwise.agents.plans import assemble, implied_stubs, split_node
from leafwise.agents.policy import Step
from leafwise.agents.selection import rank
from leafwise.agents.settings import Part, Settings
from leafwise.agents.state import State, Update
from leafwise.agents.statement import describe
from leafwise.agents.team import Team

# --- the steps -------------------------------------------------------------------------------------------------------


def draft(state: State, team: Team, place: Place) -> Update:
    """A round of direct answers to the task; in the first, the tester's checks where they can decide something."""
    spec, settings = state["nodes"][ROOT].spec, team.settings
    rounds = sum(step.startswith(Step.DRAFT) for step in state["finished"])
    pace = Pace(state["cap"] or settings.first_answer_tokens, bare=state["bare"])
    coder = roles.Coder(team, place, spec)
    written = coder.read(coder.ask_drafts(draft_batches(settings, rounds, pace, team.tokens_left)))
    checks = state["checks"].get(ROOT, ())
    candidates = examine_all(team, place, spec, "draft", written, checks)
    if not rounds and wants_checks(spec, candidates, settings):
        checks = roles.receive_checks(team, place, spec, roles.ask_tester(team, place, spec))
        if checks:
            # when the time is up meanwhile, what was seen without the checks still stands
            seen = {c.source: c for c in examine_all(team, place, spec, "draft", written, checks)}
            candidates = [seen.get(candidate.source, candidate) for candidate in candidates]
    tell(team, place, written, candidates)
    candidates += remembered(team, place, spec, checks) if not rounds else []
    cut = sum(answer.cut for answer in written)
    empty = sum(not answer.cut and not answer.extraction.code for answer in written)
    pace = next_pace(settings, pace, len(written), cut, empty)
    return {
        "checks": {ROOT: checks},
        "candidates": candidates,
        "drafted": len(written) - empty,
        "cap": pace.cap,
        "bare": pace.bare,
        "tried": len(candidates),
    }


def plan(state: State, team: Team, place: Place) -> Update:
    """Split a node into documented functions: those that its best draft calls and lacks, or else the generalist's."""
    node = state["nodes"][place.node]
    taken = [n.spec.entry_point for n in state["nodes"].values() if n.spec.entry_point]
    taken += context_names(node.spec.context)
    implied = _implied(state, node, taken, team.settings) if team.settings.strategy == "guided" else ()
    result = Plan(stubs=implied) if implied else roles.plan(team, place, node.spec, taken)
    names = [stub.entry_point for stub in result.stubs]
    team.emit(
        EventKind.PLAN, place, ", ".join(map(str, names)) or result.problem, helpers=names, problem=result.problem
    )
    nodes = split_node(node, result.stubs)
    return {"nodes": nodes} if nodes else {}


def leaf(state: State, team: Team, place: Place) -> Update:
    """One function of the plan: k candidates and the tester's checks, run, and the consensus taken.

    The examples in a stub were written by a model: they are checks like the tester's, evidence and never a veto.
    """
    node = state["nodes"][place.node]
    spec = node.spec.model_copy(update={"examples": ()})
    tester = roles.ask_tester(team, place, node.spec)
    written = roles.Coder(team, place, node.spec).leaf(samples_of(team.settings), _purpose(state["task"]))
    checks = (*node.spec.examples, *roles.receive_checks(team, place, node.spec, tester))
    candidates = examine_all(team, place, spec, "leaf", written, checks)
    tell(team, place, written, candidates)
    candidates += regenerate(team, place, spec, candidates, checks)
    candidates += remembered(team, place, spec, checks)
    keep(team, place, spec, winner(candidates, team.settings), checks)
    return {
        "nodes": {node.id: _decided(node, winner(candidates, team.settings))},
        "checks": {node.id: checks},
        "tried": len(candidates),
    }


def compose(state: State, team: Team, place: Place) -> Update:
    """A parent from its children: the coder sees their signatures and docstrings, the sandbox runs the whole module."""
    node = state["nodes"][place.node]
    usable = [child for name in node.children if (child := state["nodes"][name]).source is not None]
    written = roles.Coder(team, place, node.spec).compose(samples_of(team.settings), [c.spec for c in usable])
    names = {str(child.spec.entry_point) for child in usable}
    written += _waiting_drafts(state, node, names)
    parts = [child.source for child in usable if child.source is not None]
    checks = state["checks"].get(node.id, ())

    def build(code: str) -> str:
        return assemble(parts, code, names)

    candidates = examine_all(team, place, node.spec, "compose", written, checks, build)
    tell(team, place, written, candidates)
    if node.id != ROOT:  # the root has a step for it
        candidates += regenerate(team, place, node.spec, candidates, checks)
    update: Update = {"nodes": {node.id: _decided(node, winner(candidates, team.settings))}, "tried": len(candidates)}
    return update | ({"candidates": candidates} if node.id == ROOT else {})


def repair(state: State, team: Team, place: Place) -> Update:
    """The best candidate is written again, with evidence and the critic's words; a worse one changes nothing.

    One that passes is written again only for the critic's words, as `paper` wants it.
    """
    spec, before = state["nodes"][ROOT].spec, winner(state["candidates"], team.settings)
    if before is None:
        return {"improved": False}
    again = improve if before.evidence.passes else rewrite
    candidates = again(team, place, spec, before, state["checks"].get(ROOT, ()))
    after = winner([*state["candidates"], *candidates], team.settings)
    improved = after is not None and after.evidence.examples_passed > before.evidence.examples_passed
    return {"candidates": candidates, "tried": len(candidates), "improved": improved}


def select(state: State, team: Team, place: Place) -> Update:
    """The best of all candidates of all stages becomes the answer, with the honest statement of what was checked."""
    chosen = winner(state["candidates"], team.settings)
    keep(team, place, state["nodes"][ROOT].spec, chosen, state["checks"].get(ROOT, ()))
    evidence = chosen.evidence if chosen else None
    nodes = {**state["nodes"], ROOT: _decided(state["nodes"][ROOT], chosen)}
    answer = Answer(
        run="",
        status=_status(evidence),
        code=chosen.source if chosen else "",
        statement=describe(evidence, team.ended_by),
        entry_point=state["task"].entry_point,
        strategy=team.settings.strategy,
        origin=chosen.origin if chosen else None,
        evidence=evidence,
        nodes=tuple(nodes.values()),
        candidates=state["tried"],
        ended_by=team.ended_by,
        spent=team.total_spent(),
        model=team.model_name,
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


def _implied(state: State, node: Node, taken: Sequence[str], settings: Settings) -> tuple[Spec, ...]:
    """Helpers that the root's drafts call and nobody defined, of the best draft that has any."""
    ranked = rank(state["candidates"], consensus=settings.has(Part.CONSENSUS)) if node.id == ROOT else []
    for candidate in ranked:
        if stubs := implied_stubs(candidate.source, taken, settings.max_breadth):
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


def _decided(node: Node, chosen: Candidate | None) -> Node:
    """The node with its winning candidate; failed if there is none that loads."""
    if chosen is None or not chosen.evidence.loads:
        return node.model_copy(update={"state": NodeState.FAILED})
    return node.model_copy(update={"state": NodeState.SOLVED, "source": chosen.source})


def _purpose(task: Task) -> str:
    """The task in its first line, so that a helper's coder knows what it is for."""
    lines = [line.strip() for line in task.statement.splitlines() if line.strip()]
    return lines[0][:200]


def _status(evidence: Evidence | None) -> AnswerStatus:
    if evidence is None or not evidence.passes:
        return AnswerStatus.FAILED
    return AnswerStatus.PASSED if evidence.examples_total else AnswerStatus.UNCHECKED
