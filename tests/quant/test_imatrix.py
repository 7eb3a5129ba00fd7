"""Importance matrices from real runs: the sums are what the weights were multiplied with, and a stop loses nothing."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import llama_cpp
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from leafwise.benchmarks.synthetic_gguf import Shape, write_synthetic
from leafwise.quant.calibration import CalibrationText, calibration_text, text_from_files
from leafwise.quant.errors import QuantizeError
from leafwise.quant.gguf_imatrix import read_imatrix, write_imatrix
from leafwise.quant.imatrix import gather
from leafwise.quant.importance import ImportanceMatrix, merge
from leafwise.quant.native_collector import Collector
from leafwise.runtime.errors import ModelFileError

TINY = Shape(blocks=2, embedding=256, feed_forward=512, heads=4, kv_heads=2, vocabulary=512, context=2048)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random weights."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    write_synthetic(TINY, path)
    return path


@pytest.fixture(scope="module")
def text() -> CalibrationText:
    return calibration_text("calibration", 4_000)


@pytest.fixture(scope="module")
def whole(tiny: Path, text: CalibrationText) -> ImportanceMatrix:
    """Five chunks at one go."""
    return gather(tiny, text, chunks=5, context=32, threads=1)


def seen_otherwise(model: Path, text: str, context: int) -> dict[str, NDArray[np.float32]]:
    """The tensors of one chunk by their names in the graph, read with the library's own accessors."""
    base = ctypes.CDLL(llama_cpp.llama_cpp._lib._name)
    base.ggml_get_name.argtypes, base.ggml_get_name.restype = [ctypes.c_void_p], ctypes.c_char_p
    base.ggml_nbytes.argtypes, base.ggml_nbytes.restype = [ctypes.c_void_p], ctypes.c_size_t
    base.ggml_backend_tensor_get.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
    wanted = {"attn_norm-0", "kqv_out-0", "ffn_norm-1", "ffn_swiglu-1", "result_norm", "Kcur-1"}
    seen: dict[str, NDArray[np.float32]] = {}

    def look(tensor: int, ask: bool, _: Any) -> bool:
        name = base.ggml_get_name(tensor).decode()
        if name in wanted and not ask:
            seen[name] = np.empty(base.ggml_nbytes(tensor) // 4, np.float32)
            base.ggml_backend_tensor_get(tensor, seen[name].ctypes.data, 0, seen[name].nbytes)
        return name in wanted or not ask

    loaded = llama_cpp.Llama(str(model), vocab_only=True, verbose=False)
    tokens = np.array(loaded.tokenize(text.encode(), add_bos=True, special=True)[:context], np.int32)
    loaded.close()
    callback = llama_cpp.ggml_backend_sched_eval_callback(look)
    native = llama_cpp.llama_model_load_from_file(str(model).encode(), llama_cpp.llama_model_default_params())
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx = parameters.n_batch = parameters.n_outputs_max = context
    parameters.n_threads = parameters.n_threads_batch = 1
    parameters.flash_attn_type = 0
    parameters.cb_eval = callback
    running = llama_cpp.llama_init_from_model(native, parameters)
    batch = llama_cpp.llama_batch_init(context, 0, 1)
    batch.n_tokens = context
    for i, token in enumerate(tokens.tolist()):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = token, i, 1, 0, 1
    assert llama_cpp.llama_decode(running, batch) == 0
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(running)
    llama_cpp.llama_model_free(native)
    return seen


@pytest.mark.model
def test_the_sums_are_of_what_the_weights_are_multiplied_with(model_path: Path) -> None:
    text = calibration_text("calibration", 4_000)
    context = 64
    found = gather(model_path, text, chunks=1, context=context, threads=2)
    seen = seen_otherwise(model_path, text.text, context)
    for name, inputs in (
        ("blk.0.attn_q", "attn_norm-0"),
        ("blk.0.attn_k", "attn_norm-0"),
        ("blk.0.attn_v", "attn_norm-0"),
        ("blk.0.attn_output", "kqv_out-0"),
        ("blk.1.ffn_gate", "ffn_norm-1"),
        ("blk.1.ffn_up", "ffn_norm-1"),
        ("blk.1.ffn_down", "ffn_swiglu-1"),
        ("token_embd", "result_norm"),  # tied: it is the output's weight too
    ):
        rows = seen[inputs].reshape(context, -1).astype(np.float64)
        np.testing.assert_allclose(found.sums[f"{name}.weight"], (rows**2).sum(axis=0), rtol=1e-4, err_msg=name)
        np.testing.assert_allclose(found.mean(f"{name}.weight"), (rows**2).mean(axis=0), rtol=1e-4)
    assert len(found.sums) == 30 * 7 + 1
    assert {float(count[0]) for count in found.counts.values()} == {context}
    keys = seen["Kcur-1"].reshape(context, 3, 32, 2).astype(np.float64)  # Llama's pairs are neighbours
    assert found.key_maxima.keys() == set(range(30))
    np.testing.assert_allclose(found.key_maxima[1], np.sqrt((keys**2).sum(-1)).max(axis=0), rtol=1e-4)


def test_every_weight_that_is_multiplied_with_is_known(whole: ImportanceMatrix) -> None:
    parts = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    names = {f"blk.{block}.{part}.weight" for block in range(2) for part in parts} | {"output.weight"}
    assert whole.sums.keys() == whole.counts.keys() == names
    assert {name: sums.shape for name, sums in whole.sums.items()} == {
        name: (512,) if "ffn_down" in name else (256,) for name in names
    }
    assert all(count.tolist() == [5 * 32] for count in whole.counts.values())
    assert {block: maxima.shape for block, maxima in whole.key_maxima.items()} == {0: (2, 32), 1: (2, 32)}
    assert all((maxima > 0).all() for maxima in whole.key_maxima.values())
    assert (whole.chunks, whole.chunk_size) == (5, 32)


def test_a_chunk_of_several_decodes_is_whole(tiny: Path) -> None:
    """More tokens than one decode takes: attention looks back only, so the beginning adds the same to the sums."""
    text = calibration_text("calibration", 20_000)
    long = gather(tiny, text, chunks=1, context=600, threads=1)
    beginning = gather(tiny, text, chunks=1, context=512, threads=1)
    assert {count.item() for count in long.counts.values()} == {600}
    for name, sums in beginning.sums.items():
        assert (long.sums[name] >= sums * (1 - 1e-5)).all(), name
    for block, maxima in beginning.key_maxima.items():
        assert (long.key_maxima[block] >= maxima * (1 - 1e-5)).all()


@pytest.mark.parametrize(("mode", "first", "second"), [(0, [0, 2], [1, 3]), (2, [0, 1], [2, 3])])
def test_keys_are_paired_as_rope_pairs_them(mode: int, first: list[int], second: list[int]) -> None:
    keys = np.random.default_rng(1).normal(size=(1, 7, 2, 6)).astype(np.float32)  # 4 of 6 elements are rotated
    collector = Collector({})
    for part in (keys[:, :3], keys[:, 3:]):
        seen: Any = SimpleNamespace(label="Kcur-5", op_params=[0, 4, mode], floats=lambda part=part: part)
        collector._see_keys(seen)
    expected = np.sqrt(keys[0][..., first] ** 2 + keys[0][..., second] ** 2).max(axis=0)
    assert collector.keys.keys() == {5}
    np.testing.assert_allclose(collector.keys[5], expected, rtol=1e-6)


def same(one: ImportanceMatrix, other: ImportanceMatrix) -> bool:
    """Bit for bit."""
    return one.sha256 == other.sha256 != "" and all((one.sums[n] == other.sums[n]).all() for n in one.sums)


def test_resumed_is_uninterrupted_bit_for_bit(
    tiny: Path, text: CalibrationText, whole: ImportanceMatrix, tmp_path: Path
) -> None:
    file, told = tmp_path / "kept.gguf", []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gather(tiny, text, chunks=5, context=32, threads=1, resume=file, progress=stop)
    assert told == [(1, 5), (2, 5), (3, 5)]
    kept = read_imatrix(file)
    assert kept.chunks == 3
    np.testing.assert_array_less(kept.sums["output.weight"], whole.sums["output.weight"])
    resumed = gather(tiny, text, chunks=5, context=32, threads=1, resume=file, progress=lambda *at: told.append(at))
    assert told[3:] == [(4, 5), (5, 5)]
    assert same(resumed, whole)
    assert same(read_imatrix(file), whole)
    before = file.stat().st_mtime_ns
    assert same(gather(tiny, text, chunks=5, context=32, resume=file), whole)  # nothing left to do
    assert file.stat().st_mtime_ns == before
    assert [path.name for path in tmp_path.iterdir()] == ["kept.gguf"]


def test_what_cannot_be_resumed_is_refused(tiny: Path, text: CalibrationText, tmp_path: Path) -> None:
    file = tmp_path / "kept.gguf"
    gather(tiny, text, chunks=1, context=32, resume=file)
    other = calibration_text("heldout", 4_000)
    with pytest.raises(QuantizeError, match="text sha256"):
        gather(tiny, other, chunks=2, context=32, resume=file)
    with pytest.raises(QuantizeError, match="chunk size"):
        gather(tiny, text, chunks=2, context=64, resume=file)
    found = read_imatrix(file)
    write_imatrix(merge(found, found), tmp_path / "twice.gguf")
    with pytest.raises(QuantizeError, match="text sha256 is not known"):
        gather(tiny, text, chunks=4, context=32, resume=tmp_path / "twice.gguf")
    replaced = gather(tiny, other, chunks=1, context=32, resume=file, fresh=True)
    assert same(read_imatrix(file), replaced)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelFileError, match="truncated"):
        gather(tiny, text, chunks=1, context=32, resume=file)


