"""What a process or a machine that works for another one opens, and does: everything crosses as JSON text."""

from __future__ import annotations

import json
from typing import Annotated, Literal, Protocol

from pydantic import Field, TypeAdapter

from leafwise.benchmarks.contracts import Generated, Job
from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.executor_judging import JudgeSetup, JudgingStation
from leafwise.benchmarks.executor_local import CRASHES, LocalExecutor
from leafwise.benchmarks.executors import Outcome
from leafwise.runtime.contracts import Contract
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import LeafwiseError, UsageError, error_named
from leafwise.runtime.models import resolve
from leafwise.runtime.opening import is_remote
from leafwise.runtime.paths import expanded, file_sha256
from leafwise.runtime.sandbox_contracts import SandboxLevel


class GenerationSetup(Contract):
    """A station that generates."""

    kind: Literal["generate"] = "generate"
    model: str
    """A name, or a path that has to be the same everywhere."""
    engine: EngineOptions
    """How it is opened; without a server's key."""
    sandbox: SandboxLevel | None
    """The sandbox's level; None for the best that works there."""
    sandbox_workers: int | None
    """Programs that run at once; None is one per core."""
    parallel: int
    """Jobs that are done at once."""
    model_sha256: str | None
    """Of the model's file, where another machine opens it."""
    measures_energy: bool
    """Whether its energy is its own: not shared with another station."""


class Produced(Contract):
    """What a generating station gives for a job."""

    generated: Generated | None
    """The sample; None if the machinery failed."""
    error: str
    """Why there is none."""
    joules: float | None
    """See `Outcome`."""


class Failure(Contract):
    """An error, as it crosses to the process that raises it."""

    name: str
    """Its class."""
    message: str
    """What went wrong."""
    hint: str
    """What to do about it."""

    @staticmethod
    def of(error: Exception) -> Failure:
        """The error as text; one that is none of ours with its class."""
        if isinstance(error, LeafwiseError):
            return Failure(name=type(error).__name__, message=error.message, hint=error.hint)
        return Failure(name="BenchmarkError", message=f"{type(error).__name__}: {error}", hint="please report this")

    def as_error(self, where: str) -> LeafwiseError:
        """The error, to be raised; says where it happened."""
        if self.name == BenchmarkError.__name__:
            return BenchmarkError(f"{where}: {self.message}", self.hint)
        return error_named(self.name, f"{where}: {self.message}", self.hint)


class Work(Contract):
    """A unit, as it crosses to a station."""

    unit: int
    """The unit's number."""
    text: str
    """The unit, as its station reads it."""


class Report(Contract):
    """What comes back from a station: that it is open (no unit), a unit's result, or a failure."""

    unit: int | None = None
    """The unit; None for the station itself."""
    result: str | None = None
    """The unit's result."""
    lost: str = ""
    """Why the unit should be tried again."""
    failure: Failure | None = None
    """Why this station can do nothing."""


class Station(Protocol):
    """Does units of work, from several threads at once."""

    def do(self, unit: str) -> str:
        """Do one, JSON in and JSON out.

        Raises:
            LeafwiseError: one of `CRASHES`: another try may go well; any other: nothing can be done here.
        """
        ...

    def close(self) -> None:
        """Free everything."""
        ...


class GenerationStation:
    """Generates samples. See `Station`.

    Args:
        setup: what to open.

    Raises:
        LeafwiseError: it can't be opened, or the model's file is another one.
    """

    def __init__(self, setup: GenerationSetup) -> None:
        if setup.model_sha256 is not None:
            _check_model(setup.model, setup.model_sha256)
        self._measures = setup.measures_energy
        self._executor = LocalExecutor(
            setup.model, setup.engine, setup.sandbox, setup.parallel, sandbox_workers=setup.sandbox_workers
        )
        self._executor.open()

    def do(self, unit: str) -> str:
        """See `Station.do`."""
        outcome = self._executor.attempt(Job.model_validate_json(unit))
        joules = outcome.joules if self._measures else None
        return Produced(generated=outcome.generated, error=outcome.error, joules=joules).model_dump_json()

    def close(self) -> None:
        """See `Station.close`."""
        self._executor.close()


Setup = Annotated[GenerationSetup | JudgeSetup, Field(discriminator="kind")]
_SETUPS: TypeAdapter[GenerationSetup | JudgeSetup] = TypeAdapter(Setup)


def open_station(setup: str) -> Station:
    """Open what a setup says.

    Args:
        setup: its JSON.

    Raises:
        LeafwiseError: it can't be opened here.
    """
    read = _SETUPS.validate_python(json.loads(setup))
    return JudgingStation(read) if isinstance(read, JudgeSetup) else GenerationStation(read)


def report_on(station: Station, work: Work) -> Report:
    """Have a station do a unit. Whatever happens is a report: who ordered it is elsewhere and raises it there."""
    try:
        return Report(unit=work.unit, result=station.do(work.text))
    except CRASHES as error:
        return Report(unit=work.unit, lost=error.message)
    # the boundary of a process or a machine
    except Exception as error:
        return Report(unit=work.unit, failure=Failure.of(error))


def outcome_of(job: Job, text: str) -> Outcome:
    """What a generating station said about a job."""
    said = Produced.model_validate_json(text)
    return Outcome(job, said.generated, said.error, said.joules)


def lasting_model(model: str, where: str) -> str:
    """A model's name as another process or machine finds it: a path is made absolute.

    Args:
        model: as the user named it.
        where: what asks, for the error.

    Raises:
        UsageError: it is a server.
        ModelError: it is not here.
    """
    if is_remote(model):
        raise UsageError(f"{where} and a model behind a URL do not go together", "raise --parallel instead")
    path = resolve(model).path
    return str(path.absolute()) if expanded(model).is_file() else model


def _check_model(model: str, sha256: str) -> None:
    path = resolve(model).path
    found = file_sha256(path)
    if found != sha256:
        raise BenchmarkError(
            f"the model {model} is another file here: SHA-256 {found[:12]}..., expected {sha256[:12]}...",
            f"copy the same file to {path}",
        )
