"""The remote engine against a small server: what it sends, what it makes of answers, and of misbehaviour."""

from __future__ import annotations

import email.utils
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from openai_server import (
    LLAMA_SERVER,
    PLAIN,
    STORY,
    VLLM,
    FakeServer,
    Play,
    choice,
    close_if_kept,
    fake_server,
    free_port,
    refuse,
    stream,
    tell,
)
from pydantic import BaseModel, SecretStr

from leafwise.runtime import remote_http
from leafwise.runtime.contracts import Completion, FinishReason, Message, Request, Sampling
from leafwise.runtime.engine import Engine, Generation
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import (
    ChatTemplateError,
    ContextOverflowError,
    EngineClosedError,
    EngineError,
    GrammarError,
)
from leafwise.runtime.opening import is_remote
from leafwise.runtime.remote import RemoteEngine, open_remote
from leafwise.runtime.remote_errors import Secrets
from leafwise.runtime.remote_sse import LONGEST_EVENT, EventReader

ASK = Request(messages=(Message(role="user", content="Tell me a story."),), max_tokens=24)
WARM = Sampling(temperature=0.9, top_p=0.95, min_p=0.05, top_k=50)
KEY = "sk-very-secret/key"


class Person(BaseModel):
    name: str
    age: int


def ask(**changes: Any) -> Request:
    return Request.model_validate(ASK.model_dump() | changes)


# --- what is sent ----------------------------------------------------------------------------------------------------


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.setattr(remote_http, "FIRST_WAIT", 0.01)
    with fake_server() as server:
        yield server


Opener = Callable[..., RemoteEngine]


@pytest.fixture
def connect(fake: FakeServer) -> Iterator[Opener]:
    engines: list[RemoteEngine] = []

    def opened(name: str = "", **options: Any) -> RemoteEngine:
        engines.append(open_remote(fake.url + name, EngineOptions(**options)))
        return engines[-1]

    yield opened
    for engine in engines:
        engine.close()


def answer(engine: Engine, request: Request = ASK) -> Completion:
    return engine.submit(request).result(10)


def test_vllm_is_asked_in_its_dialect(fake: FakeServer, connect: Opener) -> None:
    engine = connect(api_key=KEY)
    assert (engine.info.name, engine.info.context, engine.info.running) == ("tiny", 2048, 16)
    completion = answer(engine, ask(seed=2**32 - 2, n=3, stop=("END",), min_tokens=2))
    bodies = sorted(fake.generated(), key=lambda b: int(b["seed"]))
    assert [body.pop("seed") for body in bodies] == [0, 1, 2**32 - 2], "llama.cpp takes 2**32 - 1 as `random`"
    assert bodies == 3 * [
        {
            "model": "tiny",
            "messages": [{"role": "user", "content": "Tell me a story."}],
            "stream": True,
            "stream_options": {"include_usage": True, "continuous_usage_stats": True},
            "max_tokens": 24,
            "min_tokens": 2,
            "temperature": 0.0,
            "top_p": 1.0,
            "top_k": -1,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "stop": ["END"],
        }
    ]
    assert {asked.authorization for asked in fake.asked} == {f"Bearer {KEY}"}
    assert [s.text for s in completion.samples] == 3 * [STORY]
    usage = completion.usage
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (7, 4, 27)
    meter = engine.meter()
    assert (meter.requests, meter.prompt_tokens, meter.reused_tokens, meter.decoded_tokens) == (1, 7, 4, 27)


def test_vllm_continues_and_counts(fake: FakeServer, connect: Opener) -> None:
    engine = connect()
    answer(engine, ask(continuation="Sure: ", json_schema=Person, sampling=WARM))
    (body,) = fake.generated()
    assert body["messages"][-1] == {"role": "assistant", "content": "Sure: "}
    assert (body["continue_final_message"], body["add_generation_prompt"], body["top_k"]) == (True, False, 50)
    assert body["response_format"]["json_schema"]["schema"] == Person.model_json_schema()
    answer(engine, Request(prompt="def f", continuation="(x", logprobs=True))
    assert fake.asked[-1].path == "/v1/completions"
    assert (fake.asked[-1].body["prompt"], fake.asked[-1].body["logprobs"]) == ("def f(x", 1)
    assert engine.count_tokens(ASK) > 0
    assert (fake.asked[-1].path, fake.asked[-1].body["model"]) == ("/tokenize", "tiny")


