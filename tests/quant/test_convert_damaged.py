"""JSON files of a checkpoint that hold anything: they are read, or refused with a hint, never a traceback."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_llamas import FIXTURE

from leafwise.quant.errors import QuantizeError
from leafwise.quant.llama_config import read_config
from leafwise.quant.tokenizer_files import read_tokenizer

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**40,
    1.5,
    "",
    "x",
    "\ud800",
    [],
    [1],
    ["x", "y"],
    {},
    {"type": "x"},
    {"id": 3},
)
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "vocab_size": 300,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 1e4,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": [2, 3],
    "quantization_config": None,
}


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def changed(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    made = copy.deepcopy(content)
    inner = made
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return made


def small_tokenizer(*, sentencepiece: bool) -> dict[str, Any]:
    """The fixture's `tokenizer.json` with few tokens, or one that SentencePiece's looks like."""
    whole: dict[str, Any] = json.loads((FIXTURE / "tokenizer.json").read_text(encoding="utf-8"))
    model = whole["model"]
    model["vocab"] = {token: i for i, token in enumerate(list(model["vocab"])[:40])}
    model["merges"] = []
    whole["added_tokens"] = whole["added_tokens"][:2]
    for i, token in enumerate(whole["added_tokens"]):
        token["id"] = 40 + i
    if sentencepiece:
        model |= {"byte_fallback": True, "unk_token": "a", "merges": [["a", "b"]]}
        whole["pre_tokenizer"] = None
        steps = [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
        whole["normalizer"] = {"type": "Sequence", "normalizers": steps}
    return whole


@pytest.mark.parametrize("sentencepiece", [False, True], ids=["byte-level", "sentencepiece"])
def test_damaged_json(sentencepiece: bool, tmp_path: Path) -> None:
    settings = {
        "bos_token": {"content": "<|begin_of_text|>"},
        "eos_token": "<|end_of_text|>",
        "added_tokens_decoder": {"40": {"content": "<|begin_of_text|>", "special": True}},
        "chat_template": [{"name": "default", "template": "x"}],
        "add_bos_token": True,
    }
    sound = {
        "config.json": CONFIG,
        "tokenizer.json": small_tokenizer(sentencepiece=sentencepiece),
        "tokenizer_config.json": settings,
        "added_tokens.json": {"<more>": 42},
    }
    for name, content in sound.items():
        (tmp_path / name).write_text(json.dumps(content))
    read_config(tmp_path)
    found = read_tokenizer(tmp_path, 300).special
    assert (found["bos"], found["eos"]) == (40, 41)
    random, refused = np.random.default_rng(9), 0
    for name, content in sound.items():
        where = places(content)
        for _ in range(150):
            value = ODD[random.integers(0, len(ODD))]
            (tmp_path / name).write_text(json.dumps(changed(content, where[random.integers(0, len(where))], value)))
            try:
                read_config(tmp_path)
                read_tokenizer(tmp_path, 300)
            except QuantizeError:
                refused += 1
        (tmp_path / name).write_text(json.dumps(content))
    assert refused > 100
