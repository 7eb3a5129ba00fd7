"""What to do next: a pure function of the run's situation. The workflow asks it after every step and obeys.

`guided` spends tokens where they can still change the answer. Drafts come first. If they settle the task, it ends.
If not, the step with the largest chance of a first passing candidate per token comes next (see `value`), as long as the
budget can carry it to its end: a small budget is spent on drafts, a large one on a tree of functions as well. A spent
budget ends any run with the best answer so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from leafwise.agents.contracts import ROOT, Node, NodeState
from leafwise.agents.role_settings import Role
from leafwise.agents.settings import Part, Settings
from leafwise.agents.value import value_of_draft, value_of_growth, value_of_repair, value_of_split

_MOST_PLANS = 2
"""Plans asked for at the root: of a useless one nothing but the plan was paid for."""
_MOST_GROWTHS = 5
"""Times that a tree's parent is composed: what so many versions did not bring, more will hardly bring."""
_MOST_ROUNDS = 64
"""Rounds of drafts, whose end is the token budget: a model that says next to nothing never gets there."""


class Step(StrEnum):
    """The kinds of steps, which are the workers of the workflow's graph."""

    DRAFT = "draft"
    PLAN = "plan"
    OUTLINE = "outline"
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
    latest: Mapping[str, Step]
    """Of the nodes that were split: which of plan, outline and compose was done last."""
    plans: int
    """How often the root's plan was asked for."""
    growths: int
    """How often the root was composed."""
    unsure: frozenset[str]
    """Leaves whose candidates behave differently, or of which none loads."""
    rounds: int
    """Rounds of drafts done."""
    drafts: int
    """Drafts that were asked for in them."""
    passing: int
    """Drafts that load and fail no visible example."""
    best_passes: bool
    """Whether the best root candidate loads and fails no visible example."""
    near: float
    """Share of the visible examples that the best root candidate passes, 0 to 1."""
    has_examples: bool
    """Whether there is any visible example."""
    agreement: int
    """How many root candidates behave like the best one, itself included."""
    repairs: int
    """Rounds of repair done."""
    improved: bool
    """Whether the last round of repair of the root gave a better candidate."""
    answers_left: float
    """Answers of this run's usual length that the token budget still has room for."""
    leaves_at_once: int
    """Leaves that the budget can carry side by side, each at its full limit."""
    exhausted: bool
    """Whether a budget is spent."""


def next_actions(now: Situation) -> tuple[Action, ...]:
    """What to do next; never empty: `SELECT` ends the run."""
    if now.exhausted:
        return (Action(Step.SELECT),)
    if not now.rounds:
        return (Action(Step.DRAFT),)
    match now.settings.strategy:
        case "direct":
            return (Action(Step.SELECT),)
        case "resample":
            return (Action(Step.DRAFT if _may_draft(now) else Step.SELECT),)
        case "paper":
            return _grow(now) or _mend(now)
        case "guided":
            return _guide(now)


# --- guided ----------------------------------------------------------------------------------------------------------


