"""The policy: a table for each rule, and a simulation in which anything may happen and every run ends."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leafwise.agents.contracts import ROOT, Node, NodeState, Spec
from leafwise.agents.policy import Action, Situation, Step, is_easy, next_actions, settles
from leafwise.agents.settings import Settings

SETTINGS = Settings(drafts=6, max_depth=2, repair_rounds=2)
OPEN, SPLIT, SOLVED, FAILED = NodeState.OPEN, NodeState.SPLIT, NodeState.SOLVED, NodeState.FAILED


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


# drafts are there, none passes the one example
HARD = Situation(
    settings=SETTINGS,
    nodes=tree(node(ROOT)),
    planned=frozenset(),
    composed=frozenset(),
    drafts=1,
    best_passes=False,
    has_examples=True,
    agreement=1,
    repairs=0,
    improved=False,
    exhausted=False,
)
DIRECT = Settings(strategy="direct")
RESAMPLE = Settings(strategy="resample")
PLANNED: dict[str, Any] = {"planned": frozenset([ROOT])}
GROWN: dict[str, Any] = {**PLANNED, "composed": frozenset([ROOT])}


def split(*states: NodeState) -> dict[str, Node]:
    """A root whose children are in these states."""
    children = [node(f"root.{i}", state) for i, state in enumerate(states, 1)]
    return tree(node(ROOT, SPLIT, tuple(c.id for c in children)), *children)


SELECT = [Action(Step.SELECT)]
RULES: dict[str, tuple[dict[str, Any], list[Action]]] = {
    "drafts come first": ({"drafts": 0}, [Action(Step.DRAFT)]),
    "also for the direct strategy": ({"drafts": 0, "settings": DIRECT}, [Action(Step.DRAFT)]),
    "direct ends after its draft": ({"settings": DIRECT}, SELECT),
    "resample goes on, whatever passes": (
        {"settings": RESAMPLE, "drafts": 9, "best_passes": True, "agreement": 9},
        [Action(Step.DRAFT)],
    ),
    "resample ends with its budget": ({"settings": RESAMPLE, "drafts": 9, "exhausted": True}, SELECT),
    "resample ends even where the model says nothing": ({"settings": RESAMPLE, "drafts": 64}, SELECT),
    "a budget spent before the drafts ends the run": ({"drafts": 0, "exhausted": True}, SELECT),
    "a spent budget ends the run": ({"exhausted": True}, SELECT),
    "a spent budget ends the run among leaves": ({**PLANNED, "nodes": split(OPEN), "exhausted": True}, SELECT),
    "an easy task ends after its drafts": ({"best_passes": True, "agreement": 2}, SELECT),
    "a lonely pass is not easy": ({"best_passes": True, "agreement": 1}, [Action(Step.PLAN)]),
    "without examples more must agree": (
        {"best_passes": True, "has_examples": False, "agreement": 2},
        [Action(Step.PLAN)],
    ),
    "without examples half is enough": ({"best_passes": True, "has_examples": False, "agreement": 3}, SELECT),
    "agreement on a wrong answer is not easy": ({"agreement": 6}, [Action(Step.PLAN)]),
    "a hard task is split": ({}, [Action(Step.PLAN)]),
    "what has no name is not split": ({"nodes": tree(node(ROOT, entry_point=None))}, [Action(Step.REPAIR)]),
    "without plan, repair": (PLANNED, [Action(Step.REPAIR)]),
    "without plan and example, nothing": ({**PLANNED, "has_examples": False}, SELECT),
    "leaves concurrently": (
        {**PLANNED, "nodes": split(OPEN, SOLVED, OPEN)},
        [Action(Step.LEAF, "root.1"), Action(Step.LEAF, "root.3")],
    ),
    "leaves before failed leaves": ({**PLANNED, "nodes": split(FAILED, OPEN)}, [Action(Step.LEAF, "root.2")]),
    "a failed leaf is split": ({**PLANNED, "nodes": split(FAILED, SOLVED)}, [Action(Step.PLAN, "root.1")]),
    "a failed leaf is split once": (
        {"planned": frozenset([ROOT, "root.1"]), "nodes": split(FAILED, SOLVED)},
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
            "nodes": tree(
                node(ROOT, SPLIT, ("root.1",)), node("root.1", SPLIT, ("root.1.1",)), node("root.1.1", FAILED)
            ),
        },
        [Action(Step.COMPOSE, "root.1")],
    ),
    "after composing, repair": ({**GROWN, "nodes": split(SOLVED)}, [Action(Step.REPAIR)]),
    "what passes is not repaired": ({**GROWN, "best_passes": True}, SELECT),
    "without an example there is nothing to repair by": ({**GROWN, "has_examples": False}, SELECT),
    "repair goes on while it helps": ({**GROWN, "repairs": 1, "improved": True}, [Action(Step.REPAIR)]),
    "repair stops when nothing improved": ({**GROWN, "repairs": 1}, SELECT),
    "repair stops after its rounds": ({**GROWN, "repairs": 2, "improved": True}, SELECT),
    "no repair rounds, no repair": ({**GROWN, "settings": Settings(repair_rounds=0)}, SELECT),
}


@pytest.mark.parametrize(("changes", "actions"), RULES.values(), ids=RULES)
def test_rules(changes: dict[str, Any], actions: list[Action]) -> None:
    assert list(next_actions(replace(HARD, **changes))) == actions


def test_agreement_is_asked_for_only_as_far_as_there_are_drafts() -> None:
    assert settles(True, True, 1, Settings(drafts=1))
    assert settles(True, False, 1, Settings(drafts=1))
    assert not settles(True, True, 1, Settings(drafts=2))
    assert not settles(False, True, 9, Settings(drafts=1))


def test_what_was_planned_is_not_easy_any_more() -> None:
    passing = replace(HARD, best_passes=True, agreement=5)
    assert is_easy(passing)
    assert not is_easy(replace(passing, **PLANNED))


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
                changes |= {"drafts": self.now.drafts + 1, "agreement": self.outcome(0, 1, 6)}
            case Step.PLAN:
                changes["planned"] = self.now.planned | {one.id}
                names = tuple(f"{one.id}.{i}" for i in range(1, self.outcome(0, 1, 2) + 1))
                if names:
                    nodes |= {one.id: one.model_copy(update={"children": names, "state": SPLIT})}
                    nodes |= tree(*map(node, names))
            case Step.LEAF | Step.COMPOSE:
                if action.step is Step.COMPOSE:
                    changes["composed"] = self.now.composed | {one.id}
                nodes[one.id] = one.model_copy(update={"state": self.outcome(SOLVED, FAILED)})
            case Step.REPAIR:
                changes |= {"repairs": self.now.repairs + 1, "improved": self.outcome(True, False)}
        changes["best_passes"] = self.now.best_passes or self.outcome(False, False, True)
        self.now = replace(self.now, **changes)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_happens_the_run_ends(data: st.DataObject) -> None:
    knobs = Settings(
        strategy=data.draw(st.sampled_from(["direct", "resample", "guided"])),
        max_depth=data.draw(st.integers(1, 3)),
        repair_rounds=data.draw(st.integers(0, 3)),
        drafts=data.draw(st.integers(1, 6)),
    )
    start = replace(HARD, settings=knobs, drafts=0, agreement=0, has_examples=data.draw(st.booleans()))
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
    drafts = world.taken.count(Action(Step.DRAFT))
    assert drafts <= (64 if knobs.strategy == "resample" else 1)
    once = [a for a in world.taken if a.step not in (Step.REPAIR, Step.DRAFT)]
    assert len(once) == len(set(once))  # no step is taken twice
    assert world.taken.count(Action(Step.REPAIR)) <= knobs.repair_rounds
    assert all(n.depth <= knobs.max_depth for n in world.now.nodes.values())
