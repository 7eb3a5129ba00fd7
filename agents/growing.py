"""The steps of the tree: a plan, what its parent makes of it, its leaves, and the way back up.

A parent is written from its children's documentation only, so `guided` asks for it before a leaf is written: helpers
that no version of the parent calls are dropped while they have cost nothing. `paper` writes the leaves first.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from leafwise.agents import roles
from leafwise.agents.assembly import assemble, without_copies
from leafwise.agents.candidates import examine_all, tell, winner
from leafwise.agents.context import context_names
from leafwise.agents.contracts import ROOT, Candidate, EventKind, Node, NodeState, Plan, Spec, Task
from leafwise.agents.feedback import regenerate
from leafwise.agents.given import parse_code
from leafwise.agents.memory_use import keep, remembered
from leafwise.agents.place import Place
from leafwise.agents.plans import implied_stubs, split_node, taken_names
from leafwise.agents.recombine import Version, recombine, versions_of
from leafwise.agents.selection import rank
from leafwise.agents.settings import Part, Settings
from leafwise.agents.state import State, Update
from leafwise.agents.team import Team
from leafwise.agents.written import Written
from leafwise.runtime.sandbox_contracts import Check
from leafwise.runtime.syntax import parse


def plan(state: State, team: Team, place: Place) -> Update:
    """Split a node into documented functions: those that its best draft calls and lacks, or else the generalist's."""
    node = state["nodes"][place.node]
    taken = [*taken_names(state["nodes"].values()), *context_names(node.spec.context)]
    implied = _implied(state, node, taken, team.settings) if team.settings.strategy == "guided" else ()
    result = Plan(stubs=implied) if implied else roles.plan(team, place, node.spec, taken)
    names = [stub.entry_point for stub in result.stubs]
    team.emit(
        EventKind.PLAN, place, ", ".join(map(str, names)) or result.problem, helpers=names, problem=result.problem
    )
    nodes = split_node(node, result.stubs)
    return {"nodes": nodes} if nodes else {}


def outline(state: State, team: Team, place: Place) -> Update:
    """Versions of a parent, from its children's documentation; children that none of them calls are dropped.

    Where none is left, the versions are whole answers of their own, and the plan was of no use. Where no version can be
    read, nothing is known of the children, and all stay.
    """
    node = state["nodes"][place.node]
    children = [state["nodes"][name] for name in node.children]
    helpers = {str(child.spec.entry_point) for child in children}
    before = state["outlines"].get(node.id, [])
    written = roles.Coder(team, place, node.spec).compose(team.settings.samples_per_node, [c.spec for c in children])
    waiting = _waiting_drafts(state, node, helpers)
    written += [draft for draft in waiting if draft not in before]
    outlines = [*before, *written]
    called = _called(without_copies(answer.code, helpers) for answer in outlines)
    readable = any(answer.code for answer in outlines)
    uncalled = [c for c in children if c.state is NodeState.OPEN and c.spec.entry_point not in called]
    dropped = uncalled if readable else []
    left = tuple(child.id for child in children if child not in dropped)
    nodes = {child.id: child.model_copy(update={"state": NodeState.DROPPED}) for child in dropped}
    if dropped:
        names = [child.spec.entry_point for child in dropped]
        team.emit(EventKind.NOTE, place, f"never called, so not written: {', '.join(map(str, names))}", dropped=names)
    if left:
        return {"nodes": nodes | {node.id: node.model_copy(update={"children": left})}, "outlines": {node.id: outlines}}
    alone = _examined(state, team, place, node.model_copy(update={"children": ()}), written)
    return alone | {"nodes": nodes | alone["nodes"], "outlines": {node.id: []}}


def leaf(state: State, team: Team, place: Place) -> Update:
    """One function of the plan: k candidates and the tester's checks, run, and the consensus taken.

    The examples in a stub were written by a model: they are checks like the tester's, evidence and never a veto. A leaf
    that is written again keeps its earlier candidates and its checks.
    """
    node = state["nodes"][place.node]
    spec, before = node.spec.model_copy(update={"examples": ()}), state["below"].get(node.id, [])
    known: tuple[Check, ...] = state["checks"].get(node.id, ())
    tester = None if before or known else roles.ask_tester(team, place, node.spec)
    written = roles.Coder(team, place, node.spec).leaf(team.settings.samples_per_node, _purpose(state["task"]))
    checks = known or (*node.spec.examples, *roles.receive_checks(team, place, node.spec, tester))
    candidates = examine_all(team, place, spec, "leaf", written, checks)
    tell(team, place, written, candidates)
    candidates += regenerate(team, place, spec, candidates, checks)
    candidates += remembered(team, place, spec, checks) if not before else []
    best = winner([*before, *candidates], team.settings)
    keep(team, place, spec, best, checks)
    return {
        "nodes": {node.id: decided(node, best)},
        "checks": {node.id: checks},
        "below": {node.id: [*before, *candidates]},
        "tried": len(candidates),
    }