def test_merged_is_the_sum(tiny: Path, text: CalibrationText, whole: ImportanceMatrix, tmp_path: Path) -> None:
    other = calibration_text("heldout", 2_000)
    second = gather(tiny, other, chunks=2, context=32, threads=1)
    both = merge(whole, second)
    for name in whole.sums:
        np.testing.assert_allclose(both.sums[name], whole.sums[name] + second.sums[name], rtol=1e-6)
        assert both.counts[name].tolist() == [7 * 32]
    for block in whole.key_maxima:
        assert (both.key_maxima[block] == np.maximum(whole.key_maxima[block], second.key_maxima[block])).all()
    assert both.chunks == 7
    assert both.datasets == whole.datasets + second.datasets
    assert (both.model_sha256, both.text_sha256) == (whole.model_sha256, "")
    assert write_imatrix(both, tmp_path / "both.gguf").sha256 == read_imatrix(tmp_path / "both.gguf").sha256


def test_other_shapes_are_not_merged(whole: ImportanceMatrix) -> None:
    name = "blk.1.ffn_up.weight"
    narrow = ImportanceMatrix({name: np.ones(128, np.float32)}, {name: np.ones(1, np.float32)}, chunks=1, chunk_size=32)
    with pytest.raises(QuantizeError, match=r"blk\.1\.ffn_up\.weight: \(256,\) and \(128,\)"):
        merge(whole, narrow)
    with pytest.raises(QuantizeError, match="no importance matrix"):
        merge()


