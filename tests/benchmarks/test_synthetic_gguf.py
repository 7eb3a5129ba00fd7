"""Synthetic files are what llama.cpp expects of such a model: it loads them, and would choose the same tensor types."""

from __future__ import annotations

from pathlib import Path

import pytest

from leafwise.benchmarks.errors import BenchmarkError
from leafwise.benchmarks.synthetic_gguf import SHAPES, Shape, plan_tensors, write_synthetic
from leafwise.quant.quantize import MIXES, quantize
from leafwise.runtime.chat import ChatTemplate
from leafwise.runtime.contracts import Message
from leafwise.runtime.gguf_header import read_header
from leafwise.runtime.llama_serial import SerialLlama

TINY = SHAPES["tiny"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synthetic") / "tiny.gguf"
    write_synthetic(TINY, path)
    return path


def test_the_header_says_what_was_asked_for(tiny: Path) -> None:
    header = read_header(tiny)
    assert (header.block_count, header.embedding_length, header.vocab_size) == (8, 256, 1024)
    assert (header.n_head, header.n_head_kv, header.context_length) == (4, 1, 8192)
    assert header.weight_bytes == sum(tensor.bytes for tensor in plan_tensors(TINY))
    assert header.quantization == "Q4_K"
    assert header.chat_template is not None
    rendered = ChatTemplate(header.chat_template).render([Message(role="user", content="hi")])
    assert rendered == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


def test_llama_generates_with_it(tiny: Path) -> None:
    llama = SerialLlama(tiny, 256, 1)
    try:
        run = llama.generate("def add(a, b):", 12)
        again = llama.generate("def add(a, b):", 12)
        text, tokens = llama.chat([Message(role="user", content="hi")], 8)
    finally:
        llama.close()
    assert len(run.tokens) == 12
    assert run.prompt_tokens == 15, "one token per byte, and the beginning"
    assert len(set(run.tokens)) > 1, "weights that are not finite give one token forever"
    assert (again.tokens, again.text) == (run.tokens, run.text)
    assert 0 < run.first_token_seconds < run.seconds
    assert run.decode_rate > 0
    assert text or tokens == 1


def test_the_types_are_those_that_llama_cpp_chooses(tiny: Path, tmp_path: Path) -> None:
    """Its quantizer, asked for Q4_K_M of this very file, decides the same for each tensor."""
    made = quantize(tiny, tmp_path / "again.gguf", MIXES["q4_k_m"], requantize=True)
    # the rope factors and the norms stay F32 in both
    assert made.tensor_types == read_header(tiny).tensor_types


def test_the_real_shape_has_the_size_of_the_real_file() -> None:
    tensors = list(plan_tensors(SHAPES["llama3.1-8b"]))
    assert sum(tensor.bytes for tensor in tensors) == pytest.approx(4.913e9, rel=0.001)  # Meta-Llama-3.1-8B Q4_K_M
    assert len(tensors) == 292


def test_equal_seeds_give_equal_files(tiny: Path, tmp_path: Path) -> None:
    write_synthetic(TINY, tmp_path / "same.gguf")
    write_synthetic(TINY, tmp_path / "other.gguf", seed=1)
    assert (tmp_path / "same.gguf").read_bytes() == tiny.read_bytes()
    assert (tmp_path / "other.gguf").read_bytes() != tiny.read_bytes()


def test_progress_ends_at_all_of_it(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    size = write_synthetic(TINY, tmp_path / "t.gguf", progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] <= size
    assert (tmp_path / "t.gguf").stat().st_size == size
    assert (tmp_path / "t.gguf").stat().st_mode & 0o777 == 0o644


def test_what_is_there_is_not_overwritten(tiny: Path) -> None:
    before = tiny.read_bytes()
    with pytest.raises(BenchmarkError, match="exists already"):
        write_synthetic(TINY, tiny)
    assert tiny.read_bytes() == before


def test_a_disk_too_small_is_noticed_before_anything_is_written(tmp_path: Path) -> None:
    huge = Shape(
        blocks=1000, embedding=65536, feed_forward=262144, heads=64, kv_heads=64, vocabulary=128_256, context=8192
    )
    with pytest.raises(BenchmarkError, match="GB are free"):
        write_synthetic(huge, tmp_path / "huge.gguf")
    assert list(tmp_path.iterdir()) == []


def test_interrupted_nothing_is_left(tmp_path: Path) -> None:
    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_synthetic(TINY, tmp_path / "t.gguf", progress=interrupt)
    assert list(tmp_path.iterdir()) == []
