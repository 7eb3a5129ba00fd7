"""Memory planned before loading: what is chosen, what is refused and why, and that llama.cpp takes what was planned."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from leafwise.runtime.compute_buffer import compute_bytes, feed_forward_length
from leafwise.runtime.engine_options import EngineOptions
from leafwise.runtime.errors import EngineError, UsageError
from leafwise.runtime.gguf_header import GGUFHeader, KVType, read_header
from leafwise.runtime.memory_plan import MAY_TAKE, MemoryPlan, plan_memory

GIB, MIB = 2**30, 2**20
LLAMA_8B = GGUFHeader(
    version=3,
    file_bytes=4_916_254_848,
    architecture="llama",
    name="Llama 3.1 8B",
    parameters=8_030_261_248,
    weight_bytes=4_912_898_048,
    tensor_types=(),
    context_length=131_072,
    block_count=32,
    embedding_length=4096,
    n_head=32,
    n_head_kv=8,
    n_head_kv_total=256,
    key_length=128,
    value_length=128,
    vocab_size=128_256,
    tokenizer_model="gpt2",
    tokenizer_pre="llama-bpe",
    chat_template=None,
    split_count=1,
)
SMALL = LLAMA_8B.model_copy(
    update={
        "parameters": 134_515_008,
        "weight_bytes": 96_600_000,
        "context_length": 8192,
        "block_count": 30,
        "embedding_length": 576,
        "n_head": 9,
        "n_head_kv": 3,
        "n_head_kv_total": 90,
        "key_length": 64,
        "value_length": 64,
        "vocab_size": 49_152,
    }
)


def plan(header: GGUFHeader, free: float, **options: Any) -> MemoryPlan:
    return plan_memory(header, EngineOptions(**options), int(free * GIB), name="m")


def refused(header: GGUFHeader, free: float, **options: Any) -> EngineError:
    with pytest.raises(EngineError) as caught:
        plan(header, free, **options)
    return caught.value


# what is chosen


def test_plenty_of_memory_gives_every_sequence_its_own_cells() -> None:
    found = plan(SMALL, 64)
    assert (found.layout, found.context, found.running, found.sequences) == ("separate", 4096, 16, 20)
    assert found.cells == 20 * 4096
    assert not found.flash_attention
    assert found.kv_bytes == 1800 * MIB


@pytest.mark.parametrize(
    ("free", "layout", "context", "running", "contexts"),
    [
        (64, "separate", 4096, 16, 20),
        (8, "separate", 4096, 16, 20),
        (6, "separate", 4096, 8, 12),
        (3, "unified", 8192, 16, 2),
        (0.5, "unified", 8192, 16, 1),
        (0.38, "unified", 4096, 16, 1),
        (0.345, "unified", 4096, 8, 1),
    ],
)
def test_less_memory_gives_less(free: float, layout: str, context: int, running: int, contexts: int) -> None:
    found = plan(SMALL, free)
    assert (found.layout, found.context, found.running) == (layout, context, running)
    assert found.cells == contexts * context
    assert found.total_bytes <= MAY_TAKE * free * GIB


def test_the_whole_range_of_memory_is_used_soberly() -> None:
    before = 0
    for free in range(4, 200):
        try:
            found = plan(LLAMA_8B, free / 4)
        except EngineError:
            assert not before, "more memory must never be refused"
            continue
        assert found.total_bytes <= MAY_TAKE * free / 4 * GIB
        before = found.total_bytes
    assert before


def test_a_short_training_context_is_the_default() -> None:
    assert plan(SMALL.model_copy(update={"context_length": 600}), 8).context == 600
    assert plan(SMALL.model_copy(update={"context_length": 0}), 64).context == 4096


@pytest.mark.parametrize(
    "options",
    [
        {"context": 1000, "kv_layout": "separate"},
        {"context": 1000, "kv_layout": "unified"},
        {"running": 3},
        {"running": 64, "kv_layout": "unified", "context": 300},
        {"kv_type": "q8_0"},
        {"flash_attention": True, "kv_layout": "separate", "context": 512},
        {"flash_attention": False, "kv_layout": "unified"},
        {"deterministic": True},
    ],
)
def test_what_is_asked_for_is_kept(options: dict[str, Any]) -> None:
    for free in (0.4, 1, 4, 64):
        try:
            found = plan(SMALL, free, **options)
        except EngineError:
            continue
        for key, value in options.items():
            if key != "deterministic":
                assert getattr(found, {"kv_layout": "layout"}.get(key, key)) == value
        streams = found.sequences if found.layout == "separate" else 1
        assert found.cells % (256 * streams) == 0
        assert found.cells // streams >= found.context
        assert found.sequences > found.running
        assert found.outputs >= found.sequences


def test_flash_attention_where_it_is_good() -> None:
    assert not plan(SMALL, 64, kv_layout="separate").flash_attention
    assert plan(SMALL, 64, kv_layout="unified").flash_attention
    assert plan(SMALL, 64, kv_layout="separate", kv_type="q4_0").flash_attention


def test_one_line_for_people() -> None:
    assert plan(SMALL, 3).describe() == (
        "16 samples at once, 8,192 tokens of context, unified f16 cache of 16,384 cells, flash attention; 604 MiB of "
        "memory: weights 92 MiB, cache 360 MiB, computing 51 MiB, process 101 MiB"
    )


# what is refused


def test_a_context_that_was_not_trained() -> None:
    error = refused(SMALL, 64, context=9000)
    assert error.message == "m has a context of 8192 tokens, not 9000"
    assert error.hint == "ask for a context of at most 8192"


def test_a_quantized_cache_needs_flash_attention() -> None:
    with pytest.raises(UsageError, match="needs flash attention"):
        plan(SMALL, 64, kv_type="q8_0", flash_attention=False)


def test_a_quantized_cache_needs_heads_of_whole_blocks() -> None:
    odd = SMALL.model_copy(update={"key_length": 80})
    assert "80 elements" in refused(odd, 64, kv_type="q8_0").message
    assert "KV cache" not in refused(odd, 0.3, context=8192, running=16).hint


def test_the_hint_names_what_fits() -> None:
    error = refused(SMALL, 2, context=8192, running=16, kv_layout="separate")
    assert error.message == (
        "m needs 3.9 GiB of memory at a context of 8,192 tokens with 16 running; of the 2.0 GiB free it may use 1.8 GiB"
    )
    assert error.hint == (
        "this would fit: a context of at most 3,328 tokens, or a q4_0 KV cache, or the unified cache layout, "
        "or at most 3 running"
    )
    for kept in ({"context": 3328}, {"kv_type": "q4_0"}, {"kv_layout": "unified"}, {"running": 3}):
        plan(SMALL, 2, **{"context": 8192, "running": 16, "kv_layout": "separate", **kept})
    refused(SMALL, 2, context=3329 + 256, running=16, kv_layout="separate")
    refused(SMALL, 2, context=8192, running=4, kv_layout="separate")


def test_the_hint_changes_all_where_one_is_not_enough() -> None:
    error = refused(LLAMA_8B, 5.6, context=8192, running=16, kv_layout="separate")
    assert error.hint == "this would fit: 4,096 tokens of context, 1 running, a unified q4_0 cache"
    plan(LLAMA_8B, 5.6, context=4096, running=1, kv_layout="unified", kv_type="q4_0")


def test_weights_that_do_not_fit() -> None:
    assert refused(LLAMA_8B, 4).hint == "use a file of at most 2.8 GiB, or free some memory"
    assert refused(LLAMA_8B, 0.2).hint == "use a smaller model, or free some memory"


# what llama.cpp takes


def test_the_parts_of_a_split_model_all_count() -> None:
    split = SMALL.model_copy(update={"split_count": 3})
    assert plan(split, 64).weight_bytes == 3 * SMALL.weight_bytes


def test_the_width_of_the_feed_forward_network() -> None:
    assert feed_forward_length(SMALL) == 1536
    assert 14_336 <= feed_forward_length(LLAMA_8B) <= 1.1 * 14_336
    assert feed_forward_length(LLAMA_8B.model_copy(update={"parameters": 47 * 10**9})) == 8 * 4096  # experts
    assert feed_forward_length(SMALL.model_copy(update={"block_count": 0})) == 0


@pytest.mark.parametrize(
    ("cells", "flash", "kv_type", "outputs", "reported"),
    [  # llama.cpp 0.3.36's "CPU compute buffer size" in MiB, for a sparse file of this shape
        (512, False, "f16", 32, 113.01),
        (2048, False, "f16", 32, 176.01),
        (8192, False, "f16", 32, 572.01),
        (2048, False, "f16", 512, 266.50),
        (512, True, "f16", 32, 116.51),
        (8192, True, "f16", 32, 124.01),
        (8192, True, "f16", 512, 266.50),
        (8192, True, "q8_0", 32, 116.09),
        (8192, True, "q4_0", 32, 116.09),
    ],
)
def test_compute_buffer_of_an_8b(cells: int, flash: bool, kv_type: KVType, outputs: int, reported: float) -> None:
    found = compute_bytes(LLAMA_8B, rows=512, cells=cells, outputs=outputs, flash_attention=flash, kv_type=kv_type)
    work = max(9 * 512 * feed_forward_length(LLAMA_8B) // 8, 0 if flash else 2 * 512 * cells * 32)
    assert -0.2 < (found - work) / MIB - reported < 34


LOADS = """
import ctypes, json, re, sys
import llama_cpp as L
path, cells, sequences, outputs, unified, flash, kv_type = sys.argv[1], *map(int, sys.argv[2:])
lines = []
log = L.llama_log_callback(lambda level, text, data: lines.append(text.decode()))
L.llama_log_set(log, ctypes.c_void_p(0))
L.llama_backend_init()
def memory(key):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(key))
before = memory("VmRSS")
how = L.llama_model_default_params()
how.load_mode = L.LLAMA_LOAD_MODE_NONE
model = L.llama_model_load_from_file(path.encode(), how)
how = L.llama_context_default_params()
how.n_ctx, how.n_batch, how.n_ubatch, how.n_seq_max, how.n_outputs_max = cells, 512, 512, sequences, outputs
how.n_threads = how.n_threads_batch = 2
how.kv_unified, how.flash_attn_type, how.type_k, how.type_v = bool(unified), flash, kv_type, kv_type
context = L.llama_init_from_model(model, how)
batch = L.llama_batch_init(512, 0, 1)
for begin in range(0, L.llama_n_ctx_seq(context), 512):
    batch.n_tokens = 512
    for i in range(512):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0] = 100 + i, begin + i, 1, 0
        batch.logits[i] = i == 511
    assert L.llama_decode(context, batch) == 0
