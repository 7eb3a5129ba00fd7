"""OpenTelemetry spans of requests, where its library is in use; nothing, and no cost, where it is not.

Attributes follow the semantic conventions for generative AI. No text of a prompt or an answer is in them.
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any

from leafwise.runtime.contracts import Completion, ModelInfo, Request
from leafwise.runtime.engine import Generation

_SCOPE = "leafwise.runtime"


def trace_generation(generation: Generation, info: ModelInfo) -> None:
    """Let a span last from now to the end of a request, under the current span of the calling thread.

    Args:
        generation: the request, just submitted.
        info: the model that runs it.
    """
    api = _opentelemetry()
    if api is None:
        return
    # "chat <model>" is the name that the conventions ask for; the context is this thread's, so that the caller's span
    # is the parent though the end comes from the engine's thread
    span = api.get_tracer(_SCOPE).start_span(
        f"{_operation(generation.request)} {info.name}",
        kind=api.SpanKind.INTERNAL,
        attributes=_asked(generation.request, info),
    )
    if not span.is_recording():
        span.end()
        return
    generation.watch(lambda _piece: None, functools.partial(_end, api, span))


def _opentelemetry() -> Any:
    """The `opentelemetry.trace` module; None where nobody in this process uses it.

    Who wants spans has set up an exporter and so imported the library: importing it here would cost every other run.
    """
    if sys.modules.get("opentelemetry.trace") is None:
        return None
    return importlib.import_module("opentelemetry.trace")  # waits if another thread is importing it


def _operation(request: Request) -> str:
    return "chat" if request.messages else "text_completion"


def _asked(request: Request, info: ModelInfo) -> dict[str, str | int | float]:
    """What is known when a request is submitted."""
    sampling = request.sampling
    attributes: dict[str, str | int | float] = {
        "gen_ai.operation.name": _operation(request),
        "gen_ai.provider.name": "leafwise",
        "gen_ai.request.model": info.name,
        "gen_ai.request.max_tokens": request.max_tokens,
        "gen_ai.request.temperature": sampling.temperature,
        "gen_ai.request.seed": request.seed,
    }
    if request.n != 1:
        attributes["gen_ai.request.choice.count"] = request.n
    if sampling.top_k:
        attributes["gen_ai.request.top_k"] = sampling.top_k
    if sampling.top_p < 1:
        attributes["gen_ai.request.top_p"] = sampling.top_p
    return attributes


def _end(api: Any, span: Any, outcome: Completion | Exception) -> None:
    """Close the span with what came of the request."""
    if isinstance(outcome, Exception):
        # the type only: a message may quote the prompt (a server's may, word for word)
        kind = type(outcome).__qualname__
        span.set_attribute("error.type", kind)
        span.add_event("exception", {"exception.type": f"{type(outcome).__module__}.{kind}"})
        span.set_status(api.StatusCode.ERROR, kind)
    else:
        usage = outcome.usage
        span.set_attribute("gen_ai.usage.input_tokens", usage.prompt_tokens)
        span.set_attribute("gen_ai.usage.output_tokens", usage.completion_tokens)
        span.set_attribute("gen_ai.response.finish_reasons", [str(sample.finish_reason) for sample in outcome.samples])
        span.set_attribute("gen_ai.usage.cache_read.input_tokens", usage.cached_tokens)
        span.set_attribute("leafwise.cached_tokens", usage.cached_tokens)
        if usage.first_token_seconds is not None:
            span.set_attribute("gen_ai.response.time_to_first_chunk", usage.first_token_seconds)
    span.end()
