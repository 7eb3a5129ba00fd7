"""What a server is and has, and the few things asked of it beside answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass
from typing import Any

from leafwise.runtime.contracts import Request
from leafwise.runtime.errors import EngineError
from leafwise.runtime.remote_answer import count
from leafwise.runtime.remote_dialect import Dialect, Plan, chat_fields, dialect_of, plan_of
from leafwise.runtime.remote_errors import RefusedError
from leafwise.runtime.remote_http import Wire
from leafwise.runtime.remote_sse import Event

log = logging.getLogger(__name__)

_DEFAULT_CONTEXT = 8192
_OPTIONAL = ("stream_options", "logprobs")
"""Fields that a server may refuse; it is then asked without them."""


@dataclass(frozen=True)
class Server:
    """What a server says about itself."""

    dialect: Dialect
    """Which server it is."""
    model: str
    """The name of the model that is used."""
    models: tuple[str, ...]
    """The names of all that it has, fit to be shown."""
    context: int | None
    """Tokens that one sequence can hold; None if it does not say."""


async def discover(wire: Wire, model: str | None, until: float) -> Server:
    """Ask a server what it is.

    Args:
        wire: to the server.
        model: the model to use; None takes the only one.
        until: time (`time.monotonic`) that no retry may pass.

    Raises:
        RefusedError: it refuses to list its models.
        EngineError: it can't be reached, or has not this model.
    """
    url = wire.address.url
    answer = await wire.ask("GET", f"{url}/models", None, until)
    cards = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(cards, list):
        raise EngineError(f"{url}/models is not a list of models", "is it an OpenAI-compatible server?")
    by_name = {c["id"]: c for c in cards if isinstance(c, dict) and isinstance(c.get("id"), str)}
    names = tuple(wire.secrets.clean(name) for name in by_name)
    if model is None and len(by_name) == 1:
        (model,) = by_name
    if model is None or model not in by_name:
        said = f"no model {model}" if model else f"{len(by_name)} models"
        raise EngineError(f"{url} has {said}", f"write {url}#NAME with one of: {', '.join(names[:20]) or 'none'}")
    card = by_name[model]
    dialect = dialect_of(card.get("owned_by"))
    return Server(dialect, model, names, await _context(wire, dialect, card, until))


async def _context(wire: Wire, dialect: Dialect, card: dict[str, Any], until: float) -> int | None:
    """Tokens that one sequence can hold: vLLM lists it; llama-server knows it, or else lists what the model can do."""
    if dialect is Dialect.LLAMA_SERVER:
        try:
            props = await wire.ask("GET", f"{wire.address.root}/props", None, until)
        except (RefusedError, EngineError) as error:  # behind a proxy that lets only /v1 through
            log.info("%s/props does not answer: %s", wire.address.root, error)
            props = None
        settings = props.get("default_generation_settings") if isinstance(props, dict) else None
        meta = card.get("meta")
        known = [settings.get("n_ctx")] if isinstance(settings, dict) else []
        known += [meta.get("n_ctx"), meta.get("n_ctx_train")] if isinstance(meta, dict) else []
        return next((n for n in map(count, known) if n), None)
    return count(card.get("max_model_len")) or None


class Connection:
    """A server, and what may be asked of it at once.

    Args:
        wire: to the server.
        server: what it is.
        running: requests in flight at once.
        context: tokens that a sequence may have, where the server does not say or allows more.
        seconds: most that one request may take.
    """

    def __init__(self, wire: Wire, server: Server, running: int, context: int | None, seconds: float) -> None:
        self.wire = wire
        self.server = server
        self.seconds = seconds
        self.serial = server.dialect is Dialect.LLAMA_CPP_PYTHON
        """Whether a second request would break off the first."""
        self.running = 1 if self.serial else running
        self.known_context = min((c for c in (server.context, context) if c), default=None)
        self.context = self.known_context or _DEFAULT_CONTEXT
        self.turn: AbstractAsyncContextManager[Any] = asyncio.Semaphore(1) if self.serial else nullcontext()
        """Held for a whole generation: its prompt then stays in the cache of a server that holds only one."""
        self.slots = asyncio.Semaphore(self.running)
        """One for every sample in flight."""
        self._refused: set[str] = set()

    def until(self) -> float:
        """When a request that begins now has to be answered (`time.monotonic`)."""
        return time.monotonic() + self.seconds

    async def plan(self, request: Request) -> Plan:
        """What to send; with llama-server a chat that is continued is rendered first, as its documentation says."""
        chat = await self.rendered(request) if request.messages and request.continuation else None
        return plan_of(self.server.dialect, self.server.model, request, chat)

    async def rendered(self, request: Request) -> str | None:
        """A chat as llama-server's template renders it, without the continuation; None on other servers."""
        if self.server.dialect is not Dialect.LLAMA_SERVER:
            return None
        body = chat_fields(request.model_copy(update={"continuation": ""}))
        answer = await self._post_root("apply-template", body)
        prompt = answer.get("prompt") if isinstance(answer, dict) else None
        if not isinstance(prompt, str):
            raise EngineError(f"{self.wire.address.root}/apply-template gives no prompt", "update llama-server")
        return prompt

    async def stream(self, path: str, body: dict[str, Any], until: float) -> AsyncGenerator[Event, None]:
        """The events of an answer; fields that a server refuses are left out, now and later."""
        while True:
            sent = {name: value for name, value in body.items() if name not in self._refused}
            try:
                async with aclosing(self.wire.events(f"{self.wire.address.url}/{path}", sent, until)) as events:
                    async for event in events:
                        yield event
                return
            except RefusedError as refusal:
                blamed = next((f for f in _OPTIONAL if f in sent and f in refusal.said), None)
                if refusal.status not in (400, 422) or blamed is None:
                    raise
                log.warning("%s does not know `%s`: asking without it", self.wire.address.url, blamed)
                self._refused.add(blamed)

    async def count_tokens(self, request: Request) -> int:
        """Tokens of the rendered prompt, exactly."""
        address, dialect = self.wire.address, self.server.dialect
        if dialect is Dialect.LLAMA_SERVER:
            text = (await self.rendered(request) if request.messages else request.prompt) or ""
            body: dict[str, Any] = {"content": text + request.continuation, "add_special": True, "parse_special": True}
            answer = await self._post_root("tokenize", body)
            tokens = answer.get("tokens") if isinstance(answer, dict) else None
            counted = len(tokens) if isinstance(tokens, list) else None
        elif dialect is Dialect.VLLM:
            raw: dict[str, Any] = {"prompt": (request.prompt or "") + request.continuation}
            body = {"model": self.server.model, **(chat_fields(request) if request.messages else raw)}
            answer = await self._post_root("tokenize", body)
            counted = count(answer.get("count")) if isinstance(answer, dict) else None
        else:
            async with self.turn, self.slots:
                return await self.one_token(plan_of(dialect, self.server.model, request))
        if counted is None:
            raise EngineError(f"{address.root}/tokenize does not count tokens", "update the server")
        return counted

    async def one_token(self, plan: Plan) -> int:
        """Ask for one token, not streamed, for the sake of errors and of the prompt's length.

        Raises:
            RefusedError: what the server has against the request.
            EngineError: it does not say how long the prompt is.
        """
        url = self.wire.address.url
        left_out = {"stream", "stream_options", "logprobs", "top_logprobs", "min_tokens", *self._refused}
        body = {name: value for name, value in plan.body.items() if name not in left_out} | {"max_tokens": 1}
        answer = await self.wire.ask("POST", f"{url}/{plan.path}", body, self.until())
        usage = answer.get("usage") if isinstance(answer, dict) else None
        tokens = count(usage.get("prompt_tokens")) if isinstance(usage, dict) else None
        if tokens is None:
            raise EngineError(f"{url} does not say how many tokens a prompt has", "use llama-server or vLLM")
        return tokens

    async def _post_root(self, path: str, body: dict[str, Any]) -> Any:
        """These interfaces lie beside `/v1`, where a proxy may hide them."""
        return await self.wire.ask("POST", f"{self.wire.address.root}/{path}", body, self.until())