sizes = {}
for kind, mib in re.findall(r"(compute|KV|output|model) buffer size = +([0-9.]+) MiB", "".join(lines)):
    sizes[kind] = sizes.get(kind, 0) + float(mib) * 2**20
print(json.dumps({**sizes, "cells": L.llama_n_ctx(context), "peak": memory("VmHWM") - before}))
"""


@pytest.mark.model
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    "options",
    [
        {"kv_layout": "separate", "context": 2000, "running": 4},
        {"kv_layout": "unified", "context": 1000, "running": 2},
        {"kv_layout": "unified", "context": 1000, "running": 16, "kv_type": "q8_0"},
        {"kv_layout": "separate", "context": 1024, "running": 16, "kv_type": "q4_0"},
    ],
    ids=str,
)
def test_llama_cpp_takes_what_was_planned(model_path: Path, options: dict[str, Any]) -> None:
    header = read_header(model_path)
    planned = plan(header, 64, **options)
    kv_type = {"f16": 1, "q4_0": 2, "q8_0": 8}[planned.kv_type]
    numbers = (planned.cells, planned.sequences, planned.outputs, planned.layout == "unified")
    arguments = [str(int(n)) for n in (*numbers, planned.flash_attention, kv_type)]
    ran = subprocess.run(
        [sys.executable, "-c", LOADS, str(model_path), *arguments], check=True, capture_output=True, timeout=300
    )
    found = json.loads(ran.stdout)
    assert found["cells"] == planned.cells
    assert found["KV"] == pytest.approx(planned.kv_bytes, abs=0.1 * MIB)
    assert found["model"] == pytest.approx(planned.weight_bytes, abs=0.1 * MIB)
    assert found["compute"] + found["output"] <= planned.compute_bytes
    # the child has not imported leafwise: of the process only the vocabulary counts
    growth = planned.total_bytes - 80 * MIB
    assert 0.85 * growth < found["peak"] < 1.03 * growth
