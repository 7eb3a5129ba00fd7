"""The remote engine against a real llama_cpp.server that runs the embedded model."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai_server import llama_cpp_server
from pydantic import BaseModel, SecretStr

from leafwise.runtime.contracts import FinishReason, Message, Request, Sampling
from leafwise.runtime.engine import Engine
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import ContextOverflowError, EngineError
from leafwise.runtime.probe import probe
from leafwise.runtime.remote import RemoteEngine, open_remote

pytestmark = pytest.mark.model

ASK = Request(messages=(Message(role="user", content="Tell me a story."),), max_tokens=24)
WARM = Sampling(temperature=0.9, top_p=0.95, min_p=0.05, top_k=50)
KEY = "sk-very-secret/key"
CONTEXT = 512


class Person(BaseModel):
    name: str
    age: int


def ask(**changes: Any) -> Request:
    return Request.model_validate(ASK.model_dump() | changes)


def url_of(engine: Engine) -> str:
    return engine.info.detail.split()[2].rstrip(",")


@pytest.fixture(scope="module")
def real(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    for name in ("uvicorn", "fastapi", "sse_starlette", "starlette_context", "pydantic_settings"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"llama_cpp.server needs {name}: install leafwise[dev]")
    if probe(model_path).safe_mode:
        pytest.skip("llama_cpp.server has no safe mode for a llama.cpp that does not fit this CPU")
    log = tmp_path_factory.mktemp("server") / "log"
    options = EngineOptions(api_key=SecretStr(KEY), context=CONTEXT)
    with llama_cpp_server(model_path, log, CONTEXT, KEY) as url, open_remote(f"{url}#smol", options) as engine:
        yield engine


def test_real_chat_and_its_costs(real: Engine) -> None:
    assert real.info.name == "smol"
    assert "llama_cpp.server" in real.info.detail
    assert (real.info.context, real.info.running) == (CONTEXT, 1)
    before = real.meter()
    generation = real.submit(ASK)
    (sample,) = generation.result(30).samples
    assert "".join(piece.text for piece in generation.items) == sample.text != ""
    assert sample.finish_reason is FinishReason.LENGTH
    usage = generation.result().usage
    assert sample.tokens == usage.completion_tokens == 24
    assert usage.prompt_tokens == real.count_tokens(ASK) == 35
    assert 0 < (usage.first_token_seconds or 0) < usage.seconds
    after = real.meter()
    assert after.requests - before.requests == 1
    assert after.decoded_tokens - before.decoded_tokens == 24
    assert generation.started


def test_real_samples_draw_with_their_own_seeds(real: Engine) -> None:
    warm = ask(sampling=WARM, seed=7, n=3, max_tokens=12)
    samples = real.submit(warm).result(30).samples
    assert len({s.text for s in samples}) > 1
    assert real.submit(ask(sampling=WARM, seed=9, max_tokens=12)).result(30).samples[0].text == samples[2].text
    assert real.submit(warm).result(30).samples == samples


def test_real_prompts_stops_and_schemas(real: Engine) -> None:
    raw = Request(prompt="1, 2, 3, 4, 5, 6,", continuation=" 7,", max_tokens=12, stop=(" 9",))
    (sample,) = real.submit(raw).result(30).samples
    assert (sample.text.strip(), sample.finish_reason) == ("8,", FinishReason.STOP)
    (sample,) = real.submit(ask(json_schema=Person, max_tokens=100)).result(30).samples
    assert Person.model_validate_json(sample.text)
    (sample,) = real.submit(ask(json_schema=Person, max_tokens=3)).result(30).samples
    assert sample.finish_reason is FinishReason.GRAMMAR


def test_real_many_at_once_do_not_break_each_other_off(real: Engine) -> None:
    generations = [real.submit(ask(max_tokens=4 + i, n=1 + i % 2)) for i in range(6)]
    for i, generation in enumerate(generations):
        assert {s.tokens for s in generation.result(60).samples} == {4 + i}


@pytest.mark.parametrize("reason", [FinishReason.CANCELLED, FinishReason.DEADLINE])
def test_real_answers_are_cut(real: Engine, reason: FinishReason) -> None:
    deadline = 1.5 if reason is FinishReason.DEADLINE else None
    generation = real.submit(ask(max_tokens=400, deadline=deadline))
    next(iter(generation))
    if reason is FinishReason.CANCELLED:
        generation.cancel()
    (sample,) = generation.result(5).samples
    assert sample.finish_reason is reason
    assert sample.text == "".join(p.text for p in generation.items) != ""
    assert real.submit(ask(max_tokens=1)).result(30).samples[0].tokens == 1


def test_real_overflow_is_an_error_before_any_token(real: Engine) -> None:
    for request in (ask(max_tokens=CONTEXT), Request(prompt="word " * CONTEXT)):
        generation = real.submit(request)
        with pytest.raises(ContextOverflowError, match="context"):
            generation.result(30)
        assert generation.items == []


def test_real_answers_that_another_client_breaks_off_are_errors(real: Engine) -> None:
    generation = real.submit(ask(max_tokens=400, sampling=WARM, seed=3))
    next(iter(generation))
    # by default the server drops what it is doing when a request arrives, and ends the stream as if all were well
    httpx.get(f"{url_of(real)}/models", headers={"Authorization": f"Bearer {KEY}"}, timeout=30)
    with pytest.raises(EngineError, match="broke off after") as caught:
        generation.result(10)
    assert "--interrupt_requests False" in caught.value.hint


def test_real_refusals(real: Engine) -> None:
    with pytest.raises(EngineError, match="status 401") as caught:
        RemoteEngine(url_of(real), EngineOptions(api_key=SecretStr("wrong")))
    assert "API key" in caught.value.hint
    with pytest.raises(EngineError, match="beginning of an answer"):
        real.submit(ask(continuation="Sure:"))
