"""Converting for real: llama.cpp computes from the file what `transformers` computes from the checkpoint."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_llamas import (
    FIXTURE,
    LlamaTokens,
    change_json,
    code_lines,
    hugging_face_tokenizer,
    llama_logits,
    make_checkpoint,
    odd_strings,
    torch_logits,
)

from leafwise.quant.convert import convert
from leafwise.quant.float_formats import FloatType
from leafwise.quant.llama_config import read_config
from leafwise.runtime.contracts import Message, Request
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.gguf_header import read_header
from leafwise.runtime.opening import open_engine

TYPES: tuple[FloatType, ...] = ("f16", "bf16", "f32")
SOME = [4088, *(int(t) for t in np.random.default_rng(5).integers(0, 4088, 300))]


def differ(folder: Path, tokens: list[int], tmp_path: Path) -> float:
    """The largest difference between a logit of llama.cpp's and of transformers', F32."""
    target = tmp_path / "made.gguf"
    convert(folder, target, type_="f32")
    ours, theirs = llama_logits(target, tokens), torch_logits(folder, tokens)
    assert float(np.ptp(theirs)) > 3  # they say something
    return float(np.abs(ours - theirs).max())


@pytest.fixture(scope="module")
def fixture_f32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("fixture") / "llama-py.gguf"
    convert(FIXTURE, target, type_="f32")
    return target


def test_logits_of_the_trained_model_equal_those_of_transformers(fixture_f32: Path) -> None:
    text = "".join(code_lines(60))
    tokens = hugging_face_tokenizer(FIXTURE)(text)["input_ids"][:512]
    assert len(tokens) > 300
    assert float(np.abs(llama_logits(fixture_f32, tokens) - torch_logits(FIXTURE, tokens)).max()) < 2e-3


def test_tokenizers_agree_on_code_and_on_odd_strings(fixture_f32: Path) -> None:
    theirs = hugging_face_tokenizer(FIXTURE)
    ours = LlamaTokens(fixture_f32)
    try:
        lines, odd = code_lines(1000), odd_strings(200)
        assert (len(lines), len(odd)) == (1000, 200)
        for text in [*lines, *odd, "".join(lines)]:
            assert ours(text) == theirs(text, add_special_tokens=False)["input_ids"], repr(text[:200])
        assert ours("x = 1", begin=True) == theirs("x = 1")["input_ids"]
        assert ours("x = 1", begin=True)[0] == theirs.bos_token_id
    finally:
        ours.close()


def test_the_engine_runs_it_with_its_chat_template(fixture_f32: Path) -> None:
    said = [{"role": "user", "content": "Write a function `add`."}]
    theirs = hugging_face_tokenizer(FIXTURE).apply_chat_template(said, add_generation_prompt=True)["input_ids"]
    request = Request(messages=(Message(role="user", content=said[0]["content"]),), max_tokens=8)
    engine = open_engine(fixture_f32, EngineOptions(context=256))
    try:
        assert engine.count_tokens(request) == len(theirs)
        assert engine.submit(request).result().samples[0].text
    finally:
        engine.close()


@pytest.mark.parametrize("type_", TYPES)
def test_types_and_what_the_header_says(type_: FloatType, tmp_path: Path) -> None:
    target = tmp_path / "made.gguf"
    seen: list[tuple[int, int]] = []
    made = convert(FIXTURE, target, type_=type_, progress=lambda done, total: seen.append((done, total)))
    assert made == read_header(target)
    assert made.quantization == type_.upper()
    assert (made.n_head, made.n_head_kv, made.key_length, made.block_count) == (4, 2, 64, 6)
    assert (made.tokenizer_model, made.tokenizer_pre, made.vocab_size) == ("gpt2", "llama-bpe", 4096)
    assert made.chat_template == json.loads((FIXTURE / "tokenizer_config.json").read_text())["chat_template"]
    assert {share.type for share in made.tensor_types} == {type_.upper(), "F32"}
    assert seen[-1] == (made.weight_bytes, made.weight_bytes)
    assert [p.name for p in tmp_path.iterdir()] == ["made.gguf"]


def test_half_precision_files_compute_nearly_the_same(tmp_path: Path) -> None:
    reference = torch_logits(FIXTURE, SOME)
    for type_ in TYPES[:2]:
        convert(FIXTURE, tmp_path / type_, type_=type_)
        assert float(np.abs(llama_logits(tmp_path / type_, SOME) - reference).mean()) < 0.05, type_


def test_shards_and_untied_embeddings(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "hf", shard="300KB")
    assert len(list(folder.glob("*.safetensors"))) == 3
    assert differ(folder, SOME, tmp_path) < 2e-3


def test_tied_embeddings_and_heads_wider_than_the_stream(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "hf", tie_word_embeddings=True, head_dim=32, num_key_value_heads=1)
    assert differ(folder, SOME, tmp_path) < 2e-3


LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
LINEAR = {"rope_type": "linear", "rope_theta": 20_000.0, "factor": 4.0}


@pytest.mark.parametrize("rope", [LLAMA3, LINEAR], ids=["llama3", "linear"])
def test_scaled_positions_beyond_the_original_length(rope: dict[str, float], tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "hf", rope_parameters=rope)
    assert differ(folder, SOME, tmp_path) < 2e-3
    new = read_config(folder)
    # As transformers wrote it up to version 4, and as Llama 3.1 has it.
    scaling = {key: value for key, value in rope.items() if key != "rope_theta"}
    change_json(folder / "config.json", rope_parameters=None, rope_scaling=scaling, rope_theta=rope["rope_theta"])
    assert read_config(folder) == new
    # And it matters: without the scaling the answers are others.
    change_json(folder / "config.json", rope_scaling=None)
    convert(folder, tmp_path / "plain.gguf", type_="f32")
    difference = llama_logits(tmp_path / "plain.gguf", SOME) - llama_logits(tmp_path / "made.gguf", SOME)
    assert float(np.abs(difference[200:]).max()) > 0.1


def test_conversion_holds_a_piece_and_not_a_tensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_checkpoint(tmp_path / "hf")
    convert(folder, tmp_path / "whole.gguf", type_="bf16")
    monkeypatch.setattr(sys.modules[convert.__module__], "PIECE", 1500)
    convert(folder, tmp_path / "pieces.gguf", type_="bf16")
    assert (tmp_path / "whole.gguf").read_bytes() == (tmp_path / "pieces.gguf").read_bytes()
