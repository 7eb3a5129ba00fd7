"""The remote engine: an OpenAI-compatible server (llama-server, vLLM, llama_cpp.server) as an `Engine`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from leafwise.runtime.contracts import Completion, ModelInfo, Request, Usage
from leafwise.runtime.engine import Generation
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import EngineClosedError, EngineError, LeafwiseError
from leafwise.runtime.meter import Meter
from leafwise.runtime.remote_dialect import check_supported
from leafwise.runtime.remote_errors import RefusedError, explained
from leafwise.runtime.remote_http import Address, Wire
from leafwise.runtime.remote_job import Job, RemoteGeneration
from leafwise.runtime.remote_server import Connection, discover
from leafwise.runtime.telemetry import trace_generation

log = logging.getLogger(__name__)

_RUNNING = 16
_OPEN_SECONDS = 60.0
Result = TypeVar("Result")


def open_remote(model: str, options: EngineOptions) -> RemoteEngine:
    """Connect to a server.

    Args:
        model: its address, for example `http://127.0.0.1:8000/v1`; with `#name` where it serves several models.
        options: see `RemoteEngine`.

    Raises:
        EngineError: see `RemoteEngine`.
    """
    url, _, name = model.partition("#")
    return RemoteEngine(url, options, model=name or None)


class RemoteEngine:
    """Asks a server for every sample. One thread runs an event loop for all connections.

    How it differs from an engine on this machine:

    - Each of the n samples is a request of its own, with its own seed; servers keep the shared prompt in their caches.
    - Only the server knows what fits: `ContextOverflowError` comes from the handle, not from `submit`. A server that
      cuts an answer where its context ends, and counts its tokens, gives that error too.
    - `lookup` is a hint and is ignored. `json_after` is refused; so is a `continuation` of a chat unless the server is
      llama-server or vLLM, and a least number of tokens where the server has none. A chat template that trims messages
      trims the end of a continuation on vLLM.
    - Log-probabilities are None where the server gives none; the end token is not among them. What a server marks as
      reasoning counts as tokens, but is not part of the answer.
    - Samplers apply in the server's order. A server that streams no usage has its tokens counted as pieces of text, and
      is asked for one token more per request, to learn the prompt's length.
    - llama_cpp.server breaks an answer off when another request arrives, and hides errors behind a stream that just
      ends. So it gets one request at a time, each after a one-token request that finds errors and counts the prompt.

    Args:
        url: the server's OpenAI-compatible interface, usually ending in `/v1`; a login in it is used, and
            then no key.
        options: used are `api_key`, `request_seconds`, `running` (requests in flight, 16 by default) and `context`
            (tokens that a sequence may have, where the server does not say or allows more; 8,192 where nobody says).
        model: the served model's name; may be left out where there is only one.

    Raises:
        EngineError: the server can't be reached, refuses, or has not this model.
    """

    def __init__(self, url: str, options: EngineOptions, *, model: str | None = None) -> None:
        self._opened_at = time.monotonic()
        key = options.api_key.get_secret_value() if options.api_key else ""
        running = options.running or _RUNNING
        self._wire = Wire(Address.parse(url), key, running)
        self._models: tuple[str, ...] = ()
        self._lock = threading.Lock()
        self._closed = False
        self._meter = Meter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="leafwise-remote", daemon=True)
        self._thread.start()
        try:
            server = self._call(
                discover(self._wire, model, self._opened_at + min(options.request_seconds, _OPEN_SECONDS))
            )
        except BaseException:
            self.close()
            raise
        self._models = server.models
        self._connection = Connection(self._wire, server, running, options.context, options.request_seconds)
        detail = f"{server.dialect} at {self._wire.address.url}"
        self.info = ModelInfo(
            name=self._wire.secrets.clean(server.model),
            architecture="remote",
            context=self._connection.context,
            running=self._connection.running,
            detail=detail + (", one request at a time, tokens counted as pieces" if self._connection.serial else ""),
        )
        """See `Engine.info`."""

    def submit(self, request: Request) -> Generation:
        """See `Engine.submit`.

        Raises:
            EngineError: the server can't do what is asked (see `RemoteEngine`).
        """
        check_supported(self._connection.server.dialect, request)
        with self._lock:
            self._check_open()
            generation = RemoteGeneration(request, self._loop.call_soon_threadsafe)
            trace_generation(generation, self.info)
            self._loop.call_soon_threadsafe(self._start, generation, time.monotonic())
        return generation

    def count_tokens(self, request: Request) -> int:
        """See `Engine.count_tokens`; never an estimate.

        llama-server and vLLM have an interface for it. Other servers are asked for one token, and say then how long the
        prompt was: that costs computing the prompt.

        Raises:
            EngineError: the server can't tell.
        """
        check_supported(self._connection.server.dialect, request)
        return self._call(self._connection.count_tokens(request))

    def meter(self) -> Meter:
        """See `Engine.meter`: requests, their tokens and times. A server says nothing about its steps and memory."""
        with self._lock:
            return self._meter.model_copy(update={"seconds": time.monotonic() - self._opened_at})

    def close(self) -> None:
        """See `Engine.close`. The server runs on."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> RemoteEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # in the caller's thread

    def _check_open(self) -> None:
        if self._closed:
            raise EngineClosedError("the engine is closed")

    def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run in the loop, and wait."""
        with self._lock:
            if self._closed:
                work.close()
            self._check_open()
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except RefusedError as refusal:
            raise self._explained(refusal) from None
        except concurrent.futures.CancelledError:
            raise EngineClosedError("the engine was closed meanwhile") from None

    def _explained(self, refusal: RefusedError, *, schema: bool = False) -> EngineError:
        url, sent_key = self._wire.address.url, self._wire.sends_key
        return explained(refusal, url, self._models, sent_key=sent_key, schema=schema)

    # in the loop's thread

    def _start(self, generation: RemoteGeneration, submitted: float) -> None:
        task = self._loop.create_task(self._run(generation, submitted))
        # also for a task that `close` cancels before it ever ran; what has finished stays as it is
        task.add_done_callback(lambda _: generation.finish(EngineClosedError("the engine was closed meanwhile")))

    async def _run(self, generation: RemoteGeneration, submitted: float) -> None:
        try:
            completion = await Job(self._connection, generation, submitted).run()
        except RefusedError as refusal:
            generation.finish(self._explained(refusal, schema=generation.request.json_schema is not None))
        except LeafwiseError as error:
            generation.finish(error)
        except Exception as error:  # the end of this thread's work: those who wait must hear of it, whatever it is
            log.exception("the remote engine failed")
            generation.finish(EngineError(f"the remote engine failed: {type(error).__name__}", "report this"))
        else:
            self._count(completion)
            generation.finish(completion)

    def _count(self, completion: Completion) -> None:
        usage: Usage = completion.usage
        with self._lock:
            meter = self._meter
            self._meter = Meter(
                requests=meter.requests + 1,
                request_seconds=meter.request_seconds + usage.seconds,
                prompt_tokens=meter.prompt_tokens + usage.prompt_tokens,
                reused_tokens=meter.reused_tokens + usage.cached_tokens,
                decoded_tokens=meter.decoded_tokens + usage.completion_tokens,
            )

    async def _shut(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._wire.close()
