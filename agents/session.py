"""One session of a run: opens what the run needs, works until the answer or an interruption, and closes everything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import IO

from leafwise.agents.context import check_imports, context_modules, token_counter, with_context, with_needs
from leafwise.agents.contracts import Answer, Event, EventKind, Task
from leafwise.agents.engines import Model, models_of, opened
from leafwise.agents.errors import RunError, RunInterrupted
from leafwise.agents.memory import Memory
from leafwise.agents.memory_use import Library, with_origin
from leafwise.agents.place import Place
from leafwise.agents.review import Review
from leafwise.agents.role_settings import Role
from leafwise.agents.runs import StoredRun, TraceWriter
from leafwise.agents.settings import Settings
from leafwise.agents.team import Team
from leafwise.runtime.engine import Engine
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import LeafwiseError
from leafwise.runtime.sandbox import Sandbox, open_sandbox
from leafwise.runtime.sandbox_contracts import SandboxLevel

_PLACE = Place("run")


@dataclass(frozen=True)
class Tools:
    """Engines and a sandbox: those that are given stay the caller's; those that are named are opened and closed."""

    model: Model
    options: EngineOptions
    sandbox: Sandbox | SandboxLevel | None
    models: Mapping[Role, Model] = field(default_factory=dict)
    """Of roles, in place of what the settings name."""


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
    review: Review | None = None
    more: bool = False
    """Whether the run was given more budget: then a stored answer is not the end."""

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
                engines, sandbox = self._open(stack)
                coder = engines[Role.CODER]
                settings = self.settings.for_planner(engines[Role.GENERALIST].info.parameters)
                team = Team(coder, sandbox, settings, listen, stop=stop, engines=engines)
                stack.callback(team.cancel_all)  # of a caller's engine, nothing may go on for nobody
                return self._work(team, stack)
        except LeafwiseError as error:
            if stop.is_set() and not isinstance(error, RunInterrupted):
                raise RunInterrupted("the run was stopped") from error
            if self.stored and not (self.resumed or finished_steps or isinstance(error, RunInterrupted)):
                self.stored.discard()
            raise

    def _work(self, team: Team, stack: ExitStack) -> Answer:
        # imported while engine and sandbox opened
        from leafwise.agents.checkpoints import open_checkpoints
        from leafwise.agents.workflow import run_workflow

        task, note = self._with_context(team)
        if self.memory:
            run_id = self.stored.record.id if self.stored else ""
            team.library = Library(self.memory, self.task, team.engine.info.name, run_id)
        team.emit(
            EventKind.RUN_STARTED,
            _PLACE,
            f"{team.model_name}, strategy {self.settings.strategy}, sandbox level {team.sandbox.level}",
            run=self.stored.record.id if self.stored else "",
            resumed=self.resumed,
            model=team.engine.info.model_dump(),
            models={role.value: engine.info.model_dump() for role, engine in team.engines.items()},
            sandbox=team.sandbox.level.value,
            task=task.model_dump(mode="json"),
            settings=team.settings.model_dump(),
        )
        if note:
            team.emit(EventKind.NOTE, _PLACE, note)
        checkpoints = stack.enter_context(open_checkpoints(self.stored.checkpoints if self.stored else None))
        answer = run_workflow(task, team, checkpoints, self.review, more=self.more)
        answer = answer.model_copy(update={"run": self.stored.record.id if self.stored else ""})
        answer = with_origin(with_needs(answer, task.context_roots), team.library)
        team.emit(
            EventKind.RUN_FINISHED,
            _PLACE,
            answer.statement,
            answer=answer.model_dump(mode="json"),
            engine=team.engine.meter().model_dump(),
            engines={role.value: engine.meter().model_dump() for role, engine in team.engines.items()},
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

    def _open(self, stack: ExitStack) -> tuple[Mapping[Role, Engine], Sandbox]:
        """Open engines and sandbox; both, and the import of the workflow, take their time at once."""
        models = models_of(self.settings, self.tools.model, self.tools.models)
        modules = stack.enter_context(context_modules(self.task.context_roots))
        # each in a stack of its own: what one opened is closed even if the other fails
        first, second = stack.enter_context(ExitStack()), stack.enter_context(ExitStack())
        with ThreadPoolExecutor(2) as pool:
            engines = pool.submit(first.enter_context, opened(models, self.tools.options))
            own = _opened(self.tools.sandbox, self.task.allow_imports, modules)
            sandbox = pool.submit(second.enter_context, own)
            import leafwise.agents.workflow  # noqa: F401
        return engines.result(), sandbox.result()


@contextmanager
def _opened(
    sandbox: Sandbox | SandboxLevel | None, allow_imports: Sequence[str], modules: Sequence[Path]
) -> Iterator[Sandbox]:
    if sandbox is None or isinstance(sandbox, SandboxLevel):
        with closing(open_sandbox(sandbox, allow_imports=allow_imports, modules=modules)) as own:
            yield own
    else:
        yield sandbox


def _open_to_append(path: Path) -> IO[str]:
    try:
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise RunError(f"cannot write the trace {path}: {error.strerror}", "choose another place") from error
