"""The policy: a table for each rule, and a simulation in which anything may happen and every run ends."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leafwise.agents.contracts import ROOT, Node, NodeState, Spec
from leafwise.agents.policy import Action, Situation, Step, next_actions, settles
from leafwise.agents.settings import Part, Settings, Strategy
from leafwise.agents.value import cost_of_split, value_of_draft, value_of_repair, value_of_split

SETTINGS = Settings(drafts=6, max_depth=2, repair_rounds=2)
OPEN, SPLIT, DROPPED = NodeState.OPEN, NodeState.SPLIT, NodeState.DROPPED
SOLVED, FAILED = NodeState.SOLVED, NodeState.FAILED


def node(name: str, state: NodeState = OPEN, children: tuple[str, ...] = (), entry_point: str | None = "f") -> Node:
    return Node(
        id=name,
        spec=Spec(statement="x", entry_point=entry_point),
        depth=name.count("."),
        state=state,
        children=children,
    )


def tree(*nodes: Node) -> dict[str, Node]:
    return {n.id: n for n in nodes}


# a round of drafts is there, none passes the one example, and the budget is large
HARD = Situation(
    settings=SETTINGS,
    nodes=tree(node(ROOT)),
    planned=frozenset(),
    latest={},
    plans=0,
    growths=0,
    unsure=frozenset(),
    rounds=1,
    drafts=6,
    passing=0,
    best_passes=False,
    near=0.0,
    has_examples=True,
    agreement=1,
    repairs=0,
    improved=False,
    answers_left=100.0,
    leaves_at_once=9,
    exhausted=False,
)
DIRECT = Settings(strategy="direct")
RESAMPLE = Settings(strategy="resample")
SMALL = SETTINGS.for_planner(135_000_000)
PAPER = Settings(strategy="paper", max_depth=2, repair_rounds=2)
PLANNED: dict[str, Any] = {"planned": frozenset([ROOT]), "plans": 2, "latest": {ROOT: Step.OUTLINE}}
GROWN: dict[str, Any] = {**PLANNED, "latest": {ROOT: Step.COMPOSE}, "growths": 1}
ENOUGH: dict[str, Any] = {**PLANNED, "drafts": SETTINGS.most_drafts}
PASSING: dict[str, Any] = {"best_passes": True, "passing": 1, "near": 1.0}


def split(*states: NodeState) -> dict[str, Node]:
    """A root whose children are in these states."""
    children = [node(f"root.{i}", state) for i, state in enumerate(states, 1)]
    return tree(node(ROOT, SPLIT, tuple(c.id for c in children)), *children)


def without(*parts: Part) -> Settings:
    return SETTINGS.model_copy(update={"without": parts})


SELECT, DRAFT = [Action(Step.SELECT)], [Action(Step.DRAFT)]
PLAN, REPAIR = [Action(Step.PLAN)], [Action(Step.REPAIR)]
RULES: dict[str, tuple[dict[str, Any], list[Action]]] = {
    "drafts come first": ({"rounds": 0}, DRAFT),
    "also for the direct strategy": ({"rounds": 0, "settings": DIRECT}, DRAFT),
    "direct ends after its draft": ({"settings": DIRECT}, SELECT),
    "resample goes on, whatever passes": ({**PASSING, "settings": RESAMPLE, "rounds": 9, "agreement": 9}, DRAFT),
    "resample ends with its budget": ({"settings": RESAMPLE, "rounds": 9, "exhausted": True}, SELECT),
    "resample ends even where the model says nothing": ({"settings": RESAMPLE, "rounds": 64}, SELECT),
    "a budget spent before the drafts ends the run": ({"rounds": 0, "exhausted": True}, SELECT),
    "a spent budget ends the run": ({"exhausted": True}, SELECT),
    "a spent budget ends the run among leaves": ({**PLANNED, "nodes": split(OPEN), "exhausted": True}, SELECT),
    # the gate
    "an easy task ends after its drafts": ({**PASSING, "agreement": 2}, SELECT),
    "a lonely pass asks for another draft": (PASSING, DRAFT),
    "a lonely pass does not wait for ever": ({**PASSING, "drafts": SETTINGS.most_drafts}, SELECT),
    "agreement on a wrong answer is not easy": ({"agreement": 6}, PLAN),
    "without examples half is enough": ({**PASSING, "has_examples": False, "agreement": 3}, SELECT),
    "without examples two that agree are too few": ({**PASSING, "has_examples": False, "agreement": 2}, DRAFT),
    "what nobody can compare is settled by a pass": (
        {**PASSING, "has_examples": False, "nodes": tree(node(ROOT, entry_point=None))},
        SELECT,
    ),
    "without gate an easy task is split": ({**PASSING, "agreement": 6, "settings": without(Part.GATE)}, PLAN),
    "without consensus the first pass ends the task": ({**PASSING, "settings": without(Part.CONSENSUS)}, SELECT),
    # marginal value
    "a hard task is split where the budget carries a tree": ({}, PLAN),
    "but not before a round of whole drafts has failed": ({"drafts": 3}, DRAFT),
    "where a small model plans, not before thirty": ({"settings": SMALL, "drafts": 27}, DRAFT),
    "then where a small model plans too": ({"settings": SMALL, "drafts": 30}, PLAN),
    "a small budget is spent on drafts": ({"answers_left": 5.0}, DRAFT),
    "nothing is left for anything but the end": ({**ENOUGH, "answers_left": 1.0}, SELECT),
    "a plan that came to nothing: drafts go on": (PLANNED, DRAFT),
    "a near miss is repaired before the last drafts": ({**PLANNED, "drafts": 18, "near": 0.67}, REPAIR),
    "a far miss is not": ({**PLANNED, "drafts": 18}, DRAFT),
    "after the last draft, repair": (ENOUGH, REPAIR),
    "without examples there is nothing to repair by": ({**ENOUGH, "has_examples": False}, SELECT),
    "what passes is not repaired": ({**ENOUGH, **PASSING}, SELECT),
    "repair goes on while it helps": ({**ENOUGH, "repairs": 1, "improved": True}, REPAIR),
    "repair stops when nothing improved": ({**ENOUGH, "repairs": 1}, SELECT),
    "repair stops after its rounds": ({**ENOUGH, "repairs": 2, "improved": True}, SELECT),
    "what has no name is not split": ({"nodes": tree(node(ROOT, entry_point=None))}, DRAFT),
    "without the part, no splitting": ({"settings": without(Part.DECOMPOSE)}, DRAFT),
    "without the part, no repair": ({**ENOUGH, "settings": without(Part.REPAIR)}, SELECT),
    "a useless plan is made once more": ({**PLANNED, "plans": 1, "drafts": 18}, PLAN),
    "but not where the budget carries no second tree": ({**PLANNED, "plans": 1, "answers_left": 5.0}, DRAFT),
    # the tree
    "a parent is written first, from its plan": (
        {**PLANNED, "latest": {ROOT: Step.PLAN}, "nodes": split(OPEN, OPEN)},
        [Action(Step.OUTLINE)],
    ),
    "a tree that fails gets more versions, where they differ": (
        {**GROWN, "nodes": split(SOLVED, SOLVED), "unsure": frozenset(["root.2"])},
        [Action(Step.OUTLINE), Action(Step.LEAF, "root.2")],
    ),
    "of all leaves, where none differs": (
        {**GROWN, "nodes": split(SOLVED, FAILED)},
        [Action(Step.OUTLINE), Action(Step.LEAF, "root.1"), Action(Step.LEAF, "root.2")],
    ),
    "what came of them is put together again": (
        {**GROWN, "latest": {ROOT: Step.OUTLINE}, "nodes": split(SOLVED, SOLVED)},
        [Action(Step.COMPOSE)],
    ),
    "a tree does not grow for ever": ({**GROWN, "nodes": split(SOLVED), "growths": 5}, DRAFT),
    "a tree that passes does not grow": ({**GROWN, **PASSING, "nodes": split(SOLVED)}, DRAFT),
    "without examples nothing says that a tree fails": (
        {**GROWN, "nodes": split(SOLVED), "has_examples": False},
        DRAFT,
    ),
    "leaves concurrently": (
        {**PLANNED, "nodes": split(OPEN, SOLVED, OPEN)},
        [Action(Step.LEAF, "root.1"), Action(Step.LEAF, "root.3")],
    ),
    "no more leaves at once than the budget can carry": (
        {**PLANNED, "nodes": split(OPEN, OPEN), "leaves_at_once": 1},
        [Action(Step.LEAF, "root.1")],
    ),
    "leaves before failed leaves": ({**PLANNED, "nodes": split(FAILED, OPEN)}, [Action(Step.LEAF, "root.2")]),
    "a failed leaf is split": ({**PLANNED, "nodes": split(FAILED, SOLVED)}, [Action(Step.PLAN, "root.1")]),
    "a failed leaf is split once": (
        {**PLANNED, "planned": frozenset([ROOT, "root.1"]), "nodes": split(FAILED, SOLVED)},
        [Action(Step.COMPOSE)],
    ),
    "no leaf is split below the depth limit": (
        {**PLANNED, "settings": Settings(max_depth=1), "nodes": split(FAILED)},
        [Action(Step.COMPOSE)],
    ),
    "a parent is composed when its children are done": (
        {**PLANNED, "nodes": split(SOLVED, SOLVED)},
        [Action(Step.COMPOSE)],
    ),
    "inner nodes before the root": (
        {
            "planned": frozenset([ROOT, "root.1"]),
            "latest": {ROOT: Step.OUTLINE, "root.1": Step.OUTLINE},
            "nodes": tree(
                node(ROOT, SPLIT, ("root.1",)), node("root.1", SPLIT, ("root.1.1",)), node("root.1.1", FAILED)
            ),
        },
        [Action(Step.COMPOSE, "root.1")],
    ),
    "what was composed and passes ends the task": ({**GROWN, **PASSING, "agreement": 2}, SELECT),
    # the paper's order
    "paper has no gate": ({**PASSING, "settings": PAPER, "agreement": 6}, PLAN),
    "paper splits children too": (
        {**PLANNED, "settings": PAPER, "nodes": split(OPEN, OPEN)},
        [Action(Step.PLAN, "root.1")],
    ),
    "paper's leaves": (
        {"settings": PAPER, "planned": frozenset([ROOT, "root.1"]), "nodes": split(OPEN)},
        [Action(Step.LEAF, "root.1")],
    ),
    "paper mends its root while it fails": ({**GROWN, "settings": PAPER}, REPAIR),
    "paper mends on while it helps": ({**GROWN, "settings": PAPER, "repairs": 1, "improved": True}, REPAIR),
    "paper mends no more where nothing improves": ({**GROWN, "settings": PAPER, "repairs": 1}, SELECT),
    "paper mends as often as allowed": ({**GROWN, "settings": PAPER, "repairs": 2, "improved": True}, SELECT),
    "paper's critic looks at a root that passes": ({**GROWN, **PASSING, "settings": PAPER}, REPAIR),
    "paper's critic looks once": ({**GROWN, **PASSING, "settings": PAPER, "repairs": 1}, SELECT),
    "paper ends when a repair made its root pass": ({**GROWN, **PASSING, "settings": PAPER, "repairs": 2}, SELECT),
    "paper without a critic ends when its root passes": (
        {**GROWN, **PASSING, "settings": PAPER.model_copy(update={"without": (Part.CRITIC,)})},
        SELECT,
    ),
    "paper without examples has its root looked at": (
        {**GROWN, **PASSING, "settings": PAPER, "has_examples": False},
        REPAIR,
    ),
}


@pytest.mark.parametrize(("changes", "actions"), RULES.values(), ids=RULES)
def test_rules(changes: dict[str, Any], actions: list[Action]) -> None:
    assert list(next_actions(replace(HARD, **changes))) == actions


def test_agreement_is_asked_for_only_as_far_as_there_are_drafts() -> None:
    assert settles(True, True, 1, Settings(drafts=1))
    assert settles(True, False, 1, Settings(drafts=1))
    assert not settles(True, True, 1, Settings(drafts=2))
    assert not settles(False, True, 9, Settings(drafts=1))


def test_more_budget_never_makes_a_step_worth_less() -> None:
    for near in (0.0, 0.5):
        values = [value_of_repair(SETTINGS, near, left) for left in (0, 3, 6, 50)]
        assert values == sorted(values)
        assert values[0] == 0 < values[-1]
    assert value_of_split(SETTINGS, 0, cost_of_split(SETTINGS)) > value_of_split(
        SETTINGS, 0, cost_of_split(SETTINGS) - 0.1
    )


def test_a_draft_is_worth_less_the_more_of_them_failed() -> None:
    values = [value_of_draft(SETTINGS, n, 0) for n in range(SETTINGS.most_drafts + 1)]
    assert values == sorted(values, reverse=True)
    assert values[-2] > values[-1] == 0


# --- any outcome -----------------------------------------------------------------------------------------------------


@dataclass
class World:
    """Obeys the policy, with outcomes drawn by hypothesis; keeps books as the workflow does."""

    draw: Any
    settings: Settings
    now: Situation
    taken: list[Action] = field(default_factory=list)

    def outcome(self, *values: Any) -> Any:
        return self.draw(st.sampled_from(values))

    def take(self, action: Action) -> None:
        self.taken.append(action)
        nodes = dict(self.now.nodes)
        changes: dict[str, Any] = {"nodes": nodes, "exhausted": self.outcome(False, False, False, False, True)}
        one = nodes[action.node]
        match action.step:
            case Step.DRAFT:
                drafts = self.now.drafts + self.outcome(0, 1, 6)
                changes |= {"rounds": self.now.rounds + 1, "drafts": drafts, "agreement": self.outcome(0, 1, 6)}
            case Step.PLAN:
                changes |= {"planned": self.now.planned | {one.id}, "plans": self.now.plans + (one.id == ROOT)}
                changes["latest"] = {**self.now.latest, one.id: Step.PLAN}
                names = tuple(f"{one.id}.{i}" for i in range(1, self.outcome(0, 1, 2) + 1))
                if names:
                    nodes |= {one.id: one.model_copy(update={"children": names, "state": SPLIT})}
                    nodes |= tree(*map(node, names))
            case Step.OUTLINE:
                changes["latest"] = {**self.now.latest, one.id: Step.OUTLINE}
                nodes |= self.outlined(one)
            case Step.LEAF | Step.COMPOSE:
                if action.step is Step.COMPOSE:
                    changes["latest"] = {**self.now.latest, one.id: Step.COMPOSE}
                    changes["growths"] = self.now.growths + (one.id == ROOT)
                nodes[one.id] = one.model_copy(update={"state": self.outcome(SOLVED, FAILED)})
            case Step.REPAIR:
                changes |= {"repairs": self.now.repairs + 1, "improved": self.outcome(True, False)}
        changes["best_passes"] = self.now.best_passes or self.outcome(False, False, True)
        self.now = replace(self.now, **changes)

    def outlined(self, one: Node) -> dict[str, Node]:
        """Perhaps nothing calls the helpers of a plan that is new."""
        children = [self.now.nodes[name] for name in one.children]
        if any(child.state is not OPEN for child in children) or self.outcome(True, True, False):
            return {}
        alone = one.model_copy(update={"state": self.outcome(SOLVED, FAILED), "children": ()})
        return tree(alone, *(child.model_copy(update={"state": DROPPED}) for child in children))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_happens_the_run_ends(data: st.DataObject) -> None:
    knobs = Settings(
        strategy=data.draw(st.sampled_from(get_args(Strategy))),
        max_depth=data.draw(st.integers(1, 3)),
        repair_rounds=data.draw(st.integers(0, 3)),
        drafts=data.draw(st.integers(1, 6)),
        without=tuple(data.draw(st.sets(st.sampled_from(Part), max_size=2))),
    )
    left = data.draw(st.sampled_from([2.0, 12.0, 100.0]))
    start = replace(
        HARD, settings=knobs, rounds=0, drafts=0, agreement=0, has_examples=data.draw(st.booleans()), answers_left=left
    )
    world = World(data.draw, knobs, start)
    for _ in range(200):
        actions = next_actions(world.now)
        assert actions
        if actions == (Action(Step.SELECT),):
            break
        assert Action(Step.SELECT) not in actions
        for action in actions:
            world.take(action)
    else:
        pytest.fail("the run does not end")
    rounds = world.taken.count(Action(Step.DRAFT))
    assert rounds <= {"direct": 1, "paper": 1, "resample": 64, "guided": 64}[knobs.strategy]
    times = Counter(world.taken)
    assert all(times[a] == 1 for a in times if a.step is Step.PLAN and a.node != ROOT)
    assert times[Action(Step.PLAN)] <= 2
    assert times[Action(Step.COMPOSE)] <= 5
    assert all(times[a] <= 5 for a in times if a.step is Step.LEAF)
    assert world.taken.count(Action(Step.REPAIR)) <= knobs.repair_rounds
    assert all(n.depth <= knobs.max_depth for n in world.now.nodes.values())
