"""Checkpoints to convert, and what llama.cpp and `transformers` make of them."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FIXTURE = Path(__file__).resolve().parent / "data" / "llama-py"
"""A trained Llama of 4.6 M parameters, by `train_fixture.py`."""
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


def make_checkpoint(folder: Path, *, shard: str = "1GB", seed: int = 1, **changes: Any) -> Path:
    """Random weights, large enough for attention to matter, with the fixture's tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    settings = {
        "vocab_size": 4096,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 512,
        "initializer_range": 0.15,
        "tie_word_embeddings": False,
        "bos_token_id": 4088,
        "eos_token_id": 4089,
    }
    model = LlamaForCausalLM(LlamaConfig(**(settings | changes)))
    model.save_pretrained(folder, max_shard_size=shard)
    for name in TOKENIZER:
        shutil.copy(FIXTURE / name, folder / name)
    return folder


def change_json(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file; None removes one."""
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}), encoding="utf-8")


def torch_logits(folder: Path, tokens: list[int]) -> npt.NDArray[np.float32]:
    """What `transformers` computes in F32: a row for each token."""
    import torch
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        found: npt.NDArray[np.float32] = model(torch.tensor([tokens])).logits[0].numpy()
    return found


def llama_logits(file: Path, tokens: list[int]) -> npt.NDArray[np.float32]:
    """What llama.cpp computes with an F32 KV cache: a row for each token."""
    import llama_cpp

    model = llama_cpp.Llama(
        str(file),
        n_ctx=len(tokens),
        n_batch=len(tokens),
        n_threads=2,
        n_threads_batch=2,
        logits_all=True,
        type_k=llama_cpp.GGML_TYPE_F32,
        type_v=llama_cpp.GGML_TYPE_F32,
        verbose=False,
    )
    try:
        model.eval(tokens)
        return np.array(model.scores[: len(tokens)], dtype=np.float32)
    finally:
        model.close()


class LlamaTokens:
    """llama.cpp's tokenizer of a GGUF file."""

    def __init__(self, file: Path) -> None:
        import llama_cpp

        self._model = llama_cpp.Llama(str(file), vocab_only=True, verbose=False)

    def __call__(self, text: str, *, begin: bool = False) -> list[int]:
        return list(self._model.tokenize(text.encode(), add_bos=begin, special=True))

    def close(self) -> None:
        self._model.close()


def hugging_face_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AutoTokenizer.from_pretrained(folder)


def code_lines(count: int) -> list[str]:
    """Lines of the standard library, with their line ends."""
    import argparse
    import decimal
    import textwrap
    import typing

    lines: list[str] = []
    for module in (typing, argparse, textwrap, decimal):
        assert module.__file__
        lines += Path(module.__file__).read_text(encoding="utf-8").splitlines(keepends=True)
    return lines[:: max(1, len(lines) // count)][:count]


_WOMAN_AND_CHILD = "\U0001f469\u200d\U0001f467"
_FRAKTUR = "\U0001d518\U0001d52b\U0001d526"
_WRITING = (
    "🙂",
    _WOMAN_AND_CHILD,
    "🇩🇪",
    "é",
    "e\u0301",
    "ß",
    "漢字",
    "日本語のテキスト",
    "한국어",
    "العربية",
    "हिन्दी",
    _FRAKTUR,
)
_SPACES = (
    "\u00a0",
    "\u3000",
    "\u2028",
    "\x85",
    "\ufeff",
    "\u200b",
    "\r\n",
    "\r",
    "\n\n\n",
    "\t",
    "\t\t\t",
    " ",
    " " * 17,
)
_CODE = (
    " " * 200,
    "\n    ",
    "    return x",
    "x_1",
    "__init__",
    "=>",
    "!!!!",
    "...",
    "\\n",
    "#" * 40,
    "def f(a):\n\treturn a\n",
)
_SPECIAL = (
    "<|begin_of_text|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|end_of_text|>",
    "<|im_",
    "<s>",
    "</s>",
    "<0x0A>",
    "|>",
)
_REST = (
    "it's",
    "IT'S",
    "we'll",
    "'",
    "1234567",
    "3.14159e-10",
    "١٢٣",
    "½",
    "naïve café",
    "\x00",
    "\x7f",
    "a" * 60,
    "ǅ",
    "\U0010ffff",
)
_FRAGMENTS = (*_WRITING, *_SPACES, *_CODE, *_SPECIAL, *_REST)


def odd_strings(count: int) -> list[str]:
    """Every odd fragment alone, then seeded mixtures of them."""
    random = np.random.default_rng(3)
    mixed = ["".join(random.choice(_FRAGMENTS, size=random.integers(2, 7))) for _ in range(count)]
    return ["", *_FRAGMENTS, *mixed][:count]