def settles(passes: bool, has_examples: bool, agreement: int, settings: Settings, *, comparable: bool = True) -> bool:
    """Whether candidates settle a task: the best passes the visible examples and others behave like it.

    Without examples agreement is all there is, so more of it is asked for. Without consensus nobody compares, and where
    no function is named, as for a class, nobody can.
    """
    if not settings.has(Part.CONSENSUS) or not comparable:
        return passes
    wanted = settings.agreement if has_examples else max(settings.agreement, settings.drafts // 2)
    return passes and agreement >= min(wanted, settings.drafts)


def is_settled(now: Situation) -> bool:
    """Whether nothing needs to be done any more."""
    comparable = now.nodes[ROOT].spec.entry_point is not None
    return settles(now.best_passes, now.has_examples, now.agreement, now.settings, comparable=comparable)


def _guide(now: Situation) -> tuple[Action, ...]:
    if growing := _grow(now) if ROOT in now.planned else ():
        return growing
    if not now.settings.has(Part.GATE) and _is_splittable(now):
        return (Action(Step.PLAN),)
    if is_settled(now):
        return (Action(Step.SELECT),)
    chances = {
        Step.PLAN: _value_of_plan(now),
        Step.OUTLINE: _value_of_growth(now),
        Step.REPAIR: _chance_of_repair(now),
        Step.DRAFT: value_of_draft(now.settings, now.drafts, now.passing) if _may_draft(now) else 0.0,
    }
    step = max(chances, key=lambda s: chances[s])
    if step is Step.OUTLINE and chances[step] > 0:
        return _grow_more(now)
    return (Action(step if chances[step] > 0 else Step.SELECT),)


def _may_draft(now: Situation) -> bool:
    """Whether another round of drafts may say anything new: where the coder does not vary, the first said it all."""
    return now.rounds < (_MOST_ROUNDS if now.settings.varies(Role.CODER) else 1)


def _is_stuck(now: Situation) -> bool:
    """Splitting helps only where drafts fail or disagree; a passing one is not made surer by a tree."""
    return not now.best_passes or not now.has_examples


def _is_splittable(now: Situation) -> bool:
    named = now.nodes[ROOT].spec.entry_point is not None
    bare = not now.nodes[ROOT].children and now.plans < (_MOST_PLANS if now.settings.varies(Role.GENERALIST) else 1)
    return named and bare and now.settings.has(Part.DECOMPOSE)


def _value_of_plan(now: Situation) -> float:
    return value_of_split(now.settings, now.plans, now.answers_left) if _is_stuck(now) and _is_splittable(now) else 0.0


def _value_of_growth(now: Situation) -> float:
    """Of a tree that stands and fails; without examples nothing says that it does."""
    children = now.nodes[ROOT].children
    most = _MOST_GROWTHS if now.settings.varies(Role.CODER) else 1
    if not children or not now.has_examples or now.best_passes or now.growths >= most:
        return 0.0
    return value_of_growth(now.settings, len(_unsure(now)) / len(children), now.growths, now.answers_left)


def _grow_more(now: Situation) -> tuple[Action, ...]:
    """More versions of the root, and of those of its leaves that are unsure; of all, where none is."""
    return (Action(Step.OUTLINE), *(Action(Step.LEAF, name) for name in _unsure(now)[: now.leaves_at_once]))


def _unsure(now: Situation) -> list[str]:
    leaves = [name for name in now.nodes[ROOT].children if not now.nodes[name].children]
    return [name for name in leaves if name in now.unsure] or leaves


def _chance_of_repair(now: Situation) -> float:
    """Repair needs evidence: an example that fails; and it goes on only while it helps."""
    rounds = now.repairs
    may = now.has_examples and not now.best_passes and now.settings.has(Part.REPAIR)
    if not may or rounds >= now.settings.repair_rounds or (rounds and not now.improved):
        return 0.0
    return value_of_repair(now.settings, now.near, now.answers_left)


# --- the tree --------------------------------------------------------------------------------------------------------


def _grow(now: Situation) -> tuple[Action, ...]:
    """Steps that build the tree and bring it upward; none once the root is composed, or cannot be split."""
    if now.nodes[ROOT].spec.entry_point is None or now.latest.get(ROOT) is Step.COMPOSE:
        return ()
    if ROOT not in now.planned:
        return (Action(Step.PLAN),)
    if now.settings.strategy == "guided" and (bare := _without_outline(now)):
        return tuple(Action(Step.OUTLINE, n.id) for n in bare)
    opened = [n for n in now.nodes.values() if n.state is NodeState.OPEN and n.id != ROOT]
    if now.settings.strategy == "paper" and (deep := [n for n in opened if _may_split(n, now)]):
        return (Action(Step.PLAN, deep[0].id),)
    if opened:
        return tuple(Action(Step.LEAF, n.id) for n in opened[: now.leaves_at_once])
    # one at a time: concurrent plans would not know each other's names
    if hard := [n for n in now.nodes.values() if n.state is NodeState.FAILED and _may_split(n, now)]:
        return (Action(Step.PLAN, hard[0].id),)
    waiting = [n for n in now.nodes.values() if n.children and now.latest.get(n.id) is not Step.COMPOSE]
    return tuple(Action(Step.COMPOSE, n.id) for n in waiting if _children_done(n, now))


def _without_outline(now: Situation) -> list[Node]:
    """Nodes whose plan is there and nothing that is made of it."""
    return [n for n in now.nodes.values() if n.children and now.latest.get(n.id) is Step.PLAN]


def _may_split(node: Node, now: Situation) -> bool:
    """`guided` splits a leaf that nobody could write, `paper` every function, both within the depth limit."""
    return node.id != ROOT and node.id not in now.planned and node.depth < now.settings.max_depth


def _children_done(node: Node, now: Situation) -> bool:
    return all(now.nodes[child].state in (NodeState.SOLVED, NodeState.FAILED) for child in node.children)


def _mend(now: Situation) -> tuple[Action, ...]:
    """`paper` at the root: feedback into regeneration while it fails, that helps, and rounds are left; then the end.

    A root that passes from the start is looked at once by the critic, for its efficiency.
    """
    fails = now.has_examples and not now.best_passes and (not now.repairs or now.improved)
    wanted = fails or (now.best_passes and not now.repairs and now.settings.has(Part.CRITIC))
    return (Action(Step.REPAIR if wanted and now.repairs < now.settings.repair_rounds else Step.SELECT),)
