"""The table of types says what the installed ggml says; names decide what is quantized as llama.cpp decides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_gguf import quantize_stock, weights, write_gguf

from leafwise.quant.native_ggml import ggml_base
from leafwise.quant.tensor_names import block_of, kind_of, quantizable
from leafwise.quant.tensor_types import TYPES, TensorType, bytes_of, encodable, fits, type_named
from leafwise.runtime.errors import UsageError

each_type = pytest.mark.parametrize("type_", TYPES.values(), ids=lambda t: t.name)


@each_type
def test_blocks_are_those_of_the_installed_ggml(type_: TensorType) -> None:
    ggml = ggml_base()
    assert type_.block_bytes == ggml.ggml_type_size(type_.number)
    assert type_.block_length == ggml.ggml_blck_size(type_.number)
    assert (type_.importance == "required") == ggml.ggml_quantize_requires_imatrix(type_.number)


def test_the_types_that_models_are_made_of_are_there() -> None:
    assert {"f16", "q8_0", "q6_k", "q4_k", "q4_0", "iq4_nl", "iq4_xs", "q3_k", "q2_k", "iq2_xxs"} <= set(TYPES)
    assert TYPES["q4_k"].bits == 4.5
    assert type_named("Q4_K") is TYPES["q4_k"]
    with pytest.raises(UsageError, match="q4_q"):
        type_named("q4_q")


def test_rows_must_be_whole_blocks() -> None:
    assert fits(TYPES["q4_k"], 512)
    assert not fits(TYPES["q4_k"], 576)
    assert fits(TYPES["q4_0"], 576)
    assert not fits(TYPES["q4_0"], 16)
    assert fits(TYPES["f16"], 1)
    assert bytes_of(TYPES["q4_0"], (576, 10)) == 10 * 18 * 18
    assert bytes_of(TYPES["q6_k"], (256, 2, 3)) == 6 * 210
    with pytest.raises(UsageError, match="576"):
        bytes_of(TYPES["q4_k"], (576, 10))


def test_without_importance_the_smallest_types_are_out() -> None:
    block, embedding = "blk.0.ffn_up.weight", "token_embd.weight"
    assert all(encodable(t, block, importance=True) for t in TYPES.values())
    out = {t.name for t in TYPES.values() if not encodable(t, block, importance=False)}
    assert out == {"iq3_xxs", "iq2_s", "iq2_xs", "iq2_xxs"}
    assert {t.name for t in TYPES.values() if not encodable(t, embedding, importance=False)} == {"iq2_xs", "iq2_xxs"}


def test_names() -> None:
    assert (block_of("blk.12.ffn_down.weight"), kind_of("blk.12.ffn_down.weight")) == (12, "ffn_down")
    assert (block_of("token_embd.weight"), kind_of("token_embd.weight")) == (None, "token_embd")


def test_what_is_quantized_is_what_llama_cpp_quantizes(tmp_path: Path) -> None:
    matrices = (
        *(
            "token_embd.weight",
            "output.weight",
            "blk.0.attn_q.weight",
            "blk.0.ffn_down.weight",
            "blk.0.attn_norm.weight",
        ),
        *("blk.0.ffn_gate_inp.weight", "blk.0.attn_q.bias", "blk.0.ssm_conv1d.weight", "blk.0.attn_rel_b.weight"),
    )
    tensors = {name: weights(4, 256) for name in matrices}
    tensors |= {"rope_freqs.weight": np.ones(256, np.float16), "blk.0.thin.weight": weights(1, 256)}
    source = write_gguf(tmp_path / "source.gguf", tensors)
    made = quantize_stock(source, tmp_path / "made.gguf", dict.fromkeys(tensors, TYPES["q4_0"].number))
    touched = {name for name, data in made.items() if len(data) != tensors[name].nbytes}
    assert touched == {name for name, values in tensors.items() if quantizable(name, values.shape[::-1])}
    assert len(touched) == 4
