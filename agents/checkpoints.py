"""The checkpoints of a run: an SQLite file that LangGraph writes after each step, opened and read."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from pydantic import BaseModel

from leafwise.agents import contracts as agents_contracts
from leafwise.agents import written
from leafwise.agents.errors import RunError
from leafwise.agents.state import State, initial_state
from leafwise.runtime import contracts as runtime_contracts
from leafwise.runtime import sandbox_contracts

THREAD: dict[str, Any] = {"thread_id": "run"}
"""What LangGraph keeps a run under: there is one in each file."""


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
        for module in (agents_contracts, written, runtime_contracts, sandbox_contracts)
        for name, kind in vars(module).items()
        if isinstance(kind, type) and (issubclass(kind, BaseModel) or kind.__module__ == module.__name__)
    ]
    logging.getLogger("langgraph").setLevel(logging.ERROR)
    try:
        connection = sqlite3.connect(path or ":memory:", check_same_thread=False)
    except sqlite3.Error as error:
        raise checkpoint_error(error) from error
    try:
        saver = SqliteSaver(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=allowed))
        saver.setup()
        yield saver
    except sqlite3.Error as error:
        raise checkpoint_error(error) from error
    finally:
        connection.close()


def checkpoint_error(error: sqlite3.Error) -> RunError:
    """Operational errors are the machine's (full disk, no rights); the others mean that the file is damaged."""
    if isinstance(error, sqlite3.OperationalError):
        return RunError(
            f"cannot write the run's checkpoint: {error}",
            "free some disk space, or set XDG_STATE_HOME to a place that can be written",
        )
    return RunError(f"the run's checkpoints are unusable: {error}", "start the run again")


def whole(state: State) -> State:
    """A state with every field: one that was stored by a version before may lack some."""
    return cast(State, {**initial_state(state["task"]), **state})


def stored_state(path: Path) -> State | None:
    """What a stored run knew when its last checkpoint was written; None if it has none.

    Args:
        path: the checkpoint file.

    Raises:
        RunError: see `open_checkpoints`.
    """
    if not path.exists():
        return None
    with open_checkpoints(path) as saver:
        found = saver.get_tuple({"configurable": THREAD})
    values = found.checkpoint["channel_values"] if found else {}
    return whole(cast(State, values)) if "task" in values else None