def test_a_text_or_a_chunk_that_does_not_fit_is_refused(tiny: Path, text: CalibrationText, tmp_path: Path) -> None:
    short = tmp_path / "short.txt"
    short.write_text("ab")
    with pytest.raises(QuantizeError, match="fewer than 32 tokens"):
        gather(tiny, text_from_files([short]), chunks=1, context=32)
    with pytest.raises(QuantizeError, match="chunks of 4096 tokens"):
        gather(tiny, text, chunks=1, context=4096)
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(tiny.read_bytes()[:-10])
    with pytest.raises(ModelFileError, match="truncated"):
        gather(damaged, text, chunks=1, context=32)


def test_what_llama_cpp_refuses_is_said(tiny: Path, text: CalibrationText, tmp_path: Path) -> None:
    """A sound header of an architecture that nobody knows."""
    strange = tmp_path / "strange.gguf"
    strange.write_bytes(tiny.read_bytes().replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0lxama", 1))
    with pytest.raises((QuantizeError, ModelFileError), match=r"cannot load the model: .*lxama"):
        gather(strange, text, chunks=1, context=32)


def test_a_process_that_dies_costs_only_its_chunk(
    tiny: Path, text: CalibrationText, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, children = tmp_path / "kept.gguf", []
    start = subprocess.Popen

    def remember(*arguments: Any, **options: Any) -> Any:
        children.append(start(*arguments, **options))
        return children[-1]

    monkeypatch.setattr(subprocess, "Popen", remember)

    def kill(done: int, total: int) -> None:
        if done == 2:
            os.kill(children[0].pid, signal.SIGSEGV)

    with pytest.raises(QuantizeError, match="died of SIGSEGV"):
        gather(tiny, text, chunks=400, context=16, resume=file, progress=kill)
    assert read_imatrix(file).chunks >= 2
    assert children[0].returncode == -signal.SIGSEGV


def test_a_killed_gatherer_leaves_no_process_and_a_whole_file(
    tiny: Path, text: CalibrationText, tmp_path: Path
) -> None:
    file, source = tmp_path / "kept.gguf", tmp_path / "text.txt"
    source.write_text(text.text * 200)
    program = (
        "import sys; from pathlib import Path; from leafwise.quant.imatrix import gather\n"
        "from leafwise.quant.calibration import text_from_files\n"
        "gather(Path(sys.argv[1]), text_from_files([Path(sys.argv[2])]), chunks=10**6, context=16,"
        " resume=Path(sys.argv[3]))\n"
    )
    gatherer = subprocess.Popen([sys.executable, "-c", program, str(tiny), str(source), str(file)])
    try:
        deadline = time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (child,) = psutil.Process(gatherer.pid).children()
    finally:
        gatherer.kill()
        gatherer.wait()
    assert read_imatrix(file).chunks >= 8
    psutil.wait_procs([child], timeout=60)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
