"""How much memory llama.cpp needs beside weights and cache: activations, scores, logits.

The formulas were found by comparing with what llama.cpp (0.3.36, on a CPU) reports: 96 combinations of context,
sequences, layout and attention on each of four shapes; never more than 0.1 MiB too low, at most 19 MiB too high.
"""

from __future__ import annotations

from leafwise.runtime.gguf_header import GGUFHeader, KVType


def compute_bytes(
    header: GGUFHeader, *, rows: int, cells: int, outputs: int, flash_attention: bool, kv_type: KVType
) -> int:
    """Bytes of llama.cpp's compute buffer and work buffer on a CPU, for the Llama family.

    The buffer is as large as the widest moment of the graph. For a step of T rows (`n_ubatch`), each over the C
    cells of its stream, O outputs, width w, feed-forward width f, H heads, query width q and value width v of a block,
    and vocabulary V, all in floats (4 bytes):

    - attention without flash: scores T·C·H, mask T·C, residual, query and their copies T·(4w + q), and T·2v for the
      places of the transposed values;
    - feed-forward: T·(3f + 3w), T·w more with flash attention over f16, the mask (half as large with flash attention)
      and the places of the values;
    - output: O·V, T·4w and the mask.

    The work buffer holds the converted right-hand side of a matrix product: T·f of 9 bits, or the scores in f16.
    """
    width, wide = header.embedding_length, feed_forward_length(header)
    floats, work = 4 * rows, 9 * rows * max(wide, width) // 8
    mask = (2 if flash_attention else 4) * rows * cells
    logits = 4 * outputs * header.vocab_size + 4 * floats * width + mask
    if flash_attention:
        widest = max(logits, floats * (3 * wide + (4 if kv_type == "f16" else 3) * width) + mask)
    else:
        work = max(work, 2 * rows * cells * header.n_head)
        places = 8 * rows * header.n_head_kv * header.value_length + mask
        attention = floats * (cells * header.n_head + 4 * width + header.n_head * header.key_length) + places
        widest = max(logits, attention, floats * 3 * (wide + width) + places)
    return widest + work


def feed_forward_length(header: GGUFHeader) -> int:
    """Width of the feed-forward network, from the number of parameters.

    Three matrices of it and the attention's four make up a block. A little too wide where the output matrix is not the
    embedding's; at most 8 times the width, because a mixture of experts uses few of its experts at once.
    """
    width, blocks = header.embedding_length, header.block_count
    if not width or not blocks:
        return 0
    heads = 2 * header.n_head * header.key_length + header.n_head_kv * (header.key_length + header.value_length)
    block = (header.parameters - header.vocab_size * width) // blocks - heads * width
    return max(width, min(block // (3 * width), 8 * width))
