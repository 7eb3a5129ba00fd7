"""The errors of making GGUF files.

LeafwiseError
└── QuantizeError    the input cannot be quantized as asked, or the output cannot be written
"""

from __future__ import annotations

from leafwise.runtime.errors import LeafwiseError


class QuantizeError(LeafwiseError):
    """The file cannot be made; nothing is left behind and the input is untouched."""
