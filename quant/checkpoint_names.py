"""Which tensor of a Hugging Face Llama becomes which one of the GGUF file, and of which shape it must be."""

from __future__ import annotations

import re
from collections.abc import Iterator

from leafwise.quant.checkpoint import StoredTensor
from leafwise.quant.errors import QuantizeError
from leafwise.quant.llama_config import LlamaConfig
from leafwise.runtime.contracts import Contract

# Buffers that older checkpoints carry along; they are computed from config.json.
_COMPUTED = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")


class Mapped(Contract):
    """A tensor to convert."""

    source: StoredTensor
    """Where it is."""
    name: str
    """In the GGUF file."""
    heads_of: int = 0
    """Where rows are reordered: the elements of a head; 0 where they stay."""


def map_tensors(config: LlamaConfig, stored: dict[str, StoredTensor]) -> list[Mapped]:
    """Every tensor to convert, in the file's order.

    Raises:
        QuantizeError: one is missing, has another shape, or is not part of a Llama.
    """
    expected = list(_expected(config))
    left = {name for name in stored if not _COMPUTED.fullmatch(name)} - {name for name, *_ in expected}
    if config.tied:
        left.discard("lm_head.weight")  # `transformers` ignores it too
    if left:
        name = min(left)
        raise QuantizeError(
            f"the tensor {name[:100]} has no place in a Llama ({len(left)} such tensors)",
            "biases, adapters and quantization scales are not supported: merge them, or get the full-precision model",
        )
    missing = [name for name, *_ in expected if name not in stored]
    if missing:
        hint = "download the model again"
        if missing == ["lm_head.weight"]:
            hint += "; if its output is tied to its embedding, config.json must say tie_word_embeddings"
        raise QuantizeError(f"{len(missing)} tensors are missing, the first is {missing[0]}", hint)
    for name, _, shape, _ in expected:
        if stored[name].shape != shape:
            raise QuantizeError(
                f"the tensor {name} has the shape {stored[name].shape}, and config.json makes it {shape}",
                "do config.json and the weights belong together?",
            )
    return [Mapped(source=stored[name], name=to, heads_of=heads) for name, to, _, heads in expected]


def _expected(config: LlamaConfig) -> Iterator[tuple[str, str, tuple[int, ...], int]]:
    """Name in the checkpoint, name in the file, shape (rows first), and elements of a head for rows to reorder."""
    hidden, inner, length = config.hidden, config.feed_forward, config.head_length
    queries, keys = config.heads * length, config.kv_heads * length
    yield "model.embed_tokens.weight", "token_embd.weight", (config.vocabulary, hidden), 0
    for i in range(config.layers):
        block = f"model.layers.{i}"
        yield f"{block}.input_layernorm.weight", f"blk.{i}.attn_norm.weight", (hidden,), 0
        yield f"{block}.self_attn.q_proj.weight", f"blk.{i}.attn_q.weight", (queries, hidden), length
        yield f"{block}.self_attn.k_proj.weight", f"blk.{i}.attn_k.weight", (keys, hidden), length
        yield f"{block}.self_attn.v_proj.weight", f"blk.{i}.attn_v.weight", (keys, hidden), 0
        yield f"{block}.self_attn.o_proj.weight", f"blk.{i}.attn_output.weight", (hidden, queries), 0
        yield f"{block}.post_attention_layernorm.weight", f"blk.{i}.ffn_norm.weight", (hidden,), 0
        yield f"{block}.mlp.gate_proj.weight", f"blk.{i}.ffn_gate.weight", (inner, hidden), 0
        yield f"{block}.mlp.up_proj.weight", f"blk.{i}.ffn_up.weight", (inner, hidden), 0
        yield f"{block}.mlp.down_proj.weight", f"blk.{i}.ffn_down.weight", (hidden, inner), 0
    yield "model.norm.weight", "output_norm.weight", (hidden,), 0
    if not config.tied:
        yield "lm_head.weight", "output.weight", (config.vocabulary, hidden), 0