def test_llama_server_renders_what_is_continued(fake: FakeServer, connect: Opener) -> None:
    fake.models = [LLAMA_SERVER]
    engine = connect(context=700)
    assert engine.info.context == 700
    assert answer(engine, ask(continuation="Sure: ", json_schema=Person)).samples[0].text == STORY
    assert fake.asked[-1].path == "/v1/completions"
    body = fake.asked[-1].body
    assert body["prompt"].startswith("<user>")
    assert body["prompt"].endswith("<assistant>Sure: ")
    assert (body["top_k"], body["repeat_penalty"]) == (0, 1.0)
    assert body["json_schema"] == Person.model_json_schema()
    assert engine.count_tokens(ASK) > 0
    assert fake.asked[-1].body["content"].endswith("<assistant>")
    fake.plays = [stream(choice("Once", "length") | {"timings": {"prompt_n": 3, "cache_n": 2, "predicted_n": 9}})]
    with pytest.raises(ContextOverflowError, match="after 9 of 24 tokens"):
        answer(engine)


def test_other_servers_get_only_what_all_know(fake: FakeServer, connect: Opener) -> None:
    fake.models = [PLAIN]
    engine = connect()
    assert engine.info.context == 8192
    unknown = refuse(400, {"error": {"message": "Unknown field: stream_options"}})
    fake.plays = [unknown, tell(usage=False), tell(), tell(usage=False), tell()]
    for _ in range(2):
        usage = answer(engine).usage
        assert (usage.prompt_tokens, usage.completion_tokens) == (7, 9)
    bodies = fake.generated()
    assert ["stream_options" in body for body in bodies] == [True, False, False, False, False]
    assert [body["max_tokens"] for body in bodies] == [24, 24, 1, 24, 1], "one token tells how long the prompt was"
    assert "top_k" not in bodies[0]
    assert engine.count_tokens(ASK) == 7


@pytest.mark.parametrize(
    ("card", "request_", "match"),
    [
        (VLLM, ask(json_schema=Person, json_after="```"), "json_after"),
        (PLAIN, ask(continuation="Sure"), "beginning of an answer"),
        (PLAIN, Request(prompt="x", json_schema={"type": "object"}), "JSON schema for raw prompts"),
        (PLAIN, ask(min_tokens=1), "least number of tokens"),
        (LLAMA_SERVER, ask(min_tokens=1), "least number of tokens"),
        (LLAMA_SERVER, ask(messages=[{"role": "assistant", "content": "So"}]), "continue the last message"),
    ],
)
def test_what_a_server_can_not_do_is_refused(
    fake: FakeServer, connect: Opener, card: dict[str, Any], request_: Request, match: str
) -> None:
    fake.models = [card]
    with pytest.raises(EngineError, match=match):
        connect().submit(request_)
    assert fake.generated() == []


def test_the_model_is_chosen_by_its_name(fake: FakeServer, connect: Opener) -> None:
    fake.models = [VLLM, VLLM | {"id": "org/big:7b"}]
    with pytest.raises(EngineError, match="has 2 models") as caught:
        connect()
    assert "tiny, org/big:7b" in caught.value.hint
    with pytest.raises(EngineError, match="no model small"):
        connect("#small")
    assert connect("#org/big:7b").info.name == "org/big:7b"
    assert is_remote("HTTPS://host/v1")
    assert not is_remote("smollm2-135m")


# --- what comes back -------------------------------------------------------------------------------------------------


def test_pieces_hold_no_part_of_a_stop_string(fake: FakeServer, connect: Opener) -> None:
    fake.plays = [tell("one two three END four")]
    generation = connect().submit(ask(stop=("ee EN",)))
    (sample,) = generation.result(10).samples
    assert (sample.text, sample.finish_reason) == ("one two thr", FinishReason.STOP)
    assert [(p.text, p.tokens) for p in generation.items] == [("on", 1), ("e two", 2), (" thr", 3)]


def test_logprobs_are_summed_or_none(fake: FakeServer, connect: Opener) -> None:
    def said(*values: Any) -> dict[str, Any]:
        return choice("x", logprobs={"content": [{"logprob": v} for v in values]})

    end = choice("", "stop") | {"usage": {"prompt_tokens": 3}}
    fake.plays = [
        stream(said(-1.5), said(-0.25, 0.0), end),
        stream(said(-1.5), said(None), end),
        stream(choice("x"), end),
        stream(choice("x", logprobs={"token_logprobs": [-2.0]}), end),
    ]
    engine = connect()
    samples = [answer(engine, ask(logprobs=True)).samples[0] for _ in range(4)]
    assert [s.logprob for s in samples] == [-1.75, None, None, -2.0]
    assert [s.tokens for s in samples] == [3, 2, 1, 1]


