"""One generation on a server: n requests, ended by themselves, by a deadline or by a cancel."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Any

from leafwise.runtime.contracts import Completion, FinishReason, Request, Usage
from leafwise.runtime.engine import Generation
from leafwise.runtime.errors import ContextOverflowError, EngineError
from leafwise.runtime.remote_answer import Draft
from leafwise.runtime.remote_dialect import Plan
from leafwise.runtime.remote_errors import LONGER, RefusedError
from leafwise.runtime.remote_server import Connection

log = logging.getLogger(__name__)


class RemoteGeneration(Generation):
    """A generation whose cancelling wakes the task that works on it.

    Args:
        request: what was asked.
        soon: calls a function in the loop's thread.
    """

    def __init__(self, request: Request, soon: Callable[[Callable[[], object]], object]) -> None:
        super().__init__(request)
        self.cancelling = asyncio.Event()
        """Set, in the loop's thread, after `cancel`."""
        self._soon = soon

    def cancel(self) -> None:
        """See `Handle.cancel`."""
        super().cancel()
        with contextlib.suppress(RuntimeError):  # the loop is closed: so is the engine, and this has ended
            self._soon(self.cancelling.set)


class Job:
    """The work on one generation.

    Args:
        connection: to the server.
        generation: gets pieces as they come.
        submitted: when it was submitted (`time.monotonic`).
    """

    def __init__(self, connection: Connection, generation: RemoteGeneration, submitted: float) -> None:
        self._connection = connection
        self._generation = generation
        self._request = generation.request
        self._submitted = submitted
        self._drafts = [Draft(generation, index, connection.wire.secrets) for index in range(self._request.n)]
        self._prompt_tokens: int | None = None

    async def run(self) -> Completion:
        """Answer the request. A cancel or the deadline closes its connections, so that the server stops too.

        Raises:
            RefusedError: the server refuses.
            EngineError: the server can't be reached, or broke off.
        """
        deadline = self._request.deadline
        left = None if deadline is None else max(0.0, self._submitted + deadline - time.monotonic())
        work = asyncio.create_task(self._work())
        cancelling = asyncio.create_task(self._generation.cancelling.wait())
        cut: FinishReason | None = None
        try:
            await asyncio.wait({work, cancelling}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await work
            else:
                cut = FinishReason.CANCELLED if cancelling.done() else FinishReason.DEADLINE
        finally:
            await _end((work, cancelling))
        samples = tuple(draft.sample(cut) for draft in self._drafts)
        return Completion(samples=samples, usage=self._usage())

    async def _work(self) -> None:
        """Every sample, or the first error."""
        connection = self._connection
        async with connection.turn:
            plan = await self._prepared()
            samples = [asyncio.create_task(self._sample(plan, draft, i)) for i, draft in enumerate(self._drafts)]
            try:
                await asyncio.gather(*samples)
            finally:
                await _end(samples)
            told = (draft.prompt_tokens for draft in self._drafts)
            self._prompt_tokens = max((t for t in told if t is not None), default=self._prompt_tokens)
            if self._prompt_tokens is None:
                self._prompt_tokens = await self._asked_tokens(plan)

    async def _asked_tokens(self, plan: Plan) -> int:
        """The prompt's length from a server whose streams have no usage; an answer is not lost for want of it."""
        try:
            async with self._connection.slots:
                return await self._connection.one_token(plan)
        except (RefusedError, EngineError) as error:
            log.warning("a prompt's tokens are not counted: %s", error)
            return 0

    async def _prepared(self) -> Plan:
        connection, request = self._connection, self._request
        if connection.serial:
            self._generation.begin()
        plan = await connection.plan(request)
        if connection.serial:
            self._prompt_tokens = tokens = await connection.one_token(plan)
            if connection.known_context is not None and tokens + request.max_tokens > connection.known_context:
                raise ContextOverflowError(
                    f"the prompt has {tokens} tokens and may grow by {request.max_tokens}; "
                    f"the context holds {connection.known_context}",
                    LONGER,
                )
        return plan

    async def _sample(self, plan: Plan, draft: Draft, index: int) -> None:
        connection, request = self._connection, self._request
        async with connection.slots:
            self._generation.begin()
            deadline = request.deadline
            until = connection.until() if deadline is None else self._submitted + deadline
            body = plan.for_sample(request, index)
            try:
                # a request with a deadline is ended by that, with what it has
                async with asyncio.timeout(connection.seconds if deadline is None else None):
                    await self._read(plan.path, body, until, draft)
            except TimeoutError:
                raise EngineError(
                    f"{connection.wire.address.url} did not answer within {connection.seconds:g} s",
                    "give requests a deadline, or raise `request_seconds`",
                ) from None

    async def _read(self, path: str, body: dict[str, Any], until: float, draft: Draft) -> None:
        async with aclosing(self._connection.stream(path, body, until)) as events:
            async for event in events:
                draft.take(event)
                if draft.done:
                    break
        draft.sample()  # raises if it broke off: the other samples are then not waited for

    def _usage(self) -> Usage:
        """What it cost. The prompt counts once, and as cached only what every sample found in the cache."""
        drafts = self._drafts
        told = [d.prompt_tokens for d in drafts if d.prompt_tokens is not None]
        prompt_tokens = self._prompt_tokens or max(told, default=0)  # 0: cut before the server said anything
        cached = min((d.cached_tokens or 0 for d in drafts if d.prompt_tokens is not None), default=0)
        first = min((d.first_at for d in drafts if d.first_at is not None), default=None)
        return Usage(
            prompt_tokens=prompt_tokens,
            cached_tokens=min(cached, prompt_tokens),
            completion_tokens=sum(d.tokens for d in drafts),
            seconds=time.monotonic() - self._submitted,
            first_token_seconds=None if first is None else first - self._submitted,
        )


async def _end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel what still runs, and see it ended."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
