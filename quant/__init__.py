"""Making GGUF files: so far llama.cpp's named mixes, written safely."""

from leafwise.quant.errors import QuantizeError
from leafwise.quant.quantize import MIXES, quantize

__all__ = ["MIXES", "QuantizeError", "quantize"]
