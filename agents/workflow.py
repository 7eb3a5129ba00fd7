"""The workflow as a LangGraph graph, and its checkpoints: the only module that knows LangGraph.

The graph is a wheel: `decide` asks the policy, sends the steps it names (concurrently where there are several), and
every step comes back to `decide`. A checkpoint is written after each step, so a killed run goes on where it was.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict, cast

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from pydantic import BaseModel

from leafwise.agents import contracts as agents_contracts
from leafwise.agents.contracts import Answer, EventKind, Node, Task
from leafwise.agents.errors import RunError
from leafwise.agents.policy import Step, next_actions
from leafwise.agents.state import State, initial_state, situation
from leafwise.agents.steps import STEPS, Update
from leafwise.agents.team import Place, Team
from leafwise.runtime import contracts as runtime_contracts

_THREAD = "run"
_CONCURRENT_STEPS = 16
_MOST_STEPS = 500


class _Sent(TypedDict):
    """What `decide` sends to a step."""

    state: State
    node: str


def run_workflow(task: Task, team: Team, checkpoints: SqliteSaver) -> Answer:
    """Run a task to its answer, or go on with what the checkpoints hold.

    Raises:
        RunInterrupted: the run was stopped; the finished steps are in the checkpoints.
        RunError: a checkpoint could not be written or read.
        EngineError, SandboxError: the machinery failed; the finished steps are in the checkpoints.
    """
    graph = _build(team, checkpoints)
    config: Any = {
        "configurable": {"thread_id": _THREAD},
        "max_concurrency": _CONCURRENT_STEPS,
        "recursion_limit": _MOST_STEPS,
    }
    try:
        stored = graph.get_state(config)
        begun = bool(stored.values)
        if begun and "spent" in stored.values:
            team.spent = stored.values["spent"]
        for node in stored.values.get("nodes", {}).values():
            _tell_node(team, "resume", node)
        steps = graph.stream(None if begun else initial_state(task), config, stream_mode="updates", durability="sync")
        # LangGraph gives the stored results of an interrupted round of steps once more: they were told already
        replayed = [n for t in stored.tasks for n in (t.result or {}).get("finished", ())]
        for update in steps:
            _tell_finished(update, team, replayed)
        answer = graph.get_state(config).values.get("answer")
    except sqlite3.Error as error:
        raise _checkpoint_error(error) from error
    return cast(Answer, answer)


def _build(team: Team, checkpoints: SqliteSaver) -> Any:
    def route(state: State) -> list[Send] | str:
        if state.get("answer") is not None:
            return END
        now = situation(state, team.settings, tokens_left=team.tokens_left, exhausted=team.ended_by != "done")
        return [Send(action.step, _Sent(state=state, node=action.node)) for action in next_actions(now)]

    builder = StateGraph(cast(Any, State))
    builder.add_node("decide", cast(Any, lambda _state: {}))
    builder.add_edge(START, "decide")
    builder.add_conditional_edges("decide", route, [*Step, END])
    for step in STEPS:
        builder.add_node(step, _worker(step, team))
        builder.add_edge(step, "decide")
    return builder.compile(checkpointer=checkpoints)


def _worker(step: Step, team: Team) -> Any:
    """A step as a graph node: told when it starts, marked when it is finished."""

    def work(sent: _Sent) -> Update:
        name = f"{step}:{sent['node']}"
        earlier = sent["state"]["finished"].count(name)
        place = Place(f"{name}#{earlier + 1}" if earlier else name, sent["node"])
        team.emit(EventKind.STEP_STARTED, place)
        update = STEPS[step](sent["state"], team, place)
        return {**update, "finished": [name], "spent": team.total_spent()}

    return work


def _tell_finished(update: dict[str, Update | None], team: Team, replayed: list[str]) -> None:
    """Tell of finished steps only once their results are stored: a resumed run does not repeat what was told."""
    for step, changes in update.items():
        for name in (changes or {}).get("finished", ()):
            if name in replayed:
                replayed.remove(name)
                continue
            for node in (changes or {}).get("nodes", {}).values():
                _tell_node(team, name, node)
            team.emit(EventKind.STEP_FINISHED, Place(name, name.partition(":")[2]), str(step))


def _tell_node(team: Team, step: str, node: Node) -> None:
    team.emit(EventKind.NODE, Place(step, node.id), node.state, state=node.state.value, name=node.spec.entry_point)


@contextmanager
def open_checkpoints(path: Path | None) -> Iterator[SqliteSaver]:
    """The checkpoint file of one run.

    Args:
        path: the SQLite file, made if it is not there; None keeps checkpoints in memory.

    Raises:
        RunError: the file cannot be opened or is not a checkpoint file.
    """
    # from blobs in the file only our own contracts may be made into objects
    allowed = [
        (module.__name__, name)
        for module in (agents_contracts, runtime_contracts)
        for name, kind in vars(module).items()
        if isinstance(kind, type) and (issubclass(kind, BaseModel) or kind.__module__ == module.__name__)
    ]
    logging.getLogger("langgraph").setLevel(logging.ERROR)
    try:
        connection = sqlite3.connect(path or ":memory:", check_same_thread=False)
    except sqlite3.Error as error:
        raise _checkpoint_error(error) from error
    try:
        saver = SqliteSaver(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=allowed))
        saver.setup()
        yield saver
    except sqlite3.Error as error:
        raise _checkpoint_error(error) from error
    finally:
        connection.close()


def _checkpoint_error(error: sqlite3.Error) -> RunError:
    """Operational errors are the machine's (full disk, no rights); the others mean that the file is damaged."""
    if isinstance(error, sqlite3.OperationalError):
        return RunError(
            f"cannot write the run's checkpoint: {error}",
            "free some disk space, or set XDG_STATE_HOME to a place that can be written",
        )
    return RunError(f"the run's checkpoints are unusable: {error}", "start the run again")
