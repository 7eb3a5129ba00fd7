"""Spans of requests: what is in them, what is not, and that nobody pays who does not trace."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from leafwise.runtime.contracts import Completion, FinishReason, Message, ModelInfo, Request, Sample, Sampling, Usage
from leafwise.runtime.engine import Generation
from leafwise.runtime.errors import EngineCrashedError
from leafwise.runtime.telemetry import trace_generation

INFO = ModelInfo(name="tiny", architecture="llama", context=512, running=4)
CHAT = Request(
    messages=(Message(role="user", content="a secret question"),),
    max_tokens=9,
    n=2,
    sampling=Sampling(temperature=0.5, top_k=40, top_p=0.9),
    seed=7,
)
DONE = Completion(
    samples=(
        Sample(text="a secret answer", finish_reason=FinishReason.STOP, tokens=3),
        Sample(text="another", finish_reason=FinishReason.LENGTH, tokens=9),
    ),
    usage=Usage(prompt_tokens=20, cached_tokens=16, completion_tokens=12, seconds=1.5, first_token_seconds=0.25),
)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An exporter that keeps what is traced; the library's one global provider is put back."""
    trace = pytest.importorskip("opentelemetry.trace")
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter, provider = memory.InMemorySpanExporter(), sdk.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


def test_a_span_says_what_was_asked_and_what_it_cost(spans: Any) -> None:
    generation = Generation(CHAT)
    trace_generation(generation, INFO)
    assert spans.get_finished_spans() == ()
    generation.finish(DONE)
    (span,) = spans.get_finished_spans()
    assert span.name == "chat tiny"
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "leafwise",
        "gen_ai.request.model": "tiny",
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_k": 40,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.seed": 7,
        "gen_ai.request.choice.count": 2,
        "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.output_tokens": 12,
        "gen_ai.usage.cache_read.input_tokens": 16,
        "gen_ai.response.finish_reasons": ("stop", "length"),
        "gen_ai.response.time_to_first_chunk": 0.25,
        "leafwise.cached_tokens": 16,
    }
    assert span.status.is_ok


def test_a_raw_prompt_is_text_completion(spans: Any) -> None:
    generation = Generation(Request(prompt="def"))
    generation.finish(DONE)
    trace_generation(generation, INFO)  # finished already: the span ends at once
    (span,) = spans.get_finished_spans()
    assert span.name == "text_completion tiny"
    assert "gen_ai.request.choice.count" not in span.attributes


def test_no_text_of_prompt_or_answer_is_in_a_span(spans: Any) -> None:
    for outcome in (DONE, EngineCrashedError("the server said: a secret question")):
        generation = Generation(CHAT)
        trace_generation(generation, INFO)
        generation.finish(outcome)
    assert len(spans.get_finished_spans()) == 2
    assert not [span for span in spans.get_finished_spans() if "secret" in span.to_json()]


def test_an_error_ends_the_span(spans: Any) -> None:
    generation = Generation(CHAT)
    trace_generation(generation, INFO)
    generation.finish(EngineCrashedError("gone"))
    (span,) = spans.get_finished_spans()
    assert span.status.status_code.name == "ERROR"
    assert span.attributes["error.type"] == "EngineCrashedError"
    assert [event.attributes["exception.type"] for event in span.events] == [
        "leafwise.runtime.errors.EngineCrashedError"
    ]


def test_the_span_of_the_submitting_thread_is_the_parent(spans: Any) -> None:
    from opentelemetry import trace

    with trace.get_tracer("test").start_as_current_span("solve") as outer:
        generation = Generation(CHAT)
        trace_generation(generation, INFO)
        worker = threading.Thread(target=generation.finish, args=(DONE,))
        worker.start()
        worker.join()
        inner = spans.get_finished_spans()[0]
        assert inner.parent.span_id == outer.get_span_context().span_id


QUIET = """
import sys
{block}
from leafwise.runtime.telemetry import trace_generation
from leafwise.runtime.contracts import ModelInfo, Request, Completion, Usage
from leafwise.runtime.engine import Generation
generation = Generation(Request(prompt="x"))
trace_generation(generation, ModelInfo(name="m", architecture="llama", context=1, running=1))
generation.finish(Completion(samples=(), usage=Usage(prompt_tokens=1, completion_tokens=0, seconds=0.0)))
assert generation.result().samples == ()
assert not [name for name, module in sys.modules.items() if name.startswith("opentelemetry") and module], "imported"
"""


@pytest.mark.parametrize("block", ["", "sys.modules['opentelemetry'] = sys.modules['opentelemetry.trace'] = None"])
def test_without_the_library_or_its_use_nothing_is_imported(block: str) -> None:
    subprocess.run([sys.executable, "-c", QUIET.format(block=block)], check=True, timeout=60)
