"""`solve`: a task in, an answer out. The same run for the command line, for scripts, and for asyncio programs."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict, Unpack

from leafwise.agents.context_files import read_context
from leafwise.agents.contracts import Answer, Event, Task
from leafwise.agents.engines import Model, lasting, lasting_name
from leafwise.agents.memory import Memory, open_memory
from leafwise.agents.reading import find_name, find_signature, read_task
from leafwise.agents.review import Review
from leafwise.agents.role_settings import Role
from leafwise.agents.runs import StoredRun, create_run, load_run
from leafwise.agents.session import Session, Tools
from leafwise.agents.settings import Settings
from leafwise.agents.team_file import read_team_file
from leafwise.agents.tests_file import read_tests_file
from leafwise.runtime.engine import Engine
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import UsageError
from leafwise.runtime.handle import Handle
from leafwise.runtime.models import DEFAULT_MODEL
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, SandboxLevel
from leafwise.runtime.sandbox_imports import resolve_imports


class Run(Handle[Event, Answer]):
    """A run in flight: events as they happen, the answer in the end.

    After `cancel`, `result()` raises `RunInterrupted` (unless the answer was there already); a stored run can be
    resumed.

    Args:
        stored: where the run is kept, if it is.
    """

    def __init__(self, stored: StoredRun | None) -> None:
        super().__init__()
        self.id = stored.record.id if stored else ""
        """The run's id for `resume`; empty if the run is not stored."""


class Options(TypedDict, total=False):
    """How `start`, `solve` and `asolve` can be told more."""

    model: str | Engine
    """A name, a path, a URL, or an engine, which stays the caller's and open. By default the embedded model."""
    models: Mapping[Role, str | Engine]
    """Models of roles, in place of `model` and of those that the settings name."""
    config: str | Path
    """The team's TOML file (see `agents.team_file`), which has the settings, and the model if it names one."""
    engine: EngineOptions
    """How to open the engine of a model that is named."""
    settings: Settings
    """The team's knobs."""
    examples: Sequence[str]
    """Further visible examples, such as `f(2) == 4`."""
    tests: str | Path | None
    """A Python file of checks that the answer has to pass; the model may see them."""
    allow_imports: Sequence[str]
    """Installed packages that the answer may import beside the standard library. A sandbox of the caller's has to allow
    them by itself.
    """
    context: Sequence[str | Path]
    """Python files, and folders of such, whose functions the answer may import. A sandbox of the caller's has to show
    them by itself.
    """
    memory: str | Path | None
    """A file of verified functions, made if it is not there: known functions become candidates, which have to pass this
    task's examples like any other; what this run verifies is kept. Only for the strategies paper and guided.
    """
    sandbox: Sandbox | SandboxLevel | None
    """A sandbox, which stays the caller's; a level; or None for the best that this machine has."""
    store: bool
    """Keep the run on disk, so that it can be resumed; false if not given."""
    review: Review | None
    """Is asked, in the run's thread, with which helpers to go on after each plan. A stored run asks again when it is
    resumed before the answer.
    """
    trace: Path | None
    """Also append every event to this file, one JSON object per line."""


def start(task: str | Task, **options: Unpack[Options]) -> Run:
    """Start a run in the background.

    Args:
        task: what to write: prose, or Python with a signature and a docstring, or a `Task` that was read before.
        **options: see `Options`.

    Raises:
        TaskError: the task, an example or the tests file is not usable.
        TeamFileError, PromptError: the team's file is not usable.
        RunError: the run cannot be stored.
        MemoryFileError: the memory file is unusable.
        UsageError: the strategy has no use for a memory.
    """
    _check(options)
    if not isinstance(task, Task):
        more = options.get("tests"), options.get("allow_imports", ()), options.get("context", ())
        task = read_inputs(task, options.get("examples", ()), *more)
    settings, model = _team(options)
    name = lasting_name(model) if isinstance(model, str) else model.info.name
    memory, review = _memory(options.get("memory"), settings), options.get("review")
    stored = None
    if options.get("store"):
        where = str(memory.path) if memory else ""
        stored = create_run(task, lasting(settings), name, where, reviewed=review is not None)
    tools = Tools(model, options.get("engine") or EngineOptions(), options.get("sandbox"), options.get("models") or {})
    return _launch(Session(task, settings, tools, stored, options.get("trace"), memory, resumed=False, review=review))


