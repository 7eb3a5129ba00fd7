"""Traces of a measured run: what the team did for one sample, written whole, and read back for the report."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from leafwise.agents.contracts import Event, EventKind
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.runtime.contracts import Contract
from leafwise.runtime.paths import write_whole


class TracedNode(Contract):
    """A function of the problem tree."""

    id: str
    """`root`, `root.1`, ..."""
    name: str = ""
    """The function's name."""
    state: str = "open"
    """How far it came: `open`, `split`, `solved`, `failed`."""
    plan: str = ""
    """What was planned for it: its helpers, or why there are none."""


class TracedCandidate(Contract):
    """A program that was tried."""

    node: str
    """The node it solves."""
    step: str
    """The workflow step it comes from."""
    origin: str
    """The stage it comes from."""
    rule: str
    """The rule by which the code was found in the answer."""
    cut: bool
    """Whether the answer hit its token limit."""
    source: str
    """The module."""
    evidence: dict[str, Any]
    """What running it showed."""


class TracedText(Contract):
    """One answer of the model, as it was written."""

    text: str
    """The text, with the beginning that was put into the model's mouth."""
    tokens: int
    """Tokens generated."""
    ended: str
    """Why it ended: `stop`, `length`, ..."""


class TracedCall(Contract):
    """One request to the model."""

    step: str
    """The workflow step it belongs to."""
    role: str
    """As whom the model was asked."""
    prompt: str
    """The user's turn."""
    texts: tuple[TracedText, ...]
    """The answers."""


class Trace(Contract):
    """One run of the team."""

    task: str
    """What the team was asked."""
    nodes: tuple[TracedNode, ...]
    """The problem tree, in the order it grew."""
    candidates: tuple[TracedCandidate, ...]
    """What was tried, in order."""
    calls: tuple[TracedCall, ...]
    """What the model was asked and said, in order."""
    notes: tuple[str, ...] = Field(default=())
    """What else was told."""
    statement: str = ""
    """What was checked and what was not; empty if the run did not come to its end."""


def trace_path(directory: Path, arm: str, task_id: str, sample: int) -> Path:
    """Where the trace of a sample is in a run's directory."""
    return directory / "traces" / _file_name(arm) / f"{_file_name(task_id)}-{sample}.jsonl.gz"


def write_trace(path: Path, events: Iterable[Event]) -> None:
    """Write a trace, an event a line; its folder is made.

    Raises:
        BenchmarkError: it cannot be written.
    """
    lines = "".join(f"{event.model_dump_json()}\n" for event in events)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # without a time in its header, equal traces are equal files
        write_whole(path, gzip.compress(lines.encode("utf-8", "surrogatepass"), mtime=0))
    except OSError as error:
        raise BenchmarkError(f"cannot write the trace {path}: {error.strerror}", "free some disk space") from error


def read_trace(path: Path) -> Trace | None:
    """Read a trace; None if there is none.

    Raises:
        BenchmarkError: the file is damaged.
    """
    try:
        lines = gzip.decompress(path.read_bytes()).decode("utf-8", "replace").splitlines()
        events = [Event.model_validate(json.loads(line)) for line in lines if line]
        return digest(events)
    except FileNotFoundError:
        return None
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise BenchmarkError(
            f"the trace {path} is damaged: {error}", "delete it; the report says it is missing"
        ) from error


def digest(events: Iterable[Event]) -> Trace:
    """What the report shows of a run's events.

    Raises:
        KeyError, TypeError, ValidationError: an event does not hold what its kind has.
    """
    found = list(events)
    ended = [event for event in found if event.kind is EventKind.RUN_FINISHED]
    begun = [event for event in found if event.kind is EventKind.RUN_STARTED]
    return Trace(
        task=begun[0].data["task"]["statement"] if begun else "",
        nodes=_tree(found),
        candidates=tuple(_candidate(event) for event in found if event.kind is EventKind.CANDIDATE),
        calls=tuple(_call(event) for event in found if event.kind is EventKind.CALL),
        notes=tuple(f"{event.step}: {event.text}" for event in found if event.kind is EventKind.NOTE),
        statement=ended[-1].text if ended else "",
    )


def _tree(events: Iterable[Event]) -> tuple[TracedNode, ...]:
    """The problem tree as the run left it, in the order it grew."""
    nodes: dict[str, TracedNode] = {}

    def update(node_id: str, **fields: str | None) -> None:
        node = nodes.get(node_id, TracedNode(id=node_id))
        nodes[node_id] = node.model_copy(update={key: value for key, value in fields.items() if value})

    for event in events:
        match event.kind:
            case EventKind.RUN_STARTED:
                update(event.node, name=event.data["task"].get("entry_point"))
            case EventKind.PLAN:
                update(event.node, plan=event.text)
            case EventKind.NODE | EventKind.CANDIDATE:
                update(event.node, name=event.data.get("name"), state=event.data.get("state"))
            case EventKind.RUN_FINISHED:
                for node in event.data["answer"]["nodes"]:
                    update(node["id"], name=node["spec"]["entry_point"], state=node["state"])
    return tuple(nodes.values())


def _candidate(event: Event) -> TracedCandidate:
    keys = ("origin", "rule", "cut", "source", "evidence")
    return TracedCandidate(node=event.node, step=event.step, **{key: event.data[key] for key in keys})


def _call(event: Event) -> TracedCall:
    data = event.data
    texts = tuple(
        TracedText(text=data["continuation"] + one["text"], tokens=one["tokens"], ended=one["finish_reason"])
        for one in data["samples"]
    )
    return TracedCall(step=event.step, role=data["role"], prompt=data["prompt"], texts=texts)


def _file_name(name: str) -> str:
    return name.replace("/", "_")