def test_a_kept_connection_that_closes_is_no_error(fake: FakeServer, connect: Opener) -> None:
    fake.forever = close_if_kept
    engine = connect()
    assert [answer(engine).samples[0].text for _ in range(3)] == 3 * [STORY]
    assert len(fake.generated()) > 3, "some were sent again"


@pytest.mark.parametrize("cut", [FinishReason.CANCELLED, FinishReason.DEADLINE])
def test_cutting_keeps_the_text_and_closes_the_connection(fake: FakeServer, connect: Opener, cut: FinishReason) -> None:
    fake.forever = tell("and so on " * 200, delay=0.02)
    generation = connect().submit(ask(n=2, deadline=0.3 if cut is FinishReason.DEADLINE else None))
    next(iter(generation))
    if cut is FinishReason.CANCELLED:
        generation.cancel()
    completion = generation.result(3)
    assert {s.finish_reason for s in completion.samples} == {cut}
    for index, sample in enumerate(completion.samples):
        assert sample.text == "".join(p.text for p in generation.items if p.sample == index)
        assert sample.tokens == len(sample.text.split())
    assert fake.hung_up.wait(3), "the server must notice, or it generates on"


def test_what_waits_can_be_cut_too(fake: FakeServer, connect: Opener) -> None:
    fake.forever = tell("word " * 200, delay=0.02)
    engine = connect(running=2)
    starts: list[int] = []
    generations = [engine.submit(ask(deadline=0.6)) for _ in range(6)]
    for number, generation in enumerate(generations):
        generation.on_start = lambda n=number: starts.append(n)
    generations[5].cancel()
    assert generations[5].result(0.4).samples[0].finish_reason is FinishReason.CANCELLED
    assert {g.result(3).samples[0].finish_reason for g in generations[:5]} == {FinishReason.DEADLINE}
    assert fake.most_together <= 2
    assert len(starts) <= 4
    assert 5 not in starts


def test_closing_ends_what_runs(fake: FakeServer, connect: Opener) -> None:
    fake.forever = tell("word " * 500, delay=0.02)
    engine = connect(running=1)
    generations: list[Generation] = [engine.submit(ASK) for _ in range(3)]
    next(iter(generations[0]))
    late = engine.submit(ASK)
    engine.close()
    engine.close()
    for generation in [*generations, late]:
        with pytest.raises(EngineClosedError):
            generation.result(3)
        generation.cancel()
    with pytest.raises(EngineClosedError):
        engine.submit(ASK)
    with pytest.raises(EngineClosedError):
        engine.count_tokens(ASK)
    assert not [t for t in threading.enumerate() if t.name == "leafwise-remote"]


# --- misbehaviour ----------------------------------------------------------------------------------------------------


def test_a_busy_server_is_asked_again_when_it_says(fake: FakeServer, connect: Opener) -> None:
    fake.plays = [refuse(429, Retry_After="1"), refuse(503), tell()]
    began = time.monotonic()
    assert answer(connect()).samples[0].text == STORY
    assert 1.0 <= time.monotonic() - began < 3.0
    assert len(fake.generated()) == 3


def test_tries_are_limited(fake: FakeServer, connect: Opener) -> None:
    fake.forever = refuse(503, {"error": {"message": "Loading model"}})
    with pytest.raises(EngineError, match=r"busy \(status 503\): Loading model"):
        answer(connect())
    assert len(fake.generated()) == remote_http.TRIES


def test_no_retry_passes_the_deadline(fake: FakeServer, connect: Opener) -> None:
    fake.forever = refuse(429, Retry_After="60")
    began = time.monotonic()
    with pytest.raises(EngineError, match="busy"):
        answer(connect(), ask(deadline=5.0))
    assert time.monotonic() - began < 2.0
    assert len(fake.generated()) == 1


def test_dates_to_retry_after() -> None:
    soon = email.utils.formatdate(time.time() + 20, usegmt=True)
    for value, low, high in ((soon, 18, 21), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0), ("3", 3, 3)):
        assert low <= (remote_http._retry_after(httpx.Headers({"retry-after": value})) or 0) <= high
    for nonsense in ("", "soon", "-5", "nan", "Wed, 99 Oct 2015"):
        assert remote_http._retry_after(httpx.Headers({"retry-after": nonsense})) is None