def resume(
    run: str,
    *,
    model: str | Engine | None = None,
    models: Mapping[Role, str | Engine] | None = None,
    engine: EngineOptions | None = None,
    sandbox: Sandbox | SandboxLevel | None = None,
    review: Review | None = None,
    trace: Path | None = None,
    max_tokens: int | None = None,
    time_limit: float | None = None,
) -> Run:
    """Go on with a stored run: finished steps are not repeated; a finished run gives its answer again.

    With a larger budget a run that a budget ended goes on from where it stood, and keeps all its candidates.

    Args:
        run: its id, a unique beginning of it, or `last`.
        model: as in `Options`; None takes the run's own.
        models: as in `Options`.
        engine: as in `Options`.
        sandbox: as in `Options`.
        review: as in `Options`; without it, plans are carried out as they are, whatever the run had before.
        trace: as in `Options`.
        max_tokens: most tokens of the whole run from now on, those that are spent included; None keeps its budget.
        time_limit: most seconds of the whole run from now on, likewise.

    Raises:
        RunError: there is no such run, or it is unusable; or more budget was given where it would change nothing.
        MemoryFileError: its memory file is unusable.
    """
    stored = load_run(run)
    more = max_tokens is not None or time_limit is not None
    if more:
        _give(stored, max_tokens, time_limit)
    record = stored.record
    tools = Tools(model or record.model, engine or EngineOptions(), sandbox, models or {})
    memory = open_memory(record.memory) if record.memory else None
    session = Session(
        record.task, record.settings, tools, stored, trace, memory, resumed=True, review=review, more=more
    )
    return _launch(session)


def solve(task: str | Task, **options: Unpack[Options]) -> Answer:
    """Solve a task and wait for the answer. A program that fails is an answer with that status, never an error.

    Args:
        task: as for `start`.
        **options: see `Options`.

    Raises:
        TaskError, RunError: as for `start`.
        ModelError, EngineError, SandboxError: the machinery failed.
    """
    return start(task, **options).result()


async def asolve(task: str | Task, **options: Unpack[Options]) -> Answer:
    """`solve` for asyncio; cancelling the awaiting task stops the run."""
    return await start(task, **options)


def read_inputs(
    task: str,
    examples: Sequence[str] = (),
    tests: str | Path | None = None,
    allow_imports: Sequence[str] = (),
    context: Sequence[str | Path] = (),
) -> Task:
    """Read a task from what a user gives.

    Args:
        task: the statement.
        examples: as in `Options`.
        tests: as in `Options`.
        allow_imports: as in `Options`.
        context: as in `Options`.

    Raises:
        TaskError: the task is empty, an example cannot be read, or the tests file or a context file is unusable.
        UsageError: a package is not installed, or a context file can't be imported under its name.
    """
    resolve_imports(allow_imports)
    roots = read_context(context)
    checks: tuple[str, tuple[Check, ...]] = ("", ())
    if tests is not None:
        signature = find_signature(task)
        entry_point = signature[0] if signature else find_name(task)
        checks = read_tests_file(Path(tests), entry_point, [*allow_imports, *(root.module for root in roots)])
    return read_task(task, examples, checks, allow_imports).model_copy(update={"context_roots": roots})


def _check(options: Options) -> None:
    """Refuse what a type checker would: a misspelt option that is ignored would change what was asked for.

    Raises:
        TypeError: an option is unknown or of a wrong type.
    """
    if unknown := options.keys() - Options.__annotations__.keys():
        known = ", ".join(Options.__annotations__)
        raise TypeError(f"unknown option {', '.join(sorted(unknown))}; there are {known}, and Settings has the knobs")
    for name, what in (("examples", "text"), ("allow_imports", "name"), ("context", "path")):
        if isinstance(options.get(name), str | Path):
            raise TypeError(f"{name} is a sequence of {what}s, not one {'text' if what == 'name' else what}")
    if "config" in options and "settings" in options:
        raise TypeError("config has the settings: give one of the two")
    if unknown_roles := [role for role in options.get("models") or {} if role not in list(Role)]:
        raise TypeError(f"models has no role {unknown_roles[0]}; there are {', '.join(Role)}")
    if not isinstance(options.get("settings", Settings()), Settings):
        raise TypeError("settings is a Settings object")
    if isinstance(options.get("sandbox"), str) and not isinstance(options.get("sandbox"), SandboxLevel):
        raise TypeError("sandbox is a SandboxLevel or a Sandbox")


def _team(options: Options) -> tuple[Settings, Model]:
    """The settings, and the model of roles that name none."""
    if "config" not in options:
        return options.get("settings") or Settings(), options.get("model", DEFAULT_MODEL)
    file = read_team_file(options["config"])
    return file.settings, options.get("model") or file.model or DEFAULT_MODEL


def _memory(path: str | Path | None, settings: Settings) -> Memory | None:
    if path is None:
        return None
    if settings.strategy not in ("paper", "guided"):
        raise UsageError(f"the strategy {settings.strategy} has no use for a memory", "choose guided or paper")
    return open_memory(path)


def _give(run: StoredRun, max_tokens: int | None, time_limit: float | None) -> None:
    """Store a larger budget with a run, so that it holds however often the run is gone on with."""
    from leafwise.agents.budget import with_budget  # brings LangGraph, which takes its time

    with run.locked():
        settings = with_budget(run, max_tokens, time_limit)
        run.keep(run.record.model_copy(update={"settings": settings}))


def _launch(session: Session) -> Run:
    run = Run(session.stored)

    def work() -> None:
        try:
            run.finish(session.run(run.push, run.cancel_event))
        # the thread's boundary: whoever waits for the run must hear of whatever happened
        except Exception as error:
            run.finish(error)

    # a daemon, so that a program that ends does not wait for a run that nobody waits for
    threading.Thread(target=work, name="leafwise-run", daemon=True).start()
    return run
