"""The workflow as a LangGraph graph. Beside `checkpoints` the only module that knows LangGraph.

The graph is a wheel: `decide` asks the policy, sends the steps it names (concurrently where there are several), and
every step comes back to `decide`. A checkpoint is written after each step, so a killed run goes on where it was.

Where plans are reviewed, a plan is held back at first: `review` interrupts the graph, and what the reviewer gives
enters the tree.

A run that was given more budget takes its answer back, and `decide` asks the policy once more.
"""

from __future__ import annotations

import operator
import sqlite3
from collections import Counter
from typing import Annotated, Any, TypedDict, cast

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt

from leafwise.agents.checkpoints import THREAD, checkpoint_error, whole
from leafwise.agents.contracts import ROOT, Answer, EventKind, Node, NodeState, Spec, Task
from leafwise.agents.place import Place
from leafwise.agents.policy import Step, next_actions
from leafwise.agents.review import ProposedPlan, Review, split
from leafwise.agents.state import State, Update, initial_state, situation
from leafwise.agents.statement import count
from leafwise.agents.steps import STEPS
from leafwise.agents.team import Team

_CONCURRENT_STEPS = 16
_MOST_STEPS = 500
_REVIEW = "review"


class _State(State, total=False):
    """The state, and plans that are not part of it yet."""

    proposed: Annotated[dict[str, dict[str, Node]], operator.or_]
    """By node: the changes of the tree that its latest plan asks for."""


class _Sent(TypedDict):
    """What `decide` sends to a step."""

    state: _State
    node: str


def run_workflow(
    task: Task, team: Team, checkpoints: SqliteSaver, review: Review | None = None, *, more: bool = False
) -> Answer:
    """Run a task to its answer, or go on with what the checkpoints hold.

    Args:
        task: what to write.
        team: writes it.
        checkpoints: of this run.
        review: is asked about each plan, in this thread, before it is carried out; a run that ends while it is asked
            asks again when it goes on. None carries out plans as they are.
        more: the team has a larger budget than the one that ended the run: it goes on, and keeps what it has.

    Raises:
        ReviewError: the review gave something that is no plan.
        RunInterrupted: the run was stopped; the finished steps are in the checkpoints.
        RunError: a checkpoint could not be written or read.
        EngineError, SandboxError: the machinery failed; the finished steps are in the checkpoints.
    """
    graph = _build(team, checkpoints, reviewed=review is not None)
    config: Any = {
        "configurable": THREAD,
        "max_concurrency": _CONCURRENT_STEPS,
        "recursion_limit": _MOST_STEPS,
    }
    try:
        stored = _reopened(graph, config) if more else graph.get_state(config)
        begun = bool(stored.values)
        if begun and "spent" in stored.values:
            team.spent = stored.values["spent"]
        for node in stored.values.get("nodes", {}).values():
            _tell_node(team, "resume", node)
        if more:
            _tell_budget(team, len(stored.values.get("candidates", ())))
        # LangGraph gives the stored results of an interrupted round of steps once more: they were told already
        replayed = [n for t in stored.tasks for n in (t.result or {}).get("finished", ())]
        told = Counter(stored.values.get("finished", ()))
        inputs: Any = None if begun else initial_state(task)
        while True:
            for update in graph.stream(inputs, config, stream_mode="updates", durability="sync"):
                _tell_finished(update, team, replayed, told)
            inputs = _ask(graph.get_state(config), team, review)
            if inputs is None:
                break
        answer = graph.get_state(config).values.get("answer")
    except sqlite3.Error as error:
        raise checkpoint_error(error) from error
    return cast(Answer, answer)


def _build(team: Team, checkpoints: SqliteSaver, *, reviewed: bool) -> Any:
    def route(state: _State) -> list[Send] | str:
        if state.get("answer") is not None:
            return END
        now = situation(whole(state), team.settings, tokens_left=team.tokens_left, exhausted=team.ended_by != "done")
        return [Send(action.step, _Sent(state=state, node=action.node)) for action in next_actions(now)]

    builder = StateGraph(cast(Any, _State))
    builder.add_node("decide", cast(Any, lambda _state: {}))
    builder.add_edge(START, "decide")
    builder.add_conditional_edges("decide", route, [*Step, END])
    for step in STEPS:
        held = reviewed and step is Step.PLAN
        builder.add_node(step, _worker(step, team, held=held))
        builder.add_edge(step, _REVIEW if held else "decide")
    builder.add_node(_REVIEW, _reviewer(team, reviewed=reviewed))
    builder.add_conditional_edges(_REVIEW, lambda state: _REVIEW if _waiting(state) else "decide", [_REVIEW, "decide"])
    return builder.compile(checkpointer=checkpoints)