TOO_LONG = {"message": "This model's maximum context length is 2048 tokens. However, you requested 9000"}


@pytest.mark.parametrize(
    ("play", "kind", "match"),
    [
        (refuse(400), EngineError, "status 400"),
        (refuse(404), EngineError, "status 404"),
        (refuse(500, b"<html>oh\x1b[31m no</html>"), EngineError, r"status 500\): <html>oh \[31m no"),
        (refuse(502), EngineError, "status 502"),
        (refuse(307, Location="http://u:pw@elsewhere/v1"), EngineError, "redirects: http://elsewhere/v1$"),
        (refuse(400, {"object": "error", **TOO_LONG}), ContextOverflowError, "2048 tokens"),
        (refuse(400, {"error": {"type": "exceed_context_size_error", "message": "no"}}), ContextOverflowError, "no"),
        (refuse(400, {"error": {"message": "bad grammar"}}), GrammarError, "bad grammar"),
        (refuse(400, {"error": "no chat template"}), ChatTemplateError, "no chat template"),
        (refuse(200, {"choices": []}), EngineError, "does not stream"),
        (refuse(200, b"x", Content_Encoding="gzip"), EngineError, "compresses"),
        (stream(choice("Once"), end=False), EngineError, "connection to .* broke"),
        (stream(choice("Once"), choice(" upon")), EngineError, "broke off after 2 tokens"),
        (stream(choice("Once"), b"[DONE]"), EngineError, "broke off after 1 tokens"),
        (stream(choice("Once"), {"error": {"message": "CUDA out of memory"}}), EngineError, "CUDA out of memory"),
        (stream(choice("Once"), {"error": TOO_LONG | {"code": 400}}), ContextOverflowError, "2048 tokens"),
        (stream(choice("Once", "content_filter")), EngineError, "broke the answer off: content_filter"),
        (stream(b"x" * (LONGEST_EVENT + 1)), EngineError, "bytes in one event"),
        (stream(*[choice("x" * 100_000)] * 2), EngineError, "far more than 24 tokens"),
        (stream(b"[" * 100_000), EngineError, "strange"),
        (stream(b"[]"), EngineError, "strange"),
        (stream({"choices": "none"}), EngineError, "strange"),
        (stream({"choices": [7]}), EngineError, "strange"),
        (stream({"choices": [{"delta": ["text"]}]}), EngineError, "strange"),
        (stream({"choices": [{"delta": {"content": 7}}]}), EngineError, "strange"),
        (stream({"choices": [{"text": "x", "finish_reason": 7}]}), EngineError, "strange"),
    ],
)
def test_failures_are_errors_and_not_retried(
    fake: FakeServer, connect: Opener, play: Play, kind: type[EngineError], match: str
) -> None:
    fake.plays = [play]
    with pytest.raises(EngineError, match=match) as caught:
        answer(connect(), ask(json_schema=Person))
    assert type(caught.value) is kind
    assert len(fake.generated()) == 1


def test_counts_that_are_none_are_not_believed(fake: FakeServer, connect: Opener) -> None:
    costs = {"prompt_tokens": "7", "completion_tokens": -1, "prompt_tokens_details": [1]}
    surrogate = b'{"choices": [{"delta": {"content": "\\ud800!"}}]}'
    fake.plays = [stream(surrogate, choice("", "stop"), {"choices": [], "usage": costs, "timings": {"prompt_n": True}})]
    completion = answer(connect())
    assert completion.samples[0].text == "?!"
    assert (completion.samples[0].tokens, completion.usage.prompt_tokens) == (1, 7), "asked for once more, by one token"


def test_a_request_that_takes_too_long_is_an_error(fake: FakeServer, connect: Opener) -> None:
    fake.forever = tell("word " * 200, delay=0.02)
    with pytest.raises(EngineError, match=r"within 0\.3 s"):
        answer(connect(request_seconds=0.3))


def test_the_key_is_shown_nowhere(fake: FakeServer, connect: Opener, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    engine = connect(api_key=KEY)
    fake.plays = [refuse(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}), stream({"error": KEY})]
    for _ in range(2):
        with pytest.raises(EngineError, match=r"\*\*\*") as caught:
            answer(engine)
        assert KEY not in f"{caught.value!r}{caught.value.hint}{vars(caught.value)}"
    assert KEY not in caplog.text + repr(vars(engine)) + repr(engine.info)


