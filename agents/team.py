"""The team at work: the engine, the sandbox, the budget, and who listens. One `Team` serves one session of one run."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from leafwise.agents.checking import LIMITS, examine
from leafwise.agents.contracts import EndedBy, Event, EventKind, Evidence, Failure, Spec, Spent
from leafwise.agents.diagnosis import diagnose
from leafwise.agents.errors import RunInterrupted
from leafwise.agents.place import Place
from leafwise.agents.prompting import PromptSet
from leafwise.agents.role_settings import Role, role_of
from leafwise.agents.settings import Settings
from leafwise.runtime.contracts import Completion, Message, Request
from leafwise.runtime.engine import Engine, Generation
from leafwise.runtime.errors import ContextOverflowError, EngineClosedError
from leafwise.runtime.sandbox import Sandbox
from leafwise.runtime.sandbox_contracts import Check, Limits

if TYPE_CHECKING:
    from leafwise.agents.memory_use import Library

SHORTEST_ANSWER = 16
"""Tokens below which an answer is not worth asking for."""


@dataclass
class Team:
    """What the steps of the workflow work with. Safe to use from several threads."""

    engine: Engine
    """Runs the model of every role that `engines` does not have."""
    sandbox: Sandbox
    """Runs the programs."""
    settings: Settings
    """The knobs."""
    listener: Callable[[Event], None]
    """Gets every event, from whichever thread it happens in."""
    spent: Spent = field(default_factory=Spent)
    """What the run had used when the session began; grows as it goes."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set by the caller to stop the run; finished steps are kept."""
    engines: Mapping[Role, Engine] = field(default_factory=dict)
    """Engines of the roles that have one of their own."""
    library: Library | None = None
    """Verified functions of earlier runs, if the user gave a memory file."""
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _in_flight: dict[Generation, int] = field(default_factory=dict)
    _must_fit: set[Generation] = field(default_factory=set)
    _started: float = field(default_factory=time.monotonic)
    _paused_seconds: float = 0.0
    _paused_since: float | None = None
    _prompts: dict[Role, PromptSet] = field(init=False)

    def __post_init__(self) -> None:
        self._prompts = {role: PromptSet(self.settings.of(role).prompts) for role in Role}

    # the budget

    @property
    def tokens_left(self) -> int:
        """Tokens that may still be generated; what requests in flight may take is not left."""
        promised = sum(self._in_flight.values())
        return max(0, self.settings.max_tokens - self.spent.completion_tokens - promised)

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the run may still take; None without a limit."""
        if self.settings.time_limit is None:
            return None
        return max(0.0, self.settings.time_limit - self.spent.seconds - self.seconds)

    @property
    def seconds(self) -> float:
        """Seconds since the session began; those of `paused` do not count."""
        now = time.monotonic() if self._paused_since is None else self._paused_since
        return now - self._started - self._paused_seconds

    @property
    def ended_by(self) -> EndedBy:
        """Which budget is spent: `tokens`, `time`, or `done` if none is."""
        if self.seconds_left == 0.0:
            return "time"
        return "tokens" if self.tokens_left < SHORTEST_ANSWER else "done"

    def total_spent(self) -> Spent:
        """What the run has used, this session's time included."""
        return self.spent + Spent(seconds=self.seconds)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """While somebody is asked, the clock stands still. Not while a request is in flight, and not nested."""
        self._paused_since = time.monotonic()
        try:
            yield
        finally:
            self._paused_seconds += time.monotonic() - self._paused_since
            self._paused_since = None

    # events

    def emit(self, kind: EventKind, place: Place, text: str = "", **data: Any) -> None:
        """Tell the listener something."""
        self.listener(Event(kind=kind, step=place.step, node=place.node, seconds=self.seconds, text=text, data=data))

    # the roles

    def engine_of(self, role: Role) -> Engine:
        """The engine that runs a role's model."""
        return self.engines.get(role, self.engine)

    @property
    def model_name(self) -> str:
        """The model's name, as answers tell it; roles that have another model are named."""
        main = self.engine.info.name
        others = [f"{role} {engine.info.name}" for role, engine in self.engines.items() if engine is not self.engine]
        return f"{main} ({', '.join(others)})" if others else main

    def prompts(self, role: Role) -> PromptSet:
        """The prompts of a role."""
        return self._prompts[role]

    # the model

    def ask(
        self,
        place: Place,
        role: str,
        prompt: str,
        *,
        continuation: str = "",
        n: int = 1,
        max_tokens: int | None = None,
        greedy: bool = False,
        stop: tuple[str, ...] = (),
        must_fit: bool = False,
        lookup: bool = False,
    ) -> Generation | None:
        """Ask the model, in one request of n samples; returns at once.

        Args:
            place: who asks.
            role: as whom: a role's name, and after a dash what tells its requests apart, for the trace and the seed.
            prompt: the user's turn.
            continuation: the beginning of the answer, put into the model's mouth.
            n: samples; fewer where the budget ends, and one where all would be equal.
            max_tokens: per sample, unless the role's settings say (of a coder's, the smaller); by default the team's
                `answer_tokens`. Less where the budget ends.
            greedy: most likely tokens instead of sampling.
            stop: strings that end a sample.
            lookup: see `Request.lookup`.
            must_fit: a prompt that exceeds the context is an error; otherwise it is noted and not asked.

        Returns:
            The request in flight, for `receive`; None if the budget has nothing left for it, or it does not fit.

        Raises:
            ContextOverflowError: `must_fit` is set and the prompt does not fit.
        """
        settings, who = self.settings, role_of(role)
        own = settings.of(who).max_tokens
        limit = min(own, max_tokens) if own and max_tokens and who is Role.CODER else own or max_tokens
        most = limit or settings.answer_tokens
        with self._lock:
            wanted = n if settings.varies(who) else 1
            n = min(wanted, self.tokens_left // SHORTEST_ANSWER)
            if n == 0 or self.seconds_left == 0.0:
                return None
            request = Request(
                messages=(Message(role="user", content=prompt),),
                continuation=continuation,
                sampling=settings.sampling(who, greedy=greedy),
                n=n,
                max_tokens=min(most, self.tokens_left // n),
                stop=stop,
                seed=zlib.crc32(f"{settings.seed}/{place.step}/{role}".encode()),
                deadline=self.seconds_left,
                logprobs=True,
                lookup=lookup,
            )
            try:
                generation = self.engine_of(who).submit(request)
            except ContextOverflowError as error:
                if must_fit:
                    raise
                self.emit(EventKind.NOTE, place, f"{role} not asked: {error.message}")
                return None
            self._in_flight[generation] = n * request.max_tokens
            if must_fit:
                self._must_fit.add(generation)
            return generation

    def receive(self, place: Place, role: str, generation: Generation | None) -> Completion | None:
        """Wait for a request, telling the listener how it grows; None stays None.

        Raises:
            RunInterrupted: the run was stopped while waiting; the request is cancelled.
            EngineError: the engine failed; of a prompt that does not fit, only where it was asked with `must_fit`.
        """
        if generation is None:
            return None
        try:
            completion = self._wait(place, generation)
        except ContextOverflowError as error:  # of a server, which counts only then
            with self._lock:
                self._in_flight.pop(generation, None)
            if generation in self._must_fit:
                raise
            self.emit(EventKind.NOTE, place, f"{role} not asked: {error.message}")
            return None
        request, usage = generation.request, completion.usage
        with self._lock:
            self._in_flight.pop(generation, None)
            self.spent += Spent(
                calls=1,
                prompt_tokens=usage.prompt_tokens,
                cached_tokens=usage.cached_tokens,
                completion_tokens=usage.completion_tokens,
            )
        self.emit(
            EventKind.CALL,
            place,
            f"{role}: {usage.completion_tokens} tokens in {usage.seconds:.1f} s",
            request=id(generation),
            role=role,
            prompt=request.messages[0].content,
            continuation=request.continuation,
            sampling=request.sampling.model_dump(),
            seed=request.seed,
            samples=[s.model_dump(mode="json") for s in completion.samples],
            usage=usage.model_dump(),
        )
        return completion

    def cancel_all(self) -> None:
        """Cancel every request in flight."""
        with self._lock:
            for generation in self._in_flight:
                generation.cancel()

    def _wait(self, place: Place, generation: Generation) -> Completion:
        while True:
            try:
                completion = generation.result(timeout=0.1)
            except TimeoutError:
                if self.stop.is_set():
                    self.cancel_all()
                counts = {piece.sample: piece.tokens for piece in generation.items}
                self.emit(EventKind.TOKENS, place, request=id(generation), tokens=sum(counts.values()))
            except EngineClosedError as error:
                raise (RunInterrupted("the run was stopped") if self.stop.is_set() else error) from error
            else:
                self._refuse_if_stopped()
                return completion

    def _refuse_if_stopped(self) -> None:
        if self.stop.is_set():
            raise RunInterrupted("the run was stopped")

    # the sandbox

    def examine(self, source: str, spec: Spec, checks: tuple[Check, ...], inputs: tuple[str, ...]) -> Evidence:
        """Run a candidate (see `checking.examine`).

        Raises:
            RunInterrupted: the run was stopped.
            SandboxError: the sandbox failed.
        """
        with self._program() as limits:
            return examine(source, spec, self.sandbox, checks=checks, inputs=inputs, limits=limits, cancel=self.stop)

    def diagnose(self, source: str, spec: Spec, checks: tuple[Check, ...] = ()) -> Failure | None:
        """How a candidate fails (see `diagnosis.diagnose`).

        Raises:
            RunInterrupted: the run was stopped.
            SandboxError: the sandbox failed.
        """
        with self._program() as limits:
            return diagnose(source, spec, self.sandbox, checks, limits, self.stop)

    @contextmanager
    def _program(self) -> Iterator[Limits]:
        """One program: its limits, which the run's own time may cut short, and its place in the books."""
        self._refuse_if_stopped()
        left = self.seconds_left
        wall = LIMITS.wall_seconds if left is None else min(LIMITS.wall_seconds, max(1.0, left))
        yield LIMITS.model_copy(update={"wall_seconds": wall})
        self._refuse_if_stopped()
        with self._lock:
            self.spent += Spent(programs=1)
