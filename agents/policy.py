"""What to do next: a pure function of the run's situation. The workflow asks it after every step and obeys.

The paper's order is kept: draft, decompose, leaves first, compose upward, critique and repair, select. Around it stand
two rules for small models: an easy task ends after its drafts, and a spent budget ends any task with the best answer so
far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from leafwise.agents.contracts import ROOT, Node, NodeState
from leafwise.agents.settings import Settings

_MOST_ROUNDS = 64
"""Rounds of drafts of `resample`, whose end is the token budget: a model that says next to nothing never gets there."""


class Step(StrEnum):
    """The kinds of steps, which are the workers of the workflow's graph."""

    DRAFT = "draft"
    PLAN = "plan"
    LEAF = "leaf"
    COMPOSE = "compose"
    REPAIR = "repair"
    SELECT = "select"


@dataclass(frozen=True)
class Action:
    """One step to take; several actions at once are taken concurrently."""

    step: Step
    node: str = ROOT


@dataclass(frozen=True)
class Situation:
    """What the policy may know."""

    settings: Settings
    """The team's knobs."""
    nodes: Mapping[str, Node]
    """The problem tree."""
    planned: frozenset[str]
    """Nodes whose plan was asked for."""
    composed: frozenset[str]
    """Nodes that were composed."""
    drafts: int
    """Rounds of drafts done."""
    best_passes: bool
    """Whether the best root candidate loads and fails no visible example."""
    has_examples: bool
    """Whether there is any visible example."""
    agreement: int
    """How many root candidates behave like the best one, itself included."""
    repairs: int
    """Rounds of repair done."""
    improved: bool
    """Whether the last round of repair gave a better candidate."""
    exhausted: bool
    """Whether a budget is spent."""


def next_actions(now: Situation) -> tuple[Action, ...]:
    """What to do next; never empty: `SELECT` ends the run."""
    if now.exhausted:
        return (Action(Step.SELECT),)
    if now.drafts < {"direct": 1, "resample": _MOST_ROUNDS, "paper": 1, "guided": 1}[now.settings.strategy]:
        return (Action(Step.DRAFT),)
    if now.settings.strategy in ("direct", "resample") or is_easy(now):
        return (Action(Step.SELECT),)
    return _grow(now) or _finish(now)


def settles(passes: bool, has_examples: bool, agreement: int, settings: Settings) -> bool:
    """Whether drafts settle a task: the best passes the visible examples and others behave like it.

    Without examples agreement is all there is, so more of it is asked for.
    """
    wanted = 2 if has_examples else max(2, settings.drafts // 2)
    return passes and agreement >= min(wanted, settings.drafts)


def is_easy(now: Situation) -> bool:
    """Whether the drafts settle the task, so that nothing is to be decomposed."""
    return not now.planned and settles(now.best_passes, now.has_examples, now.agreement, now.settings)


def _grow(now: Situation) -> tuple[Action, ...]:
    """Steps that build the tree and bring it upward; none once the root is composed, or cannot be split."""
    if now.nodes[ROOT].spec.entry_point is None or ROOT in now.composed:
        return ()
    if ROOT not in now.planned:
        return (Action(Step.PLAN),)
    if leaves := [n for n in now.nodes.values() if n.state is NodeState.OPEN and n.id != ROOT]:
        return tuple(Action(Step.LEAF, n.id) for n in leaves)
    if hard := [n for n in now.nodes.values() if _may_split(n, now)]:
        # one at a time: concurrent plans would not know each other's names
        return (Action(Step.PLAN, hard[0].id),)
    ready = [n for n in now.nodes.values() if n.state is NodeState.SPLIT and _children_done(n, now)]
    return tuple(Action(Step.COMPOSE, n.id) for n in ready if n.id not in now.composed)


def _may_split(node: Node, now: Situation) -> bool:
    """A leaf that nobody could write is too large: it is split in turn, within the depth limit."""
    return node.state is NodeState.FAILED and node.id not in now.planned and node.depth < now.settings.max_depth


def _children_done(node: Node, now: Situation) -> bool:
    return all(now.nodes[child].state in (NodeState.SOLVED, NodeState.FAILED) for child in node.children)


def _finish(now: Situation) -> tuple[Action, ...]:
    """Repair while it helps, then select. Without an example there is no evidence to repair by."""
    may_repair = now.has_examples and not now.best_passes and now.repairs < now.settings.repair_rounds
    if may_repair and (now.repairs == 0 or now.improved):
        return (Action(Step.REPAIR),)
    return (Action(Step.SELECT),)
