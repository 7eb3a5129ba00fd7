"""What only the real engine can show: exactness, the cache, grammar, and behaviour when it is full or closed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from gguf_files import write_gguf_copy_without_template
from pydantic import BaseModel

from leafwise.runtime.contracts import FinishReason, Message, Request, Sampling
from leafwise.runtime.errors import ChatTemplateError, EngineClosedError, EngineError, GrammarError
from leafwise.runtime.llama_engine import LlamaEngine
from leafwise.runtime.opening import open_engine

pytestmark = pytest.mark.model

ASK = Request(messages=(Message(role="user", content="Write a Python function that adds two numbers."),), max_tokens=60)


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaEngine]:
    made = open_engine(context=1024)
    yield made
    made.close()


def test_greedy_alone_equals_llama_cpp_python_token_for_token(engine: LlamaEngine, model_path: Path) -> None:
    llama_cpp = pytest.importorskip("llama_cpp")
    prompt = "def quicksort(items):\n    "
    reference = llama_cpp.Llama(str(model_path), n_ctx=1024, verbose=False, n_threads=engine._model.options.threads)
    expected = reference.create_completion(prompt, max_tokens=48, temperature=0.0)["choices"][0]["text"]
    reference.close()
    assert engine.submit(Request(prompt=prompt, max_tokens=48)).result().samples[0].text == expected


def test_samples_of_one_prompt_cost_one_prefill_and_a_repeated_prompt_none(engine: LlamaEngine) -> None:
    fresh = Request(prompt="Never seen before: a list of colours. red, green,", n=5, max_tokens=8)
    first = engine.submit(fresh).result().usage
    again = engine.submit(fresh).result().usage
    assert first.prompt_tokens == again.prompt_tokens == engine.count_tokens(fresh)
    assert again.cached_tokens == again.prompt_tokens - 1


def test_a_cached_prompt_gives_the_same_greedy_answer(engine: LlamaEngine) -> None:
    request = Request(prompt="The three primary colours are", max_tokens=24)
    assert engine.submit(request).result().samples[0].text == engine.submit(request).result().samples[0].text


def test_more_samples_than_sequences_run_in_waves(engine: LlamaEngine) -> None:
    request = ASK.model_copy(update={"n": 40, "max_tokens": 16, "sampling": Sampling(temperature=1.0)})
    completion = engine.submit(request).result()
    assert len(completion.samples) == 40
    assert len({s.text for s in completion.samples}) > 10


def test_a_full_cache_lets_requests_wait_and_corrupts_nothing() -> None:
    small = open_engine(context=256)
    try:
        # batched kernels differ in the last bits, so the prompt is one that leaves no doubt how it goes on
        wanted = Request(prompt="1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,", max_tokens=100)
        crowd = [small.submit(wanted) for _ in range(8)]
        texts = [g.result(timeout=120).samples[0].text for g in crowd]
        assert all(text.startswith(" 14, 15, 16, 17, 18, 19, 20,") for text in texts), texts
    finally:
        small.close()


class Person(BaseModel):
    name: str
    age: int


def test_a_schema_forces_json_of_its_form(engine: LlamaEngine) -> None:
    request = Request(
        messages=(Message(role="user", content="Describe Ada, who is 36."),),
        json_schema=Person.model_json_schema(),
        max_tokens=80,
    )
    (sample,) = engine.submit(request).result().samples
    assert sample.finish_reason is FinishReason.STOP
    Person.model_validate(json.loads(sample.text))


def test_a_schema_without_a_grammar_is_refused_at_submit(engine: LlamaEngine) -> None:
    with pytest.raises(GrammarError):
        engine.submit(ASK.model_copy(update={"json_schema": {"$ref": "#/nowhere"}}))


def test_logprobs_are_those_of_the_text(engine: LlamaEngine) -> None:
    (sample,) = engine.submit(ASK.model_copy(update={"logprobs": True})).result().samples
    assert sample.logprob is not None
    assert -5.0 * sample.tokens < sample.logprob < 0.0
    assert engine.submit(ASK).result().samples[0].logprob is None


def test_closing_cuts_off_what_runs() -> None:
    made = open_engine(context=1024)
    generation = made.submit(ASK.model_copy(update={"max_tokens": 900}))
    next(iter(generation))
    made.close()
    made.close()
    with pytest.raises(EngineClosedError):
        generation.result(timeout=10)
    with pytest.raises(EngineClosedError):
        made.submit(ASK)


def test_a_model_without_a_chat_template_is_refused_before_it_is_loaded(model_path: Path, tmp_path: Path) -> None:
    bare = write_gguf_copy_without_template(model_path, tmp_path / "bare.gguf")
    with pytest.raises(ChatTemplateError, match="no chat template"):
        open_engine(bare)
    completer = open_engine(bare, chat=False, context=512)
    try:
        assert completer.submit(Request(prompt="def add(", max_tokens=4)).result().samples[0].text
        with pytest.raises(ChatTemplateError, match="no chat template"):
            completer.submit(ASK)
    finally:
        completer.close()


@pytest.mark.parametrize("context", [0, -1, 10**6])
def test_a_context_the_model_does_not_have_is_refused(context: int) -> None:
    with pytest.raises(EngineError, match="context"):
        open_engine(context=context)


def test_llama_cpp_is_silent(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="leafwise.llama_cpp"):
        open_engine(context=512).close()
    out = capfd.readouterr()
    assert out.out == out.err == ""
    assert any("llama" in record.message for record in caplog.records)


def test_requests_that_arrive_together_share_the_beginning_they_have_in_common(engine: LlamaEngine) -> None:
    shared = "A list of rivers in alphabetical order, with the countries they run through: " * 4
    crowd = [engine.submit(Request(prompt=shared + ending, max_tokens=4)) for ending in ("Amazon", "Danube", "Nile")]
    first, *others = [g.result(timeout=60).usage for g in crowd]
    assert all(usage.cached_tokens > 0.8 * usage.prompt_tokens for usage in others)
    assert first.completion_tokens > 0