def compose(state: State, team: Team, place: Place) -> Update:
    """A parent from its children: the coder sees their signatures and docstrings, the sandbox runs the whole module."""
    node = state["nodes"][place.node]
    children = [child for name in node.children if (child := state["nodes"][name]).source is not None]
    written: list[Written] = [answer for answer in state["outlines"].get(node.id, ()) if answer.code]
    if not written:
        written = roles.Coder(team, place, node.spec).compose(
            team.settings.samples_per_node, [c.spec for c in children]
        )
    return _examined(state, team, place, node, written, children)


def _examined(
    state: State, team: Team, place: Place, node: Node, written: Sequence[Written], children: Sequence[Node] = ()
) -> Update:
    """A parent's versions, put together with its children and run; what was run before is not run again."""
    parts = [child.source for child in children if child.source is not None]
    names = [str(child.spec.entry_point) for child in children]
    checks: tuple[Check, ...] = state["checks"].get(node.id, ())
    before = state["candidates"] if node.id == ROOT else state["below"].get(node.id, [])
    known = {candidate.source for candidate in before if candidate.origin in ("compose", "recombine")}
    modules = {answer.code: assemble(parts, answer.code, names) for answer in written if answer.code}
    new = [answer for answer in written if answer.code and modules[answer.code] not in known]
    candidates = examine_all(team, place, node.spec, "compose", new, checks, modules.__getitem__)
    tell(team, place, new, candidates)
    if node.id != ROOT:  # the root has a step for it
        candidates += regenerate(team, place, node.spec, candidates, checks)
    else:
        versions = [_versions(state, child) for child in children]
        tried = known | {candidate.source for candidate in candidates}
        passed = any(candidate.evidence.passes for candidate in candidates)
        candidates += [] if passed else recombine(team, place, node.spec, written, names, versions, tried, checks)
    best = winner([*before, *candidates], team.settings)
    update: Update = {"nodes": {node.id: decided(node, best)}, "tried": len(candidates)}
    return update | ({"candidates": candidates} if node.id == ROOT else {"below": {node.id: [*before, *candidates]}})


def decided(node: Node, chosen: Candidate | None) -> Node:
    """The node with its winning candidate; failed if there is none that loads."""
    if chosen is None or not chosen.evidence.loads:
        return node.model_copy(update={"state": NodeState.FAILED})
    return node.model_copy(update={"state": NodeState.SOLVED, "source": chosen.source})


# --- what they share -------------------------------------------------------------------------------------------------


def _implied(state: State, node: Node, taken: Sequence[str], settings: Settings) -> tuple[Spec, ...]:
    """Helpers that the root's drafts call and nobody defined, of the best draft that has any."""
    ranked = rank(state["candidates"], consensus=settings.has(Part.CONSENSUS)) if node.id == ROOT else []
    for candidate in ranked:
        if stubs := implied_stubs(candidate.source, taken, settings.max_breadth):
            return stubs
    return ()


def _waiting_drafts(state: State, node: Node, helpers: set[str]) -> list[Written]:
    """Drafts of the root that lack nothing but these helpers: they compose without another word of the model."""
    written: dict[str, Written] = {}
    for draft in state["candidates"] if node.id == ROOT else ():
        lacking = {stub.entry_point for stub in implied_stubs(draft.source, (), len(helpers) + 1)}
        if lacking and lacking <= helpers:
            written[draft.source] = Written(
                code=draft.source, rule=draft.rule, answer=draft.answer, cut=draft.cut, logprob=draft.logprob
            )
    return list(written.values())


def _called(codes: Iterable[str]) -> set[str]:
    """Names that modules use without defining them at their top."""
    called: set[str] = set()
    for code in filter(None, codes):
        tree = parse(code)
        defined = {getattr(node, "name", None) for node in tree.body}
        called |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - defined
    return called


def _versions(state: State, child: Node) -> tuple[Version, ...]:
    """How a solved child was written, the winner among them."""
    return versions_of(state["below"].get(child.id, ())) or (Version(child.source or "", 1.0),)


def _purpose(task: Task) -> str:
    """The task in its first line of words, so that a helper's coder knows what it is for."""
    tree = parse_code(task.statement)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)] if tree else []
    words = (ast.get_docstring(functions[-1]) if functions else None) or task.statement
    return words.strip().splitlines()[0].strip()[:200]
