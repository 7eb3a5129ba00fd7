"""One session of a run: opens what the run needs, works until the answer or an interruption, and closes everything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import IO

from leafwise.agents.context import check_imports, context_modules, token_counter, with_context, with_needs
from leafwise.agents.contracts import Answer, Event, EventKind, Task
from leafwise.agents.errors import RunError, RunInterrupted
from leafwise.agents.memory import Memory
from leafwise.agents.memory_use import Library, with_origin
from leafwise.agents.runs import StoredRun, TraceWriter
from leafwise.agents.settings import Settings
from leafwise.agents.team import Place, Team
from leafwise.runtime.engine import Engine
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import LeafwiseError
from leafwise.runtime.opening import open_engine
from leafwise.runtime.sandbox import Sandbox, open_sandbox
from leafwise.runtime.sandbox_contracts import SandboxLevel

_PLACE = Place("run")


@dataclass(frozen=True)
class Tools:
    """An engine and a sandbox: those that are given stay the caller's; those that are named are opened and closed."""

    model: str | Engine
    options: EngineOptions
    sandbox: Sandbox | SandboxLevel | None


@dataclass(frozen=True)
class Session:
    """What to work on, and with what."""

    task: Task
    settings: Settings
    tools: Tools
    stored: StoredRun | None
    trace: Path | None
    memory: Memory | None = None
    _: KW_ONLY
    resumed: bool

    def run(self, listener: Callable[[Event], None], stop: threading.Event) -> Answer:
        """Work until the answer.

        Args:
            listener: gets every event.
            stop: ends the session early when set.

        Raises:
            RunInterrupted: `stop` was set; what was finished is stored.
            LeafwiseError: the machinery failed. A new run that had finished nothing is not left behind.
        """
        finished_steps = 0

        def listen(event: Event) -> None:
            nonlocal finished_steps
            finished_steps += event.kind is EventKind.STEP_FINISHED
            writer.write(event)
            listener(event)

        try:
            with ExitStack() as stack:
                if self.stored:
                    stack.enter_context(self.stored.locked())
                writer = self._open_trace(stack)
                engine, sandbox = self._open(stack)
                team = Team(engine, sandbox, self.settings, listen, stop=stop)
                stack.callback(team.cancel_all)  # of a caller's engine, nothing may go on for nobody
                return self._work(team, stack)
        except LeafwiseError as error:
            if stop.is_set() and not isinstance(error, RunInterrupted):
                raise RunInterrupted("the run was stopped") from error
            if self.stored and not (self.resumed or finished_steps or isinstance(error, RunInterrupted)):
                self.stored.discard()
            raise

    def _work(self, team: Team, stack: ExitStack) -> Answer:
        from leafwise.agents.workflow import open_checkpoints, run_workflow  # imported while engine and sandbox opened

        task, note = self._with_context(team)
        if self.memory:
            run_id = self.stored.record.id if self.stored else ""
            team.library = Library(self.memory, self.task, team.engine.info.name, run_id)
        team.emit(
            EventKind.RUN_STARTED,
            _PLACE,
            f"{team.engine.info.name}, strategy {self.settings.strategy}, sandbox level {team.sandbox.level}",
            run=self.stored.record.id if self.stored else "",
            resumed=self.resumed,
            model=team.engine.info.model_dump(),
            sandbox=team.sandbox.level.value,
            task=task.model_dump(mode="json"),
            settings=self.settings.model_dump(),
        )
        if note:
            team.emit(EventKind.NOTE, _PLACE, note)
        checkpoints = stack.enter_context(open_checkpoints(self.stored.checkpoints if self.stored else None))
        answer = run_workflow(task, team, checkpoints)
        answer = answer.model_copy(update={"run": self.stored.record.id if self.stored else ""})
        answer = with_origin(with_needs(answer, task.context_roots), team.library)
        team.emit(
            EventKind.RUN_FINISHED,
            _PLACE,
            answer.statement,
            answer=answer.model_dump(mode="json"),
            engine=team.engine.meter().model_dump(),
        )
        return answer

    def _with_context(self, team: Team) -> tuple[Task, str]:
        """The task with what prompts say of its context files, and a line about that for people."""
        if not self.task.context_roots:
            return self.task, ""
        task, packed = with_context(self.task, self.settings.context_tokens, token_counter(team.engine))
        check_imports(packed.documents, team.sandbox)
        return task, packed.note

    def _open_trace(self, stack: ExitStack) -> TraceWriter:
        paths = [path for path in (self.stored.trace if self.stored else None, self.trace) if path is not None]
        return TraceWriter(*(stack.enter_context(_open_to_append(path)) for path in paths))

    def _open(self, stack: ExitStack) -> tuple[Engine, Sandbox]:
        """Open engine and sandbox; both, and the import of the workflow, take their time at once."""
        modules = stack.enter_context(context_modules(self.task.context_roots))
        with ThreadPoolExecutor(2) as pool:
            opening_engine = pool.submit(_engine, self.tools.model, self.tools.options)
            opening_sandbox = pool.submit(_sandbox, self.tools.sandbox, self.task.allow_imports, modules)
            import leafwise.agents.workflow  # noqa: F401
        error = opening_engine.exception() or opening_sandbox.exception()
        if error is None:
            return stack.enter_context(opening_engine.result()), stack.enter_context(opening_sandbox.result())
        for opened in (opening_engine, opening_sandbox):
            if opened.exception() is None:
                opened.result().__exit__(None, None, None)
        raise error


def _engine(model: str | Engine, options: EngineOptions) -> AbstractContextManager[Engine]:
    return closing(open_engine(model, options)) if isinstance(model, str) else nullcontext(model)


def _sandbox(
    sandbox: Sandbox | SandboxLevel | None, allow_imports: Sequence[str], modules: Sequence[Path]
) -> AbstractContextManager[Sandbox]:
    if sandbox is None or isinstance(sandbox, SandboxLevel):
        return closing(open_sandbox(sandbox, allow_imports=allow_imports, modules=modules))
    return nullcontext(sandbox)


def _open_to_append(path: Path) -> IO[str]:
    try:
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot write the trace {path}: {error.strerror}", "choose another place") from error
