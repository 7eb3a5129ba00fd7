"""llama.cpp's named mixes of tensor types."""

from __future__ import annotations

from leafwise.runtime.contracts import Contract


class Mix(Contract):
    """One of llama.cpp's named mixes of tensor types."""

    name: str
    """For example `q4_k_m`."""
    file_type: int
    """llama.cpp's number for it (`LLAMA_FTYPE_*`)."""
    bits_per_weight: float
    """About what it takes, for planning disk space."""
    needs_importance: bool = False
    """Without an importance matrix llama.cpp refuses it, or the result is garbage."""


MIXES = {
    name: Mix(name=name, file_type=number, bits_per_weight=bits, needs_importance=needs == "importance")
    for name, number, bits, needs in (
        ("f32", 0, 32.0, ""),
        ("f16", 1, 16.0, ""),
        ("bf16", 32, 16.0, ""),
        ("q8_0", 7, 8.5, ""),
        ("q6_k", 18, 6.6, ""),
        ("q5_k_m", 17, 5.7, ""),
        ("q5_k_s", 16, 5.5, ""),
        ("q5_1", 9, 6.0, ""),
        ("q5_0", 8, 5.6, ""),
        ("q4_k_m", 15, 4.9, ""),
        ("q4_k_s", 14, 4.6, ""),
        ("q4_1", 3, 5.0, ""),
        ("q4_0", 2, 4.6, ""),
        ("iq4_nl", 25, 4.6, ""),
        ("iq4_xs", 30, 4.3, ""),
        ("q3_k_l", 13, 4.3, ""),
        ("q3_k_m", 12, 4.0, ""),
        ("q3_k_s", 11, 3.7, ""),
        ("iq3_m", 27, 3.8, ""),
        ("iq3_s", 26, 3.7, ""),
        ("iq3_xs", 22, 3.5, "importance"),
        ("iq3_xxs", 23, 3.3, "importance"),
        ("q2_k", 10, 3.2, ""),
        ("q2_k_s", 21, 3.0, "importance"),
        ("iq2_m", 29, 3.0, "importance"),
        ("iq2_s", 28, 2.8, "importance"),
        ("iq2_xs", 20, 2.6, "importance"),
        ("iq2_xxs", 19, 2.4, "importance"),
        ("iq1_m", 31, 2.2, "importance"),
        ("iq1_s", 24, 2.0, "importance"),
    )
}
"""By name, most bits first within a family."""

IMPORTANCE_TYPES = frozenset({"iq3_xxs", "iq2_xxs", "iq2_xs", "iq2_s", "iq1_m", "iq1_s"})
"""Tensor types that llama.cpp encodes only with an importance matrix (but for the embeddings and the output)."""
EMBEDDINGS = frozenset({"token_embd.weight", "per_layer_token_embd.weight", "output.weight"})
"""The tensors that are let off."""