def test_a_login_in_the_url_is_used_and_not_shown(fake: FakeServer) -> None:
    url = fake.url.replace("//", "//me:p%40ss@")
    with open_remote(url, EngineOptions()) as engine:
        answer(engine)
        assert {a.authorization for a in fake.asked} == {httpx.BasicAuth("me", "p@ss")._auth_header}
        fake.plays = [refuse(403, {"error": "no me:p@ss here"})]
        with pytest.raises(EngineError, match="status 403") as caught:
            answer(engine)
        assert "p@ss" not in str(caught.value) + repr(engine.info)
        assert "p%40ss" not in str(caught.value) + repr(engine.info)


@pytest.mark.parametrize(
    ("url", "key", "match"),
    [
        ("http://", None, "not the address"),
        ("http://host:99999999/v1", None, "not the address"),
        ("http://[::1/v1", None, "not the address"),
        ("http://host/v1?key=1", None, "not the address"),
        ("http://xn--/v1", None, "not the address"),
        ("http://127.0.0.1/\udcff/v1", None, "not the address"),
        ("http://127.0.0.1/v1", "two\nlines", "can't be sent"),
        (f"http://127.0.0.1:{free_port()}/v1", None, "cannot reach"),
    ],
)
def test_addresses_and_keys_that_can_not_work(url: str, key: str | None, match: str) -> None:
    with pytest.raises(EngineError, match=match) as caught:
        open_remote(url, EngineOptions(api_key=None if key is None else SecretStr(key)))
    assert caught.value.hint
    assert "pw" not in str(caught.value)


def test_a_login_in_the_url_is_sent_and_not_the_key_beside_it(fake: FakeServer) -> None:
    login = "Basic bWU6cHc="
    with open_remote(fake.url.replace("//", "//me:pw@"), EngineOptions(api_key=SecretStr(KEY))) as engine:
        answer(engine)
    assert {asked.authorization for asked in fake.asked} == {login}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:9"),
        ("ALL_PROXY", "foo://127.0.0.1:9"),
        ("HTTP_PROXY", "http://[::1"),
        ("NO_PROXY", "[::1,localhost"),
        ("SSL_CERT_FILE", "/nonexistent"),
    ],
)
def test_settings_that_no_connection_can_be_made_with(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(EngineError, match=r"no connection to http://model.invalid/v1 can be set up: \S") as caught:
        open_remote("http://model.invalid/v1", EngineOptions())
    assert variable in caught.value.hint


@pytest.mark.parametrize(
    "events",
    [
        [choice("hi"), choice("", ""), choice("", "stop"), {"choices": None, "usage": {"prompt_tokens": 3}}],
        [choice("hi", "stop"), {"usage": {"prompt_tokens": 3, "completion_tokens": 1}}],
    ],
)
def test_what_other_servers_send_beside_an_answer_is_no_error(
    fake: FakeServer, connect: Opener, events: list[Any]
) -> None:
    fake.plays = [stream(*events, b"[DONE]")]
    completion = answer(connect())
    assert (completion.samples[0].text, completion.samples[0].finish_reason) == ("hi", FinishReason.STOP)
    assert completion.usage.prompt_tokens == 3


@pytest.mark.parametrize("play", [refuse(200, b"<html>"), refuse(200, [1]), refuse(200, {"data": [1]}), refuse(404)])
def test_what_is_no_such_server(fake: FakeServer, connect: Opener, play: Play) -> None:
    fake.any_request = play
    with pytest.raises(EngineError) as caught:
        connect()
    assert caught.value.hint


def test_events_are_cut_as_the_rules_say() -> None:
    text = (
        b": alive\r\ndata: one\r\nid: 7\r\n\r\ndata:two\ndata: more\n\n\nevent: error\ndata: 3\n\nerror: 4\n\ndata: cut"
    )
    for size in (1, 3, len(text)):
        reader = EventReader()
        events = [e for i in range(0, len(text), size) for e in reader.feed(text[i : i + size])]
        assert [(e.data, e.error) for e in events] == [("one", False), ("two\nmore", False), ("3", True), ("4", True)]


def test_secrets_are_cleaned_in_every_spelling() -> None:
    secrets = Secrets('k"y', "me:pass word")
    for said in ('k"y', 'k\\"y', "me:pass word", "pass%20word", "bWU6cGFzcyB3b3Jk"):
        assert secrets.clean(f"<{said}>") == "<***>"
    assert "pass" not in repr(secrets)
