"""Made-up cost tables."""

from __future__ import annotations

import random

from leafwise.quant.contracts import Choice, CostTable, TensorCosts

# type -> bits per weight, relative error, and seconds per weight in prefill: the repacked ones are quick
KINDS = {
    "q2_k": (2.625, 0.09, 3.0),
    "iq3_xxs": (3.0625, 0.05, 5.0),
    "q3_k": (3.4375, 0.03, 3.2),
    "iq3_s": (3.4375, 0.027, 5.2),
    "iq4_xs": (4.25, 0.0085, 2.6),
    "q4_0": (4.5, 0.011, 1.0),
    "iq4_nl": (4.5, 0.0083, 1.05),
    "q4_k": (4.5, 0.0075, 1.5),
    "q5_0": (5.5, 0.0028, 2.8),
    "q5_k": (5.5, 0.0019, 2.5),
    "q6_k": (6.5625, 0.0005, 2.4),
    "q8_0": (8.5, 0.00004, 2.0),
}
SHAPES_8B = {
    "attn_q": (4096, 4096), "attn_k": (4096, 1024), "attn_v": (4096, 1024), "attn_output": (4096, 4096),
    "ffn_gate": (4096, 14336), "ffn_up": (4096, 14336), "ffn_down": (14336, 4096),
}  # fmt: skip


def tensor(name: str, shape: tuple[int, ...], importance: float, rng: random.Random) -> TensorCosts:
    """A tensor with errors and times that are about as they are measured."""
    count, parts = shape[0] * shape[1], name.split(".")
    choices = tuple(
        Choice(
            type=type_,
            bytes=int(count * bits / 8),
            error=importance * error * rng.uniform(0.8, 1.25) * count,
            prefill_seconds=seconds * count * rng.uniform(0.95, 1.05) * 1e-9,
            decode_seconds=bits * count * rng.uniform(0.95, 1.05) * 1e-11,
            batch_seconds=seconds * count * rng.uniform(0.95, 1.05) * 1e-10,
        )
        for type_, (bits, error, seconds) in KINDS.items()
    )
    block = int(parts[1]) if parts[0] == "blk" else None
    kind = parts[-2]
    return TensorCosts(name=name, kind=kind, block=block, shape=shape, energy=importance * count, choices=choices)


def llama_8b(seed: int = 0, blocks: int = 32) -> CostTable:
    """225 tensors with 12 types each, as Llama 3 8B has them."""
    rng = random.Random(seed)
    tensors = [tensor("token_embd.weight", (4096, 128_256), 0.01, rng)]
    for block in range(blocks):
        for kind, shape in SHAPES_8B.items():
            sharp = {"attn_v": 6.0, "ffn_down": 2.0}.get(kind, 1.0)
            tensors.append(tensor(f"blk.{block}.{kind}.weight", shape, sharp * rng.lognormvariate(0, 0.7), rng))
    return table([*tensors, tensor("output.weight", (4096, 128_256), 1.5, rng)][: 7 * blocks + 1])


def table(tensors: list[TensorCosts], *, other_bytes: int = 1_064_960, other_parameters: int = 266_240) -> CostTable:
    return CostTable(
        source_sha256="0" * 64,
        importance_sha256=None,
        machine="none",
        other_bytes=other_bytes,
        other_parameters=other_parameters,
        tensors=tuple(tensors),
    )
