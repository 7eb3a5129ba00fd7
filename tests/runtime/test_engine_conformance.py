"""What every engine does alike: the scripted one and the real one pass the same tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from leafwise.runtime.contracts import FinishReason, Message, Request, Sampling
from leafwise.runtime.engine import Engine
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import ContextOverflowError, EngineClosedError
from leafwise.runtime.opening import open_engine
from leafwise.runtime.scripted import ScriptedEngine

STORY = "Once upon a time there was a small tree in a big garden, and it was happy. " * 4
ASK = Request(messages=(Message(role="user", content="Tell me a story."),), max_tokens=24)
WARM = Sampling(temperature=0.9, top_p=0.95, min_p=0.05, top_k=50)


def open_scripted() -> Engine:
    return ScriptedEngine(lambda request, index: STORY[index % 7 if request.sampling.temperature else 0 :])


@pytest.fixture(
    scope="module",
    params=["scripted", *(pytest.param(kind, marks=pytest.mark.model) for kind in ("llama", "isolated"))],
)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    options = EngineOptions(context=1024, isolated=request.param == "isolated")
    made = open_scripted() if request.param == "scripted" else open_engine(options=options)
    yield made
    made.close()


def test_pieces_are_the_text_and_counts_are_true(engine: Engine) -> None:
    generation = engine.submit(ASK)
    pieces = list(generation)
    completion = generation.result()
    (sample,) = completion.samples
    assert "".join(piece.text for piece in pieces) == sample.text != ""
    assert sample.tokens == completion.usage.completion_tokens == 24
    assert sample.finish_reason is FinishReason.LENGTH
    assert completion.usage.prompt_tokens == engine.count_tokens(ASK) > 0
    assert [piece.tokens for piece in pieces] == sorted(piece.tokens for piece in pieces)


def test_iterating_late_and_twice_gives_the_same_pieces(engine: Engine) -> None:
    generation = engine.submit(ASK)
    generation.result()
    assert list(generation) == list(generation) != []


def test_the_same_requests_to_a_new_engine_give_the_same_samples(engine: Engine) -> None:
    warm = ASK.model_copy(update={"sampling": WARM, "seed": 7, "n": 3})
    fresh = [
        open_scripted() if isinstance(engine, ScriptedEngine) else open_engine(options=EngineOptions(context=512))
        for _ in range(2)
    ]
    first, second = ([e.submit(r).result().samples for r in (ASK, warm, ASK)] for e in fresh)
    for e in fresh:
        e.close()
    assert first == second
    assert len({s.text for s in first[1]}) > 1


def test_sample_i_draws_with_seed_plus_i(engine: Engine) -> None:
    if isinstance(engine, ScriptedEngine):
        pytest.skip("a script has no seeds")
    # short, because a batch of three rounds differently from a batch of one, and may part ways later
    warm = ASK.model_copy(update={"sampling": WARM, "seed": 7, "n": 3, "max_tokens": 5})
    alone = warm.model_copy(update={"seed": 9, "n": 1})
    assert engine.submit(warm).result().samples[2].text == engine.submit(alone).result().samples[0].text


def test_the_text_ends_before_a_stop_string(engine: Engine) -> None:
    text = engine.submit(ASK).result().samples[0].text
    stop = text[len(text) // 2 :][:5]
    (sample,) = engine.submit(ASK.model_copy(update={"stop": (stop, "never said")})).result().samples
    assert sample.text == text[: text.index(stop)]
    assert sample.finish_reason is FinishReason.STOP


def test_many_requests_at_once_all_get_their_answer(engine: Engine) -> None:
    requests = [ASK.model_copy(update={"n": 1 + i % 3, "max_tokens": 16 + i}) for i in range(12)]
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda r=r: results.append(len(engine.submit(r).result().samples))) for r in requests
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted(r.n for r in requests)


def test_cancelling_ends_with_what_there_is(engine: Engine) -> None:
    generation = engine.submit(ASK.model_copy(update={"max_tokens": 500, "n": 4}))
    generation.cancel()
    completion = generation.result(timeout=30)
    assert len(completion.samples) == 4
    reasons = {s.finish_reason for s in completion.samples}
    assert FinishReason.CANCELLED in reasons or isinstance(engine, ScriptedEngine)


def test_a_deadline_ends_with_what_there_is(engine: Engine) -> None:
    completion = engine.submit(ASK.model_copy(update={"max_tokens": 500, "deadline": 0.0})).result(timeout=30)
    assert completion.samples[0].finish_reason is FinishReason.DEADLINE


def test_overflow_is_an_error_before_any_token(engine: Engine) -> None:
    long = Request(prompt="word " * engine.info.context, max_tokens=16)
    with pytest.raises(ContextOverflowError, match="context"):
        engine.submit(long)
    with pytest.raises(ContextOverflowError):
        engine.submit(ASK.model_copy(update={"max_tokens": engine.info.context}))


def test_raw_prompts_and_continuations(engine: Engine) -> None:
    assert engine.submit(Request(prompt="def add(a, b):", max_tokens=8)).result().samples[0].text
    longer = ASK.model_copy(update={"continuation": " Here is the story:"})
    assert engine.count_tokens(longer) > engine.count_tokens(ASK)
    assert "Here is" not in engine.submit(longer).result().samples[0].text


def test_asyncio_awaits_and_iterates(engine: Engine) -> None:
    async def use() -> tuple[str, str]:
        generation = engine.submit(ASK)
        streamed = "".join([piece.text async for piece in generation])
        return streamed, (await generation).samples[0].text

    streamed, text = asyncio.run(use())
    assert streamed == text != ""


def test_a_closed_engine_refuses_and_cuts_off() -> None:
    scripted = open_scripted()
    scripted.close()
    scripted.close()
    with pytest.raises(EngineClosedError):
        scripted.submit(ASK)
