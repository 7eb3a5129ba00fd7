"""What the OpenAI-compatible servers do each in their own way, and the bodies of requests to them.

Read from their documentation and sources: vLLM's OpenAI server (`continue_final_message`, `continuous_usage_stats`,
`top_k` -1, `/tokenize` of chats), llama.cpp's `llama-server` (`/props`, `/apply-template`, `/tokenize`,
`timings_per_token`) and llama-cpp-python's `llama_cpp.server` (one request at a time, streams without usage).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from leafwise.runtime.contracts import Request
from leafwise.runtime.errors import EngineError

_SEEDS = 2**32 - 1
"""llama.cpp takes the highest 32-bit seed as `random`, so seeds wrap before it."""


class Dialect(StrEnum):
    """Which server speaks."""

    VLLM = "vLLM"
    """vLLM."""
    LLAMA_SERVER = "llama-server"
    """llama.cpp's own server."""
    LLAMA_CPP_PYTHON = "llama_cpp.server"
    """llama-cpp-python's server."""
    OTHER = "OpenAI-compatible server"
    """Anything else: only what OpenAI's own interface has is used."""


_OWNERS = {"vllm": Dialect.VLLM, "llamacpp": Dialect.LLAMA_SERVER, "me": Dialect.LLAMA_CPP_PYTHON}


def dialect_of(owner: object) -> Dialect:
    """The dialect that `owned_by` of a served model stands for."""
    return _OWNERS.get(owner, Dialect.OTHER) if isinstance(owner, str) else Dialect.OTHER


@dataclass(frozen=True)
class Plan:
    """Where a request goes and what is sent; only the seed differs between its samples."""

    path: str
    """Under the server's `/v1`."""
    body: dict[str, Any]
    """The JSON body, without the seed."""
    prompt_tokens: int | None = None
    """Tokens of the rendered prompt, where known before it is sent."""

    def for_sample(self, request: Request, index: int) -> dict[str, Any]:
        """The body that draws one sample."""
        return self.body | {"seed": (request.seed + index) % _SEEDS}


def check_supported(dialect: Dialect, request: Request) -> None:
    """Refuse what this server can't do, rather than dropping it.

    Raises:
        EngineError: the request asks for something that has no equivalent on this server.
    """
    chat = bool(request.messages)
    llama_server = dialect is Dialect.LLAMA_SERVER
    if request.json_after is not None:
        _refuse("`json_after` is not on a remote server", "use `json_schema` alone, or a model on this machine")
    if chat and request.continuation and dialect not in (Dialect.VLLM, Dialect.LLAMA_SERVER):
        _refuse(f"{dialect} can't put the beginning of an answer into the model's mouth", "use llama-server or vLLM")
    if llama_server and chat and not request.continuation and request.messages[-1].role == "assistant":
        _refuse("llama-server would continue the last message instead of answering it", "end with the user's turn")
    if not chat and request.json_schema is not None and dialect not in (Dialect.VLLM, Dialect.LLAMA_SERVER):
        _refuse(f"{dialect} has no JSON schema for raw prompts", "use messages, llama-server or vLLM")
    at_least = request.min_tokens > 0
    if at_least and (dialect is Dialect.OTHER or (llama_server and request.min_tokens < request.max_tokens)):
        _refuse(f"{dialect} has no least number of tokens", "leave out `min_tokens`")


def _refuse(message: str, hint: str) -> None:
    raise EngineError(message, hint)


def plan_of(dialect: Dialect, model: str, request: Request, rendered: str | None = None) -> Plan:
    """What to send for a request.

    Args:
        dialect: the server's.
        model: the name under which the server has the model.
        request: what was asked.
        rendered: with llama-server and a continuation, the chat as its template renders it.
    """
    prompt = rendered if rendered is not None else request.prompt
    body = {
        "model": model,
        "stream": True,
        "max_tokens": request.max_tokens,
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
    } | _extensions(dialect, request)
    if request.stop:
        body["stop"] = list(request.stop)
    if request.json_schema is not None:
        body |= _schema(dialect, request.json_schema, chat=prompt is None)
    if prompt is not None:
        if request.logprobs and dialect is not Dialect.LLAMA_CPP_PYTHON:
            body["logprobs"] = 1
        return Plan("completions", body | {"prompt": prompt + request.continuation})
    if request.logprobs and dialect is not Dialect.LLAMA_CPP_PYTHON:
        # llama_cpp.server has them only when started with `logits_all`, and refuses otherwise
        body |= {"logprobs": True} | ({"top_logprobs": 1} if dialect is Dialect.LLAMA_SERVER else {})
    return Plan("chat/completions", body | chat_fields(request))


def chat_fields(request: Request) -> dict[str, Any]:
    """The fields that make a chat; a continuation in the way of vLLM and transformers."""
    messages = [{"role": m.role, "content": m.content} for m in request.messages]
    if not request.continuation:
        return {"messages": messages}
    messages.append({"role": "assistant", "content": request.continuation})
    return {"messages": messages, "continue_final_message": True, "add_generation_prompt": False}


def _extensions(dialect: Dialect, request: Request) -> dict[str, Any]:
    """What goes beyond OpenAI's interface.

    The servers' own defaults (a top-k of 40, a penalty on repeats) would bend the distribution, so they are set to
    neutral where a field for them is known.
    """
    sampling = request.sampling
    fields: dict[str, Any] = {"min_tokens": request.min_tokens} if request.min_tokens else {}
    if dialect is Dialect.VLLM:
        usage = {"include_usage": True, "continuous_usage_stats": True}
        fields |= {"top_k": sampling.top_k or -1, "min_p": sampling.min_p, "repetition_penalty": 1.0}
        return fields | {"stream_options": usage}
    if dialect is Dialect.OTHER:
        fields |= {"top_k": sampling.top_k} if sampling.top_k else {}
        fields |= {"min_p": sampling.min_p} if sampling.min_p else {}
        return fields | {"stream_options": {"include_usage": True}}
    fields |= {"top_k": sampling.top_k, "min_p": sampling.min_p, "repeat_penalty": 1.0}
    if dialect is Dialect.LLAMA_SERVER:
        fields |= {"stream_options": {"include_usage": True}, "timings_per_token": True}
        if fields.pop("min_tokens", 0):  # as many as `max_tokens`: anything else was refused
            fields["ignore_eos"] = True
    return fields


def _schema(dialect: Dialect, schema: dict[str, Any], *, chat: bool) -> dict[str, Any]:
    if dialect is Dialect.LLAMA_CPP_PYTHON:
        return {"response_format": {"type": "json_object", "schema": schema}}
    if dialect is Dialect.LLAMA_SERVER and not chat:
        return {"json_schema": schema}
    wrapped = {"name": "answer", "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": wrapped}}