def _worker(step: Step, team: Team, *, held: bool) -> Any:
    """A step as a graph node: told when it starts, marked when it is finished; `held` keeps the tree as it is."""

    def work(sent: _Sent) -> Update:
        name = f"{step}:{sent['node']}"
        earlier = sent["state"]["finished"].count(name)
        place = Place(_numbered(name, earlier + 1), sent["node"])
        team.emit(EventKind.STEP_STARTED, place)
        update = STEPS[step](whole(sent["state"]), team, place)
        if held:
            update = {**update, "proposed": {sent["node"]: update.get("nodes", {})}, "nodes": {}}
        return {**update, "finished": [name], "spent": team.total_spent()}

    return work


def _reopened(graph: Any, config: Any) -> Any:
    """What is stored, without the answer; leaves of which the budget left no candidate are to be written again."""
    stored = graph.get_state(config)
    if not stored.values or not set(stored.next) <= {Step.SELECT}:  # neither chosen nor about to be
        return stored
    state = whole(stored.values)
    empty = [
        node
        for node in state["nodes"].values()
        if node.state is NodeState.FAILED and node.id != ROOT and not node.children and not state["below"].get(node.id)
    ]
    nodes = {node.id: node.model_copy(update={"state": NodeState.OPEN}) for node in empty}
    graph.update_state(config, {"answer": None, "nodes": nodes}, as_node=Step.SELECT)
    return graph.get_state(config)


def _reviewer(team: Team, *, reviewed: bool) -> Any:
    """The graph node that waits for somebody's word on a plan that is held back; on one at a time.

    With a second interrupt in one node, LangGraph takes the first one's answer for both when a killed run goes on.
    """

    def review(state: _State) -> Update:
        node = _waiting(state)[0]
        plan, changes = _proposed(state, node), state["proposed"][node]
        stubs: tuple[Spec, ...] = tuple(interrupt(node)) if reviewed else plan.stubs
        if stubs != plan.stubs:
            changes = split(plan, stubs)
        return {"nodes": changes, "finished": [f"{_REVIEW}:{node}"], "spent": team.total_spent()}

    return review


def _waiting(state: _State) -> list[str]:
    """Nodes with a plan that was not reviewed."""
    times = Counter(state["finished"])
    return [node for node in state["proposed"] if times[f"{Step.PLAN}:{node}"] > times[f"{_REVIEW}:{node}"]]


def _proposed(state: _State, node: str) -> ProposedPlan:
    held = state["proposed"][node]
    parent = held.get(node, state["nodes"][node])
    stubs = tuple(held[child].spec for child in parent.children) if held else ()
    return ProposedPlan(node=state["nodes"][node], stubs=stubs, nodes=state["nodes"])


def _ask(stopped: Any, team: Team, review: Review | None) -> Any:
    """What the graph goes on with, if it stopped to ask; else None."""
    if not stopped.interrupts or review is None:
        return None
    node = stopped.interrupts[0].value
    plan, place = _proposed(stopped.values, node), Place(f"{_REVIEW}:{node}", node)
    team.emit(EventKind.STEP_STARTED, place)
    team.emit(EventKind.REVIEW, place, helpers=[stub.entry_point for stub in plan.stubs])
    with team.paused():
        stubs = tuple(review(plan))
    split(plan, stubs)  # refuses what is no plan before it is stored
    names = [stub.entry_point for stub in stubs]
    text = ", ".join(map(str, names)) or "no helpers"
    team.emit(EventKind.NOTE, place, f"reviewed: {text}", helpers=names, changed=stubs != plan.stubs)
    return Command(resume=stubs)


def _tell_finished(update: dict[str, Update | None], team: Team, replayed: list[str], told: Counter[str]) -> None:
    """Tell of finished steps only once their results are stored: a resumed run does not repeat what was told."""
    for step, changes in update.items():
        if step == "__interrupt__":
            continue
        for name in (changes or {}).get("finished", ()):
            told[name] += 1
            if name in replayed:
                replayed.remove(name)
                continue
            where = _numbered(name, told[name])
            for node in (changes or {}).get("nodes", {}).values():
                _tell_node(team, where, node)
            team.emit(EventKind.STEP_FINISHED, Place(where, name.partition(":")[2]), str(step))


def _numbered(step: str, time: int) -> str:
    """A step's name in events; from its second time on with the number."""
    return f"{step}#{time}" if time > 1 else step


def _tell_budget(team: Team, kept: int) -> None:
    seconds = "" if team.seconds_left is None else f" and {team.seconds_left:.0f} s"
    text = f"goes on: {count(kept, 'candidate')} kept, {count(team.tokens_left, 'token')}{seconds} left"
    team.emit(EventKind.NOTE, Place("run"), text)


def _tell_node(team: Team, step: str, node: Node) -> None:
    team.emit(EventKind.NODE, Place(step, node.id), node.state, state=node.state.value, name=node.spec.entry_point)
