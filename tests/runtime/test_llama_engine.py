"""What only the real engine can show: exactness, the cache, grammar, and behaviour when it is full or closed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from gguf_files import write_gguf_copy_without_template
from pydantic import BaseModel, ValidationError

from leafwise.runtime.contracts import FinishReason, Message, Request, Sampling
from leafwise.runtime.engine_options import EngineOptions, KVLayout
from leafwise.runtime.errors import (
    ChatTemplateError,
    ContextOverflowError,
    EngineClosedError,
    EngineError,
    GrammarError,
    LeafwiseError,
    PrefixFileError,
)
from leafwise.runtime.gguf_header import KVType
from leafwise.runtime.llama_engine import LlamaEngine
from leafwise.runtime.models import DEFAULT_MODEL
from leafwise.runtime.opening import open_engine, open_in_process

pytestmark = pytest.mark.model

ASK = Request(messages=(Message(role="user", content="Write a Python function that adds two numbers."),), max_tokens=60)


@pytest.fixture(scope="module", params=["separate", "unified"])
def engine(request: pytest.FixtureRequest) -> Iterator[LlamaEngine]:
    made = open_in_process(DEFAULT_MODEL, EngineOptions(context=1024, kv_layout=request.param))
    yield made
    made.close()


@pytest.mark.parametrize("layout", ["separate", "unified"])
@pytest.mark.parametrize("flash_attention", [False, True])
def test_greedy_alone_equals_llama_cpp_python_token_for_token(
    model_path: Path, layout: KVLayout, flash_attention: bool
) -> None:
    llama_cpp = pytest.importorskip("llama_cpp")
    options = EngineOptions(context=1024, kv_layout=layout, flash_attention=flash_attention, threads=2)
    prompt = "def quicksort(items):\n    "
    reference = llama_cpp.Llama(str(model_path), n_ctx=1024, verbose=False, n_threads=2, flash_attn=flash_attention)
    expected = reference.create_completion(prompt, max_tokens=96, temperature=0.0)["choices"][0]["text"]
    reference.close()
    with open_in_process(DEFAULT_MODEL, options) as made:
        assert made.submit(Request(prompt=prompt, max_tokens=96)).result().samples[0].text == expected


def test_samples_of_one_prompt_cost_one_prefill_and_a_repeated_prompt_none(engine: LlamaEngine) -> None:
    fresh = Request(prompt="Never seen before: a list of colours. red, green, blue, pink, grey, and", n=5, max_tokens=8)
    before = engine.meter()
    first = engine.submit(fresh).result().usage
    again = engine.submit(fresh).result().usage
    assert first.prompt_tokens == again.prompt_tokens == engine.count_tokens(fresh)
    assert again.cached_tokens == again.prompt_tokens - 1
    after = engine.meter()
    assert after.prefilled_tokens - before.prefilled_tokens == first.prompt_tokens - first.cached_tokens + 1
    assert after.reused_tokens - before.reused_tokens == first.cached_tokens + again.cached_tokens


def test_a_cached_prompt_gives_the_same_greedy_answer(engine: LlamaEngine) -> None:
    request = Request(prompt="The three primary colours are", max_tokens=24)
    assert engine.submit(request).result().samples[0].text == engine.submit(request).result().samples[0].text


def test_a_prompt_that_does_not_fit_is_told_what_would(engine: LlamaEngine) -> None:
    with pytest.raises(ContextOverflowError) as caught:
        engine.submit(Request(prompt="word", max_tokens=2000))
    assert "trained for 8192 tokens and opened with 1024: give --window 2001" in caught.value.hint


def test_more_samples_than_sequences_run_in_waves(engine: LlamaEngine) -> None:
    request = ASK.model_copy(update={"n": 40, "max_tokens": 16, "sampling": Sampling(temperature=1.0)})
    completion = engine.submit(request).result()
    assert len(completion.samples) == 40
    assert len({s.text for s in completion.samples}) > 10


@pytest.mark.parametrize("layout", ["separate", "unified"])
def test_a_full_cache_lets_requests_wait_and_corrupts_nothing(layout: KVLayout) -> None:
    small = EngineOptions(context=256, kv_layout=layout, running=4 if layout == "separate" else 16)
    with open_in_process(DEFAULT_MODEL, small) as made:
        # batched kernels differ in the last bits, so the prompt is one that leaves no doubt how it goes on
        wanted = Request(prompt="1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,", max_tokens=100)
        crowd = [made.submit(wanted) for _ in range(10)]
        texts = [g.result(timeout=120).samples[0].text for g in crowd]
        assert all(text.startswith(" 14, 15, 16, 17, 18, 19, 20,") for text in texts), texts


def test_no_cell_is_left_behind(engine: LlamaEngine) -> None:
    crowd = [engine.submit(ASK.model_copy(update={"n": 1 + i % 4, "seed": i, "max_tokens": 20})) for i in range(12)]
    for generation in crowd[::3]:
        generation.cancel()
    for generation in crowd:
        generation.result(timeout=60)
    assert engine.cells_in_use() > 0
    engine.drop_cache()
    assert engine.cells_in_use() == 0


@pytest.mark.parametrize("layout", ["separate", "unified"])
def test_deterministic_tokens_do_not_depend_on_what_else_runs(layout: KVLayout) -> None:
    wanted = [
        ASK.model_copy(update={"seed": seed, "n": 1 + seed % 3, "max_tokens": 12 + 5 * seed, "sampling": warm})
        for seed, warm in enumerate([Sampling(temperature=1.0, top_p=0.95), Sampling()] * 3)
    ]
    options = EngineOptions(context=512, deterministic=True, kv_layout=layout, running=4)
    with open_in_process(DEFAULT_MODEL, options) as made:
        alone = [made.submit(request).result().samples for request in wanted]
        crowd = [made.submit(request) for request in reversed(wanted)]
        crowd[2].cancel()
        together = [generation.result(timeout=120).samples for generation in reversed(crowd)]
    for index, (first, second) in enumerate(zip(alone, together, strict=True)):
        assert first == second or index == len(wanted) - 3


@pytest.mark.parametrize("kv_type", ["q8_0", "q4_0"])
def test_a_quantized_cache_is_smaller_and_answers(kv_type: KVType) -> None:
    with open_in_process(DEFAULT_MODEL, EngineOptions(context=512, kv_type=kv_type)) as made:
        text = made.submit(Request(prompt="1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,", max_tokens=20)).result()
        assert text.samples[0].text.startswith(" 14, 15, 16")
        assert kv_type in made.info.detail


def test_a_quantized_cache_needs_flash_attention() -> None:
    with pytest.raises(LeafwiseError, match="flash attention"):
        open_in_process(DEFAULT_MODEL, EngineOptions(kv_type="q4_0", flash_attention=False))


def test_guesses_change_no_greedy_token_and_save_steps(engine: LlamaEngine) -> None:
    code = "def area(width, height):\n    if width < 0 or height < 0:\n        return 0\n    return width * height\n"
    ask = Request(messages=(Message(role="user", content=f"Repeat this code:\n{code}"),), max_tokens=30)
    meters, texts = [engine.meter()], []
    for lookup in (False, True):
        texts.append(engine.submit(ask.model_copy(update={"lookup": lookup})).result().samples[0].text)
        meters.append(engine.meter())
    assert texts[0] == texts[1]
    assert meters[1].guessed_tokens == meters[0].guessed_tokens
    assert meters[2].accepted_tokens > 5
    assert meters[2].steps - meters[1].steps < meters[1].steps - meters[0].steps


def test_the_model_cannot_end_before_min_tokens(engine: LlamaEngine) -> None:
    ask = Request(messages=(Message(role="user", content="Say hi."),), max_tokens=200, min_tokens=200)
    assert engine.submit(ask).result().samples[0].tokens == 200


def test_a_prompt_kept_on_disk_is_not_computed_again(engine: LlamaEngine, tmp_path: Path) -> None:
    path = tmp_path / "prefix"
    request = Request(prompt="A list of rivers, with their lengths in kilometres: " * 6, max_tokens=8)
    kept = engine.save_prefix(request, path)
    expected = engine.submit(request).result().samples[0].text
    engine.drop_cache()
    assert engine.load_prefix(path) == kept >= engine.count_tokens(request)
    again = engine.submit(request).result()
    assert again.usage.cached_tokens == again.usage.prompt_tokens - 1
    assert again.samples[0].text == expected
    other = EngineOptions(context=1024, kv_type="q8_0")
    with open_in_process(DEFAULT_MODEL, other) as made, pytest.raises(PrefixFileError, match="another kv_type"):
        made.load_prefix(path)
    whole = path.read_bytes()
    for damaged in (b"", b"x", whole[:200], whole[:-1], whole[:-100] + b"0" + whole[-99:], whole + b"more"):
        path.write_bytes(damaged)
        with pytest.raises(PrefixFileError):
            engine.load_prefix(path)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(PrefixFileError, match="cannot write"):
        engine.save_prefix(request, tmp_path / "missing" / "prefix")


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


def test_a_schema_may_hold_from_a_text_on(engine: LlamaEngine) -> None:
    request = Request(
        messages=(Message(role="user", content="Describe Ada, who is 36, as JSON in a ```json block."),),
        json_schema=Person,  # type: ignore[arg-type]
        json_after="```json",
        max_tokens=120,
    )
    (sample,) = engine.submit(request).result().samples
    _, found, bound = sample.text.partition("```json")
    assert found
    Person.model_validate_json(bound)
    warm = request.model_copy(update={"sampling": Sampling(temperature=1.5), "n": 8})
    for sample in engine.submit(warm).result().samples:
        _, found, bound = sample.text.partition("```json")
        if found and sample.finish_reason is FinishReason.STOP:
            Person.model_validate_json(bound)


def test_a_grammar_that_does_not_come_to_an_end_is_reported(engine: LlamaEngine) -> None:
    request = ASK.model_copy(update={"json_schema": Person.model_json_schema(), "max_tokens": 4})
    assert engine.submit(request).result().samples[0].finish_reason is FinishReason.GRAMMAR


@pytest.mark.parametrize(
    "value",
    ["a\nb\t", "C:\\temp", 'say "hi"', "a\0b", "é 日 \U0001f600 \x7f\u2028", "\ud800", {'a"b\\n': ["\n"]}],
    ids=ascii,
)
def test_a_constant_of_a_schema_is_said_as_it_is(engine: LlamaEngine, value: object) -> None:
    schema: dict[str, object] = {"const": value}
    if isinstance(value, dict):
        named = {name: {"const": item} for name, (item,) in value.items()}
        schema = {"type": "object", "properties": named, "required": [*value], "additionalProperties": False}
        value = {name: item for name, (item,) in value.items()}
    request = Request(prompt="The answer:", json_schema=schema, max_tokens=60)
    (sample,) = engine.submit(request).result(60).samples
    assert json.loads(sample.text) == value
    assert sample.finish_reason is FinishReason.STOP


def test_a_grammar_that_nothing_can_follow_ends_the_sample(engine: LlamaEngine) -> None:
    schema = {"type": "string", "pattern": "^a\\x00b$"}  # llama.cpp's grammars have no such character
    (sample,) = engine.submit(Request(prompt="The answer:", json_schema=schema)).result(60).samples
    assert (sample.text, sample.finish_reason) == ('"a', FinishReason.GRAMMAR)


def test_a_request_that_cannot_be_started_fails_alone(engine: LlamaEngine) -> None:
    other = engine.submit(ASK.model_copy(update={"max_tokens": 8}))
    with pytest.raises(ValidationError, match="half a character"):
        Request(prompt="x", json_schema={}, json_after="\ud800")
    unchecked = Request(prompt="x", max_tokens=2).model_copy(update={"json_schema": {}, "json_after": "\ud800"})
    with pytest.raises(EngineError, match="could not be started: UnicodeEncodeError"):
        engine.submit(unchecked).result(60)
    assert other.result(60).samples[0].tokens
    engine.drop_cache()
    assert engine.cells_in_use() == 0


def test_a_schema_without_a_grammar_is_refused_at_submit(engine: LlamaEngine) -> None:
    with pytest.raises(GrammarError):
        engine.submit(ASK.model_copy(update={"json_schema": {"$ref": "#/nowhere"}}))


def test_logprobs_are_those_of_the_text(engine: LlamaEngine) -> None:
    (sample,) = engine.submit(ASK.model_copy(update={"logprobs": True})).result().samples
    assert sample.logprob is not None
    assert -5.0 * sample.tokens < sample.logprob < 0.0
    assert engine.submit(ASK).result().samples[0].logprob is None


def test_closing_cuts_off_what_runs() -> None:
    made = open_in_process(DEFAULT_MODEL, EngineOptions(context=1024))
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
    completer = open_engine(bare, EngineOptions(chat=False, context=512))
    try:
        assert completer.submit(Request(prompt="def add(", max_tokens=4)).result().samples[0].text
        with pytest.raises(ChatTemplateError, match="no chat template"):
            completer.submit(ASK)
    finally:
        completer.close()


def test_a_context_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(EngineError, match="context"):
        open_engine(options=EngineOptions(context=10**6))
    for context in (0, -1):
        with pytest.raises(ValidationError):
            EngineOptions(context=context)


def test_llama_cpp_is_silent(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="leafwise.llama_cpp"):
        open_engine(options=EngineOptions(context=512)).close()
    out = capfd.readouterr()
    assert out.out == out.err == ""
    assert any("llama" in record.message for record in caplog.records)


def test_requests_that_arrive_together_share_the_beginning_they_have_in_common(engine: LlamaEngine) -> None:
    shared = "A list of rivers in alphabetical order, with the countries they run through: " * 4
    crowd = [engine.submit(Request(prompt=shared + ending, max_tokens=4)) for ending in ("Amazon", "Danube", "Nile")]
    first, *others = [g.result(timeout=60).usage for g in crowd]
    assert all(usage.cached_tokens > 0.8 * usage.prompt_tokens for usage in others)
    assert first.completion_tokens > 0
