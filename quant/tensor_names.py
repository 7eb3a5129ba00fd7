"""What a tensor's name says: its kind, its block, and whether llama.cpp's quantizer touches it."""

from __future__ import annotations

import re
from collections.abc import Sequence

TOKEN_EMBEDDING = "token_embd.weight"
OUTPUT = "output.weight"

# Parts of names that llama.cpp's quantizer leaves alone, in every architecture (`tensor_allows_quantization`; it has
# some more for position embeddings of BERT and for one architecture alone). They are small or delicate.
_LEFT_ALONE = (
    *("_norm.weight", "ffn_gate_inp.weight", "ffn_gate_tid2eid.weight", "altup", "laurel", "per_layer_model_proj"),
    *("position_embd.weight", "token_types.weight", "ssm_conv1d", "shortconv.conv.weight", "indexer.k_proj.weight"),
    *("indexer.q_proj.weight", "time_mix_first.weight", "time_mix_w0.weight", "time_mix_w1.weight"),
    *("time_mix_w2.weight", "time_mix_v0.weight", "time_mix_v1.weight", "time_mix_v2.weight", "time_mix_a0.weight"),
    *("time_mix_a1.weight", "time_mix_a2.weight", "time_mix_g1.weight", "time_mix_g2.weight"),
    *("time_mix_decay_w1.weight", "time_mix_decay_w2.weight", "time_mix_lerp_fused.weight", "attn_rel_b.weight"),
    *(".position_embd", "sam.pos_embd", "sam.neck.", "sam.net_", ".rel_pos", ".patch_embd", ".patch_merger"),
    *("a.rvq.codebook", "mm.a.code_embd"),
)
_BLOCK = re.compile(r"blk\.(\d+)\.")


def quantizable(name: str, shape: Sequence[int]) -> bool:
    """Whether llama.cpp quantizes a tensor: matrices, called weights, that are no norms and not among the delicate.

    Args:
        name: as in the GGUF file.
        shape: elements per dimension, the row's length first.
    """
    matrix = any(extent > 1 for extent in shape[1:])
    return matrix and name.endswith("weight") and not any(part in name for part in _LEFT_ALONE)


def block_of(name: str) -> int | None:
    """The transformer block a tensor belongs to; None outside of them."""
    found = _BLOCK.match(name)
    return int(found[1]) if found else None


def kind_of(name: str) -> str:
    """The name without block and suffix: `ffn_down` for `blk.0.ffn_down.weight`."""
    return _BLOCK.sub("", name, count=1).removesuffix(".weight")
