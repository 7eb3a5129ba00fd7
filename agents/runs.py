"""Stored runs: one folder each, with what was asked for, the checkpoints, and the trace."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import IO, Literal

from pydantic import ValidationError

from leafwise.agents.contracts import Answer, Event, EventKind, Task
from leafwise.agents.errors import RunError
from leafwise.agents.settings import Settings
from leafwise.runtime.contracts import Contract
from leafwise.runtime.paths import state_dir, write_whole


class RunRecord(Contract):
    """What a run was started with: enough to go on with it."""

    id: str
    """The run's name, for example `20261124-101530-3fa2`."""
    task: Task
    """What was asked for."""
    settings: Settings
    """The team's knobs."""
    model: str
    """The model of roles that name none, as it was named."""
    reviewed: bool = False
    """Whether somebody is asked about plans."""
    memory: str = ""
    """The memory file, absolute; empty without one."""


RunState = Literal["passed", "failed", "unchecked", "unfinished", "unreadable"]


class RunSummary(Contract):
    """A stored run in a line."""

    id: str
    """The run's name."""
    state: RunState
    """How it ended, if it did; unreadable if another version of leafwise stored it."""
    task: str
    """The first line of what was asked for."""
    worked_on: float
    """When something was last written, in seconds since 1970."""
    bytes: int
    """Its size on disk."""


class StoredRun:
    """The folder of one run.

    Args:
        folder: the folder; its name is the run's id.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.id = folder, folder.name

    @cached_property
    def record(self) -> RunRecord:
        """What it was started with.

        Raises:
            RunError: it cannot be read.
        """
        try:
            return RunRecord.model_validate_json((self.folder / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(
                f"run {self.id} cannot be read", "it was stored by another version; start it again"
            ) from error

    def keep(self, record: RunRecord) -> None:
        """Store a record in place of the one there is.

        Raises:
            RunError: it cannot be written; the one there is stays.
        """
        try:
            write_whole(self.folder / "run.json", record.model_dump_json(indent=1).encode())
        except OSError as error:
            raise RunError(f"cannot store the run: {error}", "free some disk space") from error
        self.record = record

    @property
    def checkpoints(self) -> Path:
        """The SQLite file of the workflow's checkpoints."""
        return self.folder / "checkpoints.sqlite"

    @property
    def trace(self) -> Path:
        """The trace: one JSON event per line, all sessions of the run after each other."""
        return self.folder / "trace.jsonl"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run, so that no second process works on it.

        Raises:
            RunError: another process holds it.
        """
        try:
            file = (self.folder / "lock").open("w")
        except OSError as error:
            raise RunError(f"cannot lock the run: {error}", "free some disk space") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunError(f"run {self.id} is being worked on by another process", "wait for it") from error
            yield

    def events(self) -> Iterator[Event]:
        """What the trace tells, in order; a line that was not written whole is left out."""
        for line in self._trace_lines():
            with suppress(ValidationError):
                yield Event.model_validate_json(line)

    def summary(self) -> RunSummary:
        """The run in a line."""
        stats = [stat for path in self.folder.glob("*") if (stat := _stat(path))]
        answer = self.answer()
        try:
            task = self.record.task.statement.strip().partition("\n")[0]
            state: RunState = answer.status.value if answer else "unfinished"
        except RunError:
            task, state = "", "unreadable"
        return RunSummary(
            id=self.id,
            state=state,
            task=task,
            worked_on=max((stat.st_mtime for stat in stats), default=0.0),
            bytes=sum(stat.st_size for stat in stats),
        )

    def answer(self) -> Answer | None:
        """The answer that the trace tells of last; None before there is one."""
        for line in reversed(self._trace_lines()):
            with suppress(ValidationError, KeyError):
                if f'"{EventKind.RUN_FINISHED}"' in line:  # parsing all would take long
                    return Answer.model_validate(Event.model_validate_json(line).data["answer"])
        return None

    def _trace_lines(self) -> list[str]:
        try:
            return self.trace.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def discard(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def runs_folder() -> Path:
    """Where runs are kept.

    Raises:
        RunError: it cannot be made.
    """
    folder = state_dir() / "runs"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make the folder of runs: {error}", "free some disk space") from error
    return folder


def create_run(task: Task, settings: Settings, model: str, memory: str = "", *, reviewed: bool = False) -> StoredRun:
    """Make the folder of a new run.

    Args:
        task: see `RunRecord`.
        settings: see `RunRecord`.
        model: see `RunRecord`.
        memory: see `RunRecord`.
        reviewed: see `RunRecord`.

    Raises:
        RunError: it cannot be written; nothing is left behind.
    """
    run_id = f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    record = RunRecord(id=run_id, task=task, settings=settings, model=model, memory=memory, reviewed=reviewed)
    folder = runs_folder() / run_id
    try:
        folder.mkdir(mode=0o700)
        (folder / "run.json").write_text(record.model_dump_json(indent=1), encoding="utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise RunError(f"cannot store the run: {error}", "free some disk space, or set XDG_STATE_HOME") from error
    return StoredRun(folder)


def stored_runs() -> list[StoredRun]:
    """All runs there are, the oldest first.

    Raises:
        RunError: see `runs_folder`.
    """
    return [StoredRun(path.parent) for path in sorted(runs_folder().glob("*/run.json"))]


def load_run(run_id: str) -> StoredRun:
    """Find a stored run and read what it was started with.

    Args:
        run_id: see `find_run`.

    Raises:
        RunError: see `find_run`, or its record is unreadable.
    """
    run = find_run(run_id)
    _ = run.record
    return run


def find_run(run_id: str) -> StoredRun:
    """Find a stored run, readable or not.

    Args:
        run_id: its id, a unique beginning of it, or `last`.

    Raises:
        RunError: there is none, or there are several.
    """
    ids = [run.id for run in stored_runs()]
    found = (
        ids[-1:] if run_id == "last" else [i for i in ids if i == run_id] or [i for i in ids if i.startswith(run_id)]
    )
    if len(found) != 1 or not run_id:
        known = f"the newest are {', '.join(ids[-3:])}" if ids else "no run is stored yet"
        problem = f"{len(found)} runs begin with {run_id!r}" if found else f"there is no run {run_id!r}"
        raise RunError(problem, known)
    return StoredRun(runs_folder() / found[0])


def _stat(path: Path) -> os.stat_result | None:
    """Of a file that may be gone by now: SQLite's journals come and go."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


class TraceWriter:
    """Appends events to files, one JSON object per line, each line written at once.

    Args:
        files: open text files; they are not closed here.
    """

    def __init__(self, *files: IO[str]) -> None:
        self._files = files

    def write(self, event: Event) -> None:
        """Write an event; `TOKENS` events are only for live views and are left out.

        Raises:
            RunError: it cannot be written.
        """
        if event.kind is EventKind.TOKENS:
            return
        line = json.dumps(event.model_dump(mode="json")) + "\n"
        for file in self._files:
            try:
                file.write(line)
                file.flush()
            except OSError as error:
                raise RunError(f"cannot write the trace: {error}", "free some disk space") from error
