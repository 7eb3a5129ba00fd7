"""What a checkpoint's `config.json` says, checked: only what llama.cpp computes as `transformers` does is accepted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from leafwise.quant.checkpoint_json import read_object
from leafwise.quant.errors import QuantizeError
from leafwise.runtime.contracts import Contract

ARCHITECTURE = "LlamaForCausalLM"
_LARGEST = float(np.finfo(np.float32).max)  # GGUF files have numbers in float32


class RopeScaling(Contract):
    """How positions are stretched beyond those of the first training."""

    kind: Literal["linear", "llama3"]
    """`linear` divides every frequency by the factor; `llama3` only low ones (Llama 3.1 and later)."""
    factor: float = Field(gt=0, allow_inf_nan=False)
    """How many times the context was stretched."""
    low: float = Field(default=0, allow_inf_nan=False)
    """`low_freq_factor`."""
    high: float = Field(default=0, allow_inf_nan=False)
    """`high_freq_factor`."""
    original: int = 0
    """Tokens of context before."""


class LlamaConfig(Contract):
    """The dimensions of a Llama."""

    hidden: int = Field(gt=0)
    """Width of the residual stream."""
    feed_forward: int = Field(gt=0)
    """Width inside the feed-forward network."""
    layers: int = Field(gt=0, le=4096)
    """Transformer blocks."""
    heads: int = Field(gt=0)
    """Attention heads of a block."""
    kv_heads: int = Field(gt=0)
    """Key and value heads of a block."""
    head_length: int = Field(gt=0)
    """Elements of a head."""
    vocabulary: int = Field(gt=0)
    """Rows of the embedding."""
    context: int = Field(gt=0)
    """Tokens of context."""
    epsilon: float = Field(gt=0, allow_inf_nan=False)
    """Added to the mean square in RMSNorm."""
    rope_base: float = Field(gt=0, allow_inf_nan=False)
    """The base of the rotary frequencies."""
    scaling: RopeScaling | None
    """None for plain rotary positions."""
    tied: bool
    """The output multiplies with the embedding."""

    def rope_factors(self) -> npt.NDArray[np.float32] | None:
        """What llama.cpp divides each rotary frequency by: `head_length / 2` factors; None where all are alike.

        The formula is that of Llama 3.1's published code: wavelengths below original / high stay, those above
        original / low are stretched by the factor, and between them the inverse is interpolated.
        """
        if self.scaling is None or self.scaling.kind != "llama3":
            return None
        scaling = self.scaling
        exponents = np.arange(0, self.head_length, 2, dtype=np.float64) / self.head_length
        turns = scaling.original / (2 * math.pi) * self.rope_base**-exponents  # original context / wavelength
        smooth = np.clip((turns - scaling.low) / (scaling.high - scaling.low), 0, 1)
        return (1 / ((1 - smooth) / scaling.factor + smooth)).astype(np.float32)


def read_config(source: Path) -> LlamaConfig:
    """Read and check `config.json`.

    Raises:
        QuantizeError: it is missing or damaged, names another architecture, or asks for what llama.cpp does not do.
    """
    config = read_object(source / "config.json")
    _check_kind(config)
    heads, hidden = _count(config, "num_attention_heads"), _count(config, "hidden_size")
    head_length = _count(config, "head_dim") if config.get("head_dim") is not None else hidden // heads
    if not head_length:
        raise QuantizeError(
            f"config.json: {heads} heads cannot share {hidden} elements (hidden_size)", "is it the right config.json?"
        )
    found = LlamaConfig(
        hidden=hidden,
        feed_forward=_count(config, "intermediate_size"),
        layers=_count(config, "num_hidden_layers", 4096),
        heads=heads,
        kv_heads=heads if config.get("num_key_value_heads") is None else _count(config, "num_key_value_heads"),
        head_length=head_length,
        vocabulary=_count(config, "vocab_size"),
        context=_count(config, "max_position_embeddings", 2**31),
        epsilon=_number(config, "rms_norm_eps"),
        rope_base=_number(_rope(config), "rope_theta", 10_000.0),
        scaling=_scaling(config),
        tied=bool(config.get("tie_word_embeddings", False)),
    )
    if found.heads % found.kv_heads or found.head_length % 2:
        raise QuantizeError(
            f"config.json: {found.heads} heads of {found.head_length} elements cannot share {found.kv_heads} KV heads",
            "is it the right config.json?",
        )
    return found


def _check_kind(config: dict[str, Any]) -> None:
    names = config.get("architectures")
    named = names[0] if isinstance(names, list) and names else config.get("model_type", "none")
    if named != ARCHITECTURE:
        raise QuantizeError(
            f"the architecture {str(named)[:60]} is not supported",
            f"leafwise converts {ARCHITECTURE} (Llama 2 and 3, TinyLlama, SmolLM2); for others get a GGUF file: "
            "many are published",
        )
    if config.get("quantization_config"):
        method = config["quantization_config"]
        method = method.get("quant_method", "?") if isinstance(method, dict) else "?"
        raise QuantizeError(f"the weights are quantized already ({str(method)[:40]})", "get the full-precision one")
    wanted = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "partial_rotary_factor": 1.0}
    for key, value in wanted.items():
        if config.get(key) not in (None, value):
            raise QuantizeError(
                f"config.json: {key} {str(config[key])[:40]} is not supported",
                f"leafwise converts models with {value!r}",
            )


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    """The rotary parameters, whose place depends on the `transformers` version that wrote the file."""
    merged = {"rope_theta": config["rope_theta"]} if config.get("rope_theta") is not None else {}
    for key in ("rope_scaling", "rope_parameters"):
        value = config.get(key)
        if isinstance(value, dict):
            merged |= value
        elif value is not None:
            raise QuantizeError(f"config.json: {key} is no object", "is it the right config.json?")
    return merged


def _scaling(config: dict[str, Any]) -> RopeScaling | None:
    rope = _rope(config)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind in ("default", None):
        return None
    if kind == "linear":
        return RopeScaling(kind="linear", factor=_number(rope, "factor"))
    if kind != "llama3":
        raise QuantizeError(
            f"config.json: the rope scaling {str(kind)[:40]!r} is not supported", "leafwise knows linear and llama3"
        )
    original = rope if "original_max_position_embeddings" in rope else config
    found = RopeScaling(
        kind="llama3",
        factor=_number(rope, "factor"),
        low=_number(rope, "low_freq_factor"),
        high=_number(rope, "high_freq_factor"),
        original=_count(original, "original_max_position_embeddings", 2**31),
    )
    if found.low >= found.high:
        raise QuantizeError("config.json: low_freq_factor is above high_freq_factor", "is it the right config.json?")
    return found


def _count(config: dict[str, Any], key: str, most: int = 2**24) -> int:
    value = config.get(key)
    if type(value) is not int or not 0 < value <= most:
        raise QuantizeError(f"config.json: {key} is {str(value)[:40]}, not a count", "is it the right config.json?")
    return value


def _number(config: dict[str, Any], key: str, default: float | None = None) -> float:
    value = config.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LARGEST:
        raise QuantizeError(f"config.json: {key} is {str(value)[:40]}, not a number", "is it the right config.json?")
    return float(value)
